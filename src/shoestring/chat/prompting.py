"""From a conversation to the prompt a model is given: the one place that knows templates, roles and base models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shoestring.chat.messages import Message
from shoestring.chat.named_templates import Template
from shoestring.engines.base import Segment
from shoestring.errors import UsageError
from shoestring.models.facts import ModelFacts, TokenizerFacts


@dataclass(frozen=True)
class Prompt:
    """A prompt, ready to tokenise.

    Attributes:
        segments: its text; only the template's own may become special tokens.
        stop: texts at which the answer is over, beside the user's own.
        notes: what was changed, and what the user should know, one sentence each.
    """

    segments: tuple[Segment, ...]
    stop: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """What the model is given, as text."""
        return "".join(segment.text for segment in self.segments)


def prompt(facts: ModelFacts, messages: Sequence[Message], template: Template | None = None) -> Prompt:
    """The conversation in the model's own format, in another, or as plain text for a base model.

    Args:
        template: used in place of the model's own; None: the model's own, where it has one.

    Raises:
        UsageError: nothing is known of the model's tokenizer.
        TemplateError: the template is broken or refuses the conversation.
    """
    source = facts.chat_template if template is None else template.source
    if source is None:
        from shoestring.chat.completion import as_completion

        completion = as_completion(messages)
        return Prompt((Segment(completion.text),), completion.stop, (completion.note,))
    return _rendered(source, messages, _tokenizer(facts), template)


def _rendered(
    source: str, messages: Sequence[Message], tokenizer: TokenizerFacts, template: Template | None
) -> Prompt:
    from shoestring.chat.roles import adapted
    from shoestring.chat.template import render

    bos = _name(tokenizer, tokenizer.bos_id)
    eos = _name(tokenizer, tokenizer.eos_id)
    turns, notes = adapted(source, messages, bos_token=bos, eos_token=eos)
    segments = render(source, turns, special_tokens=tokenizer.special_names, bos_token=bos, eos_token=eos)
    if template is None:
        return Prompt(tuple(segments), (), notes)
    lacking = template.lacking(tokenizer.special_tokens.values())
    return Prompt(tuple(segments), template.stop, notes if lacking is None else (lacking, *notes))


def _tokenizer(facts: ModelFacts) -> TokenizerFacts:
    """What is known of the tokenizer: without it nothing tells which names a user must not forge."""
    if facts.tokenizer is None:
        raise UsageError(
            f"Nothing is known of the tokenizer of {facts.id}.", "Add its tokenizer.json to its folder."
        )
    return facts.tokenizer


def _name(tokenizer: TokenizerFacts, token: int | None) -> str:
    return "" if token is None else tokenizer.special_tokens.get(token, "")
