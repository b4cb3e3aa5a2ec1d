"""`shoestring task`: tasks in plain words, kept in a database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from shoestring.cli import _options
from shoestring.cli._output import present, print_json, say

if TYPE_CHECKING:
    from shoestring.tasks import Draft, Task

_PRIORITIES = ("low", "normal", "high", "urgent")

_db = click.option(
    "--db", metavar="URL", help="The database.  [default: SHOESTRING_TASKS_URL, else a file of yours]"
)
_ids = click.argument("ids", nargs=-1, required=True, metavar="ID...")
_due = click.option("--due", metavar="WHEN", help="Such as 2026-11-20, 'friday at 3 pm' or 'every monday'.")
_priority = click.option("--priority", type=click.Choice(_PRIORITIES), help="How much it matters.")


@click.group()
def task() -> None:
    """Keep tasks: say them in plain words, see what is due, tick them off.

    \b
    Examples:
      shoestring task add "Call the dentist on Friday at 3 pm"
      shoestring task list
      shoestring task done k3f7
    """


@task.command("add")
@click.argument("text", nargs=-1, required=True)
@_due
@_priority
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="A tag; may be given several times.")
@_db
@_options.as_json
def add(
    text: tuple[str, ...],
    due: str | None,
    priority: str | None,
    tags: tuple[str, ...],
    db: str | None,
    as_json: bool,
) -> None:
    """Add a task in your own words.

    When it is due is read from the words; what can be read in two ways is asked, never guessed.

    \b
    Examples:
      shoestring task add "Send the report by Friday"
      shoestring task add "Water the plants every Monday and Thursday at 9am" --tag home
      shoestring task add "Renew the passport" --due "in 6 months" --priority high
    """
    from shoestring import tasks
    from shoestring.cli._task_view import added

    now = tasks.now_here()
    drafts = [
        _with(draft, due, priority, tags) for draft in tasks.PlainExtractor().extract(" ".join(text), now)
    ]
    if not drafts:
        raise click.UsageError("There is nothing to add: the text is empty.")
    with tasks.open_store(db) as store:
        kept = store.add_many(tasks.Task.of(draft) for draft in drafts)
        names = _names(store.list())
    present(kept, lambda found: added(found, names, now), as_json=as_json)
    if not as_json:
        _ask(kept, names)


def _with(draft: Draft, due: str | None, priority: str | None, tags: tuple[str, ...]) -> Draft:
    """The draft with what the options say; a due date given so leaves nothing to ask."""
    from shoestring import tasks

    if due is not None:
        moment, recurrence = tasks.due_in(due, tasks.now_here())
        draft = replace(draft, due=moment, recurrence=recurrence, questions=())
    if priority is not None:
        draft = replace(draft, priority=tasks.Priority(priority))
    return replace(draft, tags=tuple(dict.fromkeys((*draft.tags, *tags))))


def _ask(kept: tuple[Task, ...], names: dict[str, str]) -> None:
    for one in kept:
        for question in one.questions:
            say(question, lead="?")
            say(f"try: shoestring task edit {names[one.id]} --due WHEN", dim=True, wrap=False)


@task.command("list")
@click.argument("words", nargs=-1)
@click.option("--done", "done", is_flag=True, help="Those that are done.")
@click.option("--all", "all_", is_flag=True, help="Done or not.")
@click.option("--tag", metavar="TAG", help="Those with this tag.")
@click.option("--before", metavar="WHEN", help="Those due on an earlier day, such as 'next monday'.")
@_db
@_options.as_json
def list_tasks(
    words: tuple[str, ...],
    done: bool,
    all_: bool,
    tag: str | None,
    before: str | None,
    db: str | None,
    as_json: bool,
) -> None:
    """List open tasks, the earliest due first.

    With WORDS, those that hold them.

    \b
    Examples:
      shoestring task list
      shoestring task list --before tomorrow
      shoestring task list dentist --all
    """
    from datetime import datetime

    from shoestring import tasks
    from shoestring.cli._task_view import listed

    now = tasks.now_here()
    day = None if before is None else tasks.due_in(before, now)[0]
    with tasks.open_store(db) as store:
        found = store.list(
            status=None if all_ else tasks.Status.DONE if done else tasks.Status.OPEN,
            tag=tag,
            due_before=day.date() if isinstance(day, datetime) else day,
            text=" ".join(words) or None,
        )
        names = _names(store.list())
    present(found, lambda some: listed(some, names, now), as_json=as_json)
    if not found and not as_json:
        say("There is no such task." if words or tag or before or done else "Nothing is open.")


@task.command("show")
@click.argument("id_", metavar="ID")
@_db
@_options.as_json
def show(id_: str, db: str | None, as_json: bool) -> None:
    """Show all of a task; the beginning of its id is enough."""
    from shoestring import tasks
    from shoestring.cli._task_view import whole

    now = tasks.now_here()
    with tasks.open_store(db) as store:
        found = store.get(id_)
    present(found, lambda one: whole(one, now), as_json=as_json)


@task.command("done")
@_ids
@_db
@_options.as_json
def done(ids: tuple[str, ...], db: str | None, as_json: bool) -> None:
    """Tick tasks off; one that repeats comes again.

    \b
    Example:
      shoestring task done k3f7 m2
    """
    from shoestring import tasks
    from shoestring.tasks.wording import due_in_words

    now = tasks.now_here()
    with tasks.open_store(db) as store:
        found = [store.get(id_) for id_ in ids]  # a mistyped one among them must not leave half of them done
        completed = [store.done(one.id) for one in found]
    if as_json:
        print_json(completed)
        return
    for one in completed:
        again = one.following
        comes = "" if again is None or again.due is None else f" Next: {due_in_words(again.due, now)}."
        say(f"Done: {one.task.title}.{comes}")


@task.command("edit")
@click.argument("id_", metavar="ID")
@click.option("--title", metavar="TEXT", help="What is to be done.")
@click.option("--description", metavar="TEXT", help="More about it.")
@_due
@click.option("--no-due", is_flag=True, help="Not due at any time.")
@_priority
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Add a tag; may be given several times.")
@click.option("--untag", "untags", multiple=True, metavar="TAG", help="Take a tag away.")
@click.option("--reopen", is_flag=True, help="It is to be done after all.")
@_db
@_options.as_json
def edit(id_: str, db: str | None, as_json: bool, **changes: Any) -> None:
    """Change a task. A new due date answers its questions.

    \b
    Examples:
      shoestring task edit k3f7 --due "tomorrow at 10:00"
      shoestring task edit k3f7 --title "Call Dr. Weiss" --tag health
    """
    from shoestring import tasks
    from shoestring.cli._task_view import added

    if not any(changes.values()):
        raise click.UsageError("There is nothing to change.", click.get_current_context())
    if changes["due"] and changes["no_due"]:
        raise click.UsageError("--due and --no-due cannot both be meant.", click.get_current_context())
    now = tasks.now_here()
    with tasks.open_store(db) as store:
        changed = store.change(id_, _change(**changes))
        names = _names(store.list())
    present(changed, lambda one: added((one,), names, now), as_json=as_json)


def _change(
    title: str | None,
    description: str | None,
    due: str | None,
    no_due: bool,
    priority: str | None,
    tags: tuple[str, ...],
    untags: tuple[str, ...],
    reopen: bool,
) -> Callable[[Task], Task]:
    from shoestring import tasks

    new: dict[str, Any] = {} if title is None else {"title": title}
    if description is not None:
        new["description"] = description
    if due is not None:
        moment, recurrence = tasks.due_in(due, tasks.now_here())
        new |= {"due": moment, "recurrence": recurrence, "questions": ()}
    if no_due:
        new |= {"due": None, "recurrence": None, "questions": ()}
    if priority is not None:
        new["priority"] = tasks.Priority(priority)
    if reopen:
        new |= {"status": tasks.Status.OPEN, "done_at": None}
    gone = {tag.casefold() for tag in untags}

    def change(one: Task) -> Task:
        kept = tuple(tag for tag in dict.fromkeys((*one.tags, *tags)) if tag.casefold() not in gone)
        return replace(one, tags=kept, **new)

    return change


@task.command("rm")
@_ids
@_db
@_options.as_json
def remove(ids: tuple[str, ...], db: str | None, as_json: bool) -> None:
    """Forget tasks: they are gone for good.

    \b
    Example:
      shoestring task rm k3f7
    """
    from shoestring import tasks

    with tasks.open_store(db) as store:
        removed = store.remove(ids)
    if as_json:
        print_json(removed)
        return
    for one in removed:
        say(f"Removed: {one.title}.")


def _names(found: tuple[Task, ...]) -> dict[str, str]:
    from shoestring.tasks.wording import shortest_ids

    return shortest_ids(one.id for one in found)
