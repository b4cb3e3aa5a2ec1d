"""Exact figures from llama.cpp, for a file that is here or a header alone."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from shoestring.errors import EngineError
from shoestring.models.ranges import RangeReader
from shoestring.planning.ask_process import ask
from shoestring.planning.base import LlamaCppSettings

ENGINE_MODULE = "shoestring.engines.llama_cpp_dry_run"
TIMEOUT_S = 60.0


@dataclass(frozen=True)
class DryRun:
    """Buffers as the engine plans them, in bytes, each exact to half a hundredth of a MiB.

    Attributes:
        kv_cache_bytes: keys and values of all layers, and recurrent states.
        compute_buffer_bytes: of all devices together.
        output_buffer_bytes: the logits handed to the sampler.
        compute_by_device: the compute buffers by the engine's names (`CPU`, `CUDA0`, `CUDA_Host`…).
        weights_bytes: all tensors as stored; from 1 GiB on exact to half a hundredth of a GiB. None: not told.
    """

    kv_cache_bytes: int
    compute_buffer_bytes: int
    output_buffer_bytes: int
    compute_by_device: Mapping[str, int] = field(default_factory=dict)
    weights_bytes: int | None = None


@dataclass(frozen=True)
class HeaderPart:
    """A file of a model without its weights: the bytes before the first tensor, and the length of the whole."""

    header: bytes
    size_bytes: int


def read_part(reader: RangeReader, data_offset_bytes: int) -> HeaderPart:
    """A file's header, local or remote; `data_offset_bytes` is where its tensors start (`GgufHeader` knows)."""
    return HeaderPart(reader.read(0, data_offset_bytes), reader.size_bytes)


def dry_run_headers(
    parts: Sequence[HeaderPart], settings: LlamaCppSettings, *, timeout_s: float = TIMEOUT_S
) -> DryRun:
    """The same of a model that is not here: its headers, in files as long as the model, with nothing in them.

    Args:
        parts: of a validated model, in order; one where it is not split.

    Raises:
        EngineError: the engine gave no figures, or not in time; or the disk cannot hold files with holes.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for i, part in enumerate(parts):
            name = "model.gguf" if len(parts) == 1 else f"model-{i + 1:05d}-of-{len(parts):05d}.gguf"
            files.append(_write_sparse(Path(folder) / name, part))
        return dry_run(files, settings, timeout_s=timeout_s)


def dry_run_header(
    header: bytes, size_bytes: int, settings: LlamaCppSettings, *, timeout_s: float = TIMEOUT_S
) -> DryRun:
    """`dry_run_headers` of a model in one file."""
    return dry_run_headers((HeaderPart(header, size_bytes),), settings, timeout_s=timeout_s)


def _write_sparse(path: Path, part: HeaderPart) -> Path:
    try:
        with path.open("wb") as file:
            file.write(part.header)
            file.truncate(part.size_bytes)
    except OSError as error:
        raise EngineError(
            f"A copy of the model's header could not be written: {error.strerror}.",
            "Free space in the folder for temporary files, or choose another with TMPDIR.",
        ) from error
    return path


def dry_run(files: Sequence[Path], settings: LlamaCppSettings, *, timeout_s: float = TIMEOUT_S) -> DryRun:
    """Ask llama.cpp what a load with these settings would allocate; it reads headers only, in about a second.

    Args:
        files: the parts of a validated model, in order.

    Raises:
        EngineError: the engine gave no figures, or not in time.
    """
    import msgspec

    question = {"file": str(files[0].resolve()), "settings": asdict(settings)}
    answer = msgspec.json.decode(
        ask(ENGINE_MODULE, question, engine="llama.cpp", subject=files[0].name, timeout_s=timeout_s)
    )
    if answer["error"]:
        raise EngineError(f"llama.cpp could not plan {files[0].name}: {answer['error']}.")
    del answer["error"]
    return DryRun(**answer)
