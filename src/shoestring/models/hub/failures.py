"""`translated`: what goes wrong between here and the hub, each case in a sentence of its own with the page to open.

Nothing that a server wrote is repeated: it may hold the token that it was sent. For the same reason an answer of the
hub does not stay in the error's chain. What the hub's headers mean is in `huggingface_hub.utils.hf_raise_for_status`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shoestring.errors import (
    AccessError,
    DiskFullError,
    FetchError,
    ModelNotFoundError,
    NetworkError,
    ShoestringError,
)
from shoestring.models.hub import client

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
_NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS}
_LATER = "Try again later; what is here already is kept."
_BAD_TOKEN = ("invalid credentials in authorization header", "is expired", "invalid user token")


@dataclass(frozen=True)
class _Asked:
    """What was asked for, and by whom."""

    id: str
    token_present: bool
    revision: str | None

    @property
    def page(self) -> str:
        return f"{client.endpoint()}/{self.id}"


@contextmanager
def translated(repo_id: str, *, token_present: bool, revision: str | None = None) -> Iterator[None]:
    """Turn what huggingface_hub and its connections raise inside the block into errors of ours.

    Args:
        repo_id: `org/name`, or what else is asked for, for the sentence.
        token_present: whether requests carry a token.
        revision: the branch, tag or commit that was asked for.

    Raises:
        ModelNotFoundError: there is no such repository (or it is private: the hub does not say which), revision or file.
        AccessError: it is gated, or the token is not good enough; or the cache may not be written.
        NetworkError: the hub cannot be reached, is down, or answers no more requests.
        DiskFullError: the disk is full.
        FetchError: the hub's answer makes no sense.
    """
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except ShoestringError:
        raise
    except HfHubHTTPError as error:
        raise _of_answer(error, _Asked(repo_id, token_present, revision)) from None
    except (
        UnicodeEncodeError,
        httpx2.LocalProtocolError,
    ):  # no header can hold this token; the error would show it
        raise bad_token() from None
    except Exception as error:
        answer = error.__cause__
        if isinstance(answer, HfHubHTTPError):  # the library's "cannot be located", around the reason
            raise _of_answer(answer, _Asked(repo_id, token_present, revision)) from None
        if (found := _of_connection(error, repo_id) or _of_disk(error)) is None:
            raise
        raise found from error


def _of_answer(error: HfHubHTTPError, asked: _Asked) -> ShoestringError:
    status = error.response.status_code
    code = error.response.headers.get("X-Error-Code", "")
    said = error.response.headers.get("X-Error-Message", "").lower()
    if any(words in said for words in _BAD_TOKEN):
        return bad_token()
    if status == 403 and "gated" in said and "fine-grained" in said:
        return cannot_read_gated(asked.id)
    if code == "GatedRepo":
        return _gated(asked, said)
    if code == "RevisionNotFound":
        return _no_revision(asked)
    if code == "EntryNotFound":
        return ModelNotFoundError(
            f"A file of {asked.id} is not there any more.", f"Look at {asked.page}/tree/main."
        )
    if "access to this resource is disabled" in said:
        return AccessError(f"The hub has disabled {asked.id}.", f"Its page may say why: {asked.page}.")
    if code == "RepoNotFound" or status in (401, 404):
        return _not_there(asked)
    return _of_status(status, error.response.headers.get("Retry-After", ""), asked)


def _of_status(status: int, retry_after: str, asked: _Asked) -> ShoestringError:
    if status == 403:
        return AccessError(
            f"The hub does not let this token read {asked.id}.", f"See what it may do: {_tokens()}."
        )
    if status == 429:
        wait = f"Wait {int(retry_after):,} seconds" if retry_after[:6].isdecimal() else "Wait some minutes"
        more = "." if asked.token_present else ", or log in: more is allowed then."
        return NetworkError(
            "The hub has had too many requests from here, and answers no more for now.", wait + more
        )
    if status >= 500:
        return NetworkError(f"The hub is down or overloaded (status {status}).", _LATER)
    return FetchError(f"The hub refuses what was asked of {asked.id} (status {status}).", _LATER)


def _not_there(asked: _Asked) -> ModelNotFoundError:
    whose = (
        "the user of this token may not see it"
        if asked.token_present
        else "it is private and nobody is logged in"
    )
    return ModelNotFoundError(
        f"There is no model {asked.id} on the hub, or {whose}.",
        f"Check the name at {asked.page}. For a private model, use a token of a user who may read it: {_tokens()}.",
    )


def _no_revision(asked: _Asked) -> ModelNotFoundError:
    what = f"revision {asked.revision!r}" if asked.revision else "such revision"
    return ModelNotFoundError(
        f"{asked.id} has no {what}.", f"Its branches and tags are at {asked.page}/tree/main."
    )


def _gated(asked: _Asked, said: str) -> AccessError:
    gated = f"{asked.id} is gated: its owner lets in only those who accept its terms"
    if not asked.token_present:
        return AccessError(
            f"{gated}, and nobody is logged in.",
            f"Accept them at {asked.page}, make a token at {_tokens()}, and log in with it.",
        )
    if "awaiting a review" in said:
        return AccessError(
            f"The request to read {asked.id} waits for its owner's answer.",
            f"Where it stands is at {_requests()}.",
        )
    if "reject" in said:
        return AccessError(
            f"The owner of {asked.id} has rejected this user's request to read it.",
            f"The requests are at {_requests()}; another model may do.",
        )
    return AccessError(
        f"{gated}, and the user of this token has not been let in.",
        f"Ask for access at {asked.page}; where requests stand is at {_requests()}.",
    )


def cannot_read_gated(repo_id: str) -> AccessError:
    """The token is fine-grained, and its user did not let it read what is gated."""
    return AccessError(
        f"{repo_id} is gated, and this fine-grained token may not read gated repositories.",
        f'Edit the token at {_tokens()}: tick "Read access to contents of all public gated repos you can access".',
    )


def bad_token() -> AccessError:
    """The hub knows no such token, or not any more."""
    from_environment = bool(os.environ.get("HF_TOKEN") or os.environ.get("HUGGING_FACE_HUB_TOKEN"))
    where = "put it into HF_TOKEN, where the old one is" if from_environment else "log in with it"
    return AccessError(
        "The hub does not accept the token: it is mistyped, was revoked, or has expired.",
        f"Make a new one at {_tokens()}, and {where}.",
    )


def offline(repo_id: str) -> NetworkError:
    """Nobody may be asked, and something is missing."""
    return NetworkError(
        f"{repo_id} is not wholly on this machine, and nothing may be fetched offline.",
        "Fetch it once with a network (HF_HUB_OFFLINE unset); after that it needs none.",
    )


def disk_full(folder: object) -> DiskFullError:
    """No room is left in the middle of a fetch."""
    return DiskFullError(
        f"The disk with {folder} is full.",
        "Free some space, or set HF_HOME to a folder on a larger disk. Files that were finished are kept.",
    )


def _of_connection(error: Exception, repo_id: str) -> ShoestringError | None:
    import httpx2
    from huggingface_hub.errors import FileMetadataError, OfflineModeIsEnabled

    chain = list(_chain(error))
    if any(isinstance(link, OfflineModeIsEnabled) for link in chain):
        return offline(repo_id)
    if any(isinstance(link, FileMetadataError) for link in chain):
        return FetchError(
            f"{client.endpoint()} does not answer as a hub does.",
            "Check HF_ENDPOINT, and the proxy if there is one.",
        )
    found = next((link for link in chain if isinstance(link, httpx2.RequestError)), None)
    if found is None:
        return None
    if isinstance(found, httpx2.ProxyError):
        return NetworkError(
            "The proxy does not pass on what is asked of the hub.",
            "Check HTTPS_PROXY and NO_PROXY in the environment.",
        )
    if unsafe := _of_encryption(chain):
        return unsafe
    if isinstance(found, (httpx2.TooManyRedirects, httpx2.UnsupportedProtocol)):
        return FetchError(f"{client.endpoint()} redirects to where nobody follows.", "Check HF_ENDPOINT.")
    if isinstance(found, (httpx2.ConnectError, httpx2.ConnectTimeout)):
        return NetworkError(
            f"{client.endpoint()} cannot be reached.",
            "Check the network; models that are here already need none.",
        )
    return NetworkError("The connection to the hub broke off or fell silent.", _LATER)


def _of_encryption(chain: list[BaseException]) -> NetworkError | None:
    import ssl

    no_safe = f"No safe connection to {client.endpoint()} comes about"
    if any("certificate" in str(link).lower() for link in chain):
        return NetworkError(
            f"{no_safe}: its certificate is not trusted here.",
            "Behind a company's proxy, set SSL_CERT_FILE to the file with its certificate; check the clock, too.",
        )
    if any(isinstance(link, ssl.SSLError) for link in chain):
        return NetworkError(f"{no_safe}.", "Check HF_ENDPOINT, and the proxy if there is one.")
    return None


def _of_disk(error: Exception) -> ShoestringError | None:
    from huggingface_hub import constants

    numbers = {link.errno for link in _chain(error) if isinstance(link, OSError)}
    if numbers & _NO_ROOM:
        return disk_full(constants.HF_HUB_CACHE)
    if numbers & _NOT_WRITABLE:
        return AccessError(
            f"The cache of the hub's files in {constants.HF_HUB_CACHE} may not be written by this user.",
            "Make that folder writable, or set HF_HOME to one that is.",
        )
    if "Consistency check failed" in str(
        error
    ):  # the library's: a body without a stated length that ended early
        return NetworkError("The connection to the hub broke off.", _LATER)
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and what led to it."""
    link: BaseException | None = error
    for _ in range(20):
        if link is None:
            return
        yield link
        link = link.__cause__ or link.__context__


def _tokens() -> str:
    return f"{client.endpoint()}/settings/tokens"


def _requests() -> str:
    return f"{client.endpoint()}/settings/gated-repos"
