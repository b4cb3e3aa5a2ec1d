"""`repository`: what a repository of the hub holds at one commit, asked in one request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import msgspec

from shoestring.errors import FetchError, ModelNotFoundError, NetworkError, ShoestringError
from shoestring.models.hub import client
from shoestring.models.hub.base import RemoteFile, Repository
from shoestring.models.hub.snapshots import cached, snapshot_folder

MAX_DESCRIPTION_BYTES = 32 * 2**20
_SHORT_BYTES = 64 * 1024
MAX_FILES = 50_000
"""The largest checkpoints have some hundred files; a hundred thousand would take a plan minutes to look through."""
_ID = re.compile(r"[\w-][\w.-]{0,95}/[\w-][\w.-]{0,95}", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_NAME = re.compile(r"[^\x00-\x1f\x7f\\]{1,1000}")
_LICENSE = re.compile(r"[\w.+-]{1,80}", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|\+00:00)")
_ONE_OF = "Try again later; if the hub named here is a mirror, try another."


class _Large(msgspec.Struct):
    sha256: str
    size: int


class _Sibling(msgspec.Struct):
    rfilename: str
    size: int | None = None
    lfs: _Large | None = None


class _Description(msgspec.Struct):
    id: str
    sha: str
    siblings: list[_Sibling] = []
    gated: bool | str | None = False
    private: bool | None = False
    downloads: int | None = None
    lastModified: str | None = None  # noqa: N815 (the hub's name)
    cardData: msgspec.Raw = msgspec.Raw(b"null")  # noqa: N815


def repository(repo_id: str, *, revision: str | None = None, offline: bool = False) -> Repository:
    """Find a model's repository, and whether this user may read it.

    Without a network, what was fetched of it earlier is taken, and `notes` says so.

    Args:
        repo_id: `org/name`.
        revision: a branch, a tag or a commit; None: the main branch.
        offline: ask nobody.

    Raises:
        ModelNotFoundError: there is no such repository or revision, or (offline) nothing of it is here.
        AccessError: it is gated or private, and this user may not read it.
        NetworkError: the hub cannot be reached, and nothing of the repository is here.
        FetchError: the hub's answer makes no sense.
    """
    if offline or client.is_offline():
        found = cached(repo_id, revision)
        if found is None:
            raise _not_here(repo_id)
        return found
    try:
        return _ask(repo_id, revision)
    except NetworkError as error:
        found = cached(repo_id, revision)
        if found is None:
            raise
        note = f"{error.message} This is what was fetched earlier, of commit {found.commit[:8]}."
        return replace(found, notes=(note,))


def _ask(repo_id: str, revision: str | None) -> Repository:
    from shoestring.models.hub.access import check
    from shoestring.models.hub.failures import translated

    try:
        with translated(repo_id, token_present=client.has_token(), revision=revision):
            answer = client.get(
                f"{client.api_address(repo_id, revision)}?blobs=true", at_most=MAX_DESCRIPTION_BYTES
            )
    except ModelNotFoundError:
        if kind := _other_kind(repo_id):
            raise ModelNotFoundError(
                f"{repo_id} is a {kind} of the hub, not a model.", "Name a model."
            ) from None
        raise
    found = _parsed(answer.body, repo_id)
    found = replace(
        found, snapshot=snapshot_folder(found.id, found.commit), revision=revision or found.revision
    )
    if found.gated or found.private:
        check(found)
    return found


def _other_kind(repo_id: str) -> str | None:
    """What else of the hub has this name: `dataset` or `space`; None: nothing that can be seen."""
    from shoestring.models.hub.failures import translated

    for kind in ("dataset", "space"):
        try:
            with translated(repo_id, token_present=client.has_token()):
                client.get(
                    f"{client.api_address(repo_id, None, kind=f'{kind}s')}?expand=sha", at_most=_SHORT_BYTES
                )
        except ShoestringError:
            continue
        return kind
    return None


def _parsed(body: bytes, repo_id: str) -> Repository:
    try:
        described = msgspec.json.decode(body, type=_Description)
        files = {file.name: file for file in _files(described.siblings)}
        card = msgspec.json.decode(described.cardData)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise FetchError(
            f"What the hub says of {repo_id} makes no sense: {str(error)[:200]}.", _ONE_OF
        ) from error
    if not _ID.fullmatch(described.id) or not _COMMIT.fullmatch(described.sha):
        raise FetchError(f"The hub gives {repo_id} no proper name, or no commit.", _ONE_OF)
    date = described.lastModified
    return Repository(
        id=described.id,
        commit=described.sha,
        files=tuple(files[name] for name in sorted(files)),
        gated=bool(described.gated),
        private=bool(described.private),
        license=_license(card),
        downloads=described.downloads,
        last_modified=date if date and _DATE.fullmatch(date) else None,
    )


def _files(siblings: list[_Sibling]) -> Iterator[RemoteFile]:
    """The files whose names and sizes are possible.

    Raises:
        ValueError: one's are not.
    """
    if len(siblings) > MAX_FILES:
        raise ValueError(f"it has {len(siblings):,} files")
    for file in siblings:
        size = file.lfs.size if file.lfs else file.size
        parts = file.rfilename.split("/")
        if not _NAME.fullmatch(file.rfilename) or {"", ".", ".."} & set(parts):
            raise ValueError(f"a file is called {file.rfilename[:80]!r}")
        if size is None or not 0 <= size < 2**53:
            raise ValueError(f"{file.rfilename[:80]} has no possible size")
        sha256 = file.lfs.sha256 if file.lfs and re.fullmatch(r"[0-9a-f]{64}", file.lfs.sha256) else None
        yield RemoteFile(file.rfilename, size, sha256)


def _license(card: object) -> str | None:
    """The licence that the model card names; of a licence of the author's own, that name."""
    if not isinstance(card, dict):
        return None
    for key in ("license_name", "license") if card.get("license") == "other" else ("license",):
        value = card.get(key)
        value = value[0] if isinstance(value, list) and value else value
        if isinstance(value, str) and _LICENSE.fullmatch(value):
            return value
    return None


def _not_here(repo_id: str) -> ModelNotFoundError:
    return ModelNotFoundError(
        f"{repo_id} is not on this machine yet, and nothing may be fetched offline.",
        "Fetch it once with a network; after that it needs none.",
    )
