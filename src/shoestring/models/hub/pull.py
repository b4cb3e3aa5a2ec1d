"""`fetch`: a model's files brought into the Hugging Face cache, only those that are needed, each checked.

huggingface_hub downloads them, one after the other, each to a name of its own until it is whole: a kill costs the file
that was on its way, and no other.
"""

from __future__ import annotations

import fnmatch
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from shoestring.errors import CorruptDownloadError, DiskFullError
from shoestring.models.hub import client
from shoestring.models.hub.base import RemoteFile, Repository
from shoestring.models.hub.checking import discard, is_sound
from shoestring.models.hub.failures import offline, translated
from shoestring.models.hub.quiet import quiet
from shoestring.models.hub.resuming import resuming
from shoestring.models.hub.snapshots import home
from shoestring.models.progress import FetchProgress, Progress
from shoestring.units import MiB, format_bytes

_COMPANIONS = (
    *("config.json", "generation_config.json", "model.safetensors.index.json"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "tekken.json"),
    *("vocab.json", "vocab.txt", "merges.txt"),
    *("chat_template.json", "*.jinja"),
    *("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json"),
)
"""What transformers reads beside a checkpoint's weights."""
_MARGIN_BYTES = 16 * MiB  # locks, links and what the file system itself takes


def fetch(
    repository: Repository,
    weights: Sequence[str],
    progress: Progress | None = None,
    *,
    code: bool = False,
    free_bytes: Callable[[Path], int] | None = None,
) -> Path:
    """Bring a model's files here, as far as they are not here already: then nobody is asked.

    Args:
        weights: their names in the repository; safetensors come with their config and tokenizer.
        progress: told of bytes as they arrive.
        code: fetch the model's own Python modules, too: with the user's consent only.
        free_bytes: how the room on a file system is found.

    Returns:
        The folder of the cache that holds the files of the repository's commit.

    Raises:
        DiskFullError: there is not enough room, before or in the middle. Finished files stay.
        CorruptDownloadError: what came is not what the hub says it is; it was removed.
        AccessError, NetworkError, FetchError, ModelNotFoundError: as `failures.translated`.
    """
    files = needed(repository, weights, code=code)
    missing = [file for file in files if not _is_here(repository, file)]
    if repository.snapshot is not None and not missing:
        return repository.snapshot
    if repository.local:
        raise offline(repository.id)
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    _discard_leftovers(cache, repository.id)
    _check_room(repository, missing, cache, free_bytes or _free_bytes)
    count = _Count(repository, sum(file.size_bytes for file in missing), progress)
    with _translated(repository), quiet(), resuming(repository.commit):
        paths = [_download(repository, file, count) for file in missing]
    count.finish()
    _remember(repository)
    return repository.snapshot or _snapshot_of(paths[0], missing[0].name)


def needed(repository: Repository, weights: Sequence[str], *, code: bool = False) -> list[RemoteFile]:
    """The files that a load of these weights needs: small ones first, so that what is refused is refused early."""
    checkpoint = any(name.endswith(".safetensors") for name in weights)
    patterns = (*(_COMPANIONS if checkpoint else ()), *(("*.py",) if code else ()))
    found = [file for file in repository.files if file.name in weights or _matches(file.name, patterns)]
    return sorted(found, key=lambda file: (file.name in weights, file.name))


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return "/" not in name and any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _is_here(repository: Repository, file: RemoteFile) -> bool:
    if repository.snapshot is None:
        return False
    path = repository.snapshot / file.name
    return path.is_file() and path.stat().st_size == file.size_bytes


def _snapshot_of(path: Path, name: str) -> Path:
    return path.parents[len(Path(name).parts) - 1]


def _free_bytes(folder: Path) -> int:
    """Bytes that can still be written on the file system of a folder, which need not exist yet."""
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return shutil.disk_usage(there).free


def _check_room(
    repository: Repository, missing: Sequence[RemoteFile], cache: Path, free_bytes: Callable[[Path], int]
) -> None:
    need, free = sum(file.size_bytes for file in missing) + _MARGIN_BYTES, free_bytes(cache)
    if free < need:
        raise DiskFullError(
            f"Fetching {repository.id} needs {format_bytes(need)} on the disk; "
            f"{format_bytes(free)} are free in {cache}.",
            "Free some space, or set HF_HOME to a folder on a larger disk.",
        )


def _download(repository: Repository, file: RemoteFile, count: _Count) -> Path:
    """One file, whole and checked."""
    from huggingface_hub import hf_hub_download

    path = Path(
        hf_hub_download(
            repository.id,
            file.name,
            revision=repository.commit,
            library_name="shoestring",
            tqdm_class=count.bar(file),
        )
    )
    if not is_sound(path, file):
        discard(path)
        raise _other(file)
    return path


def _other(file: RemoteFile) -> CorruptDownloadError:
    return CorruptDownloadError(
        f"{file.name} did not arrive as the hub describes it, and was removed.",
        "Fetch it again; if that does not help, something between here and the hub changes it.",
    )


@contextmanager
def _translated(repository: Repository) -> Iterator[None]:
    with translated(repository.id, token_present=client.has_token(), revision=repository.commit):
        yield


def _remember(repository: Repository) -> None:
    """Write down which commit the wanted revision was, where huggingface_hub looks for it without a network.

    The library does so only where a file is asked for by that revision's name; we ask by commit.
    """
    ref = home(repository.id) / "refs" / repository.revision
    if repository.revision == repository.commit or ".." in ref.parts:
        return
    with suppress(OSError):  # a cache that another user owns: the files are there all the same
        ref.parent.mkdir(parents=True, exist_ok=True)
        ref.write_text(repository.commit, encoding="ascii")


def _discard_leftovers(cache: Path, repo_id: str) -> None:
    """Remove what killed downloads left: their names are their own, so nobody can go on with them.

    A file whose lock is held is being fetched by someone right now, and is left alone.
    """
    import filelock

    for path in (home(repo_id) / "blobs").glob("*.incomplete"):
        lock = cache / ".locks" / home(repo_id).name / f"{path.name.split('.')[0]}.lock"
        with suppress(OSError, filelock.Timeout, NotImplementedError):
            if not lock.exists():
                path.unlink()
                continue
            with filelock.FileLock(lock, timeout=0):
                path.unlink()


class _Count:
    """Bytes of all files together, told as they arrive."""

    def __init__(self, repository: Repository, total: int, progress: Progress | None) -> None:
        self._label = f"Fetching {repository.id}"
        self._total = total
        self._done = 0
        self._progress = progress
        self._lock = threading.Lock()

    def add(self, n: float) -> None:
        with self._lock:
            self._done = min(max(self._done + int(n), 0), self._total)
            done = self._done
        if self._progress is not None:
            self._progress(FetchProgress(self._label, done, self._total))

    def finish(self) -> None:
        """All are here, those included that another process brought or that have the content of another file."""
        self.add(self._total - self._done)

    def bar(self, file: RemoteFile) -> type[_Bar]:
        """What huggingface_hub takes for the class of a progress bar, of one file."""
        return type("Bar", (_Bar,), {"count": self, "file": file})


class _Bar:
    """The part of tqdm's interface that downloads use; draws nothing, and ends what is longer than it should be."""

    count: _Count
    file: RemoteFile

    def __init__(self, *_: object, **__: object) -> None:
        """Whatever a bar would be told of its looks."""
        self._done = 0

    def update(self, n: float = 1) -> None:
        self._done += int(n)
        if self._done > self.file.size_bytes:  # before the disk is full of it
            raise _other(self.file)
        self.count.add(n)

    def update_transfer(self, n: float = 1) -> None:
        """Bytes that travelled, which may be fewer than are written: not counted. That this method is there keeps the
        library from making a second bar for them."""

    def _nothing(self, *_: object, **__: object) -> None:
        """Nothing is drawn."""

    set_description = set_postfix_str = set_transfer_postfix_str = refresh = _nothing

    def close(self) -> None:
        """Nothing was opened."""

    def __enter__(self) -> _Bar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
