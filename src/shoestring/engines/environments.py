"""What an engine's process has to be started with: read before the engine is imported, so by the parent alone.

Nothing is imported here, so that a worker can be started in the first moments of a program.
"""

from __future__ import annotations

from collections.abc import Mapping

SPINS = "100000"
"""How often a waiting OpenMP thread looks before it sleeps (libgomp), where the engine sees to it that no more threads
compute than have a core (`transformers/pace.py`): longer than Python takes between two operations."""

_TRANSFORMERS: Mapping[str, str] = {
    # Every tensor of 128 KiB and more gets pages of its own and gives them back. By default glibc raises the
    # threshold to 32 MiB as blocks come free, and a growing cache leaves holes in the heap that nothing fits.
    "MALLOC_MMAP_THRESHOLD_": "131072",
    "MALLOC_ARENA_MAX": "1",
    # int8 layers multiply their outlier columns apart, in a number that every text changes: oneDNN generates
    # code for each shape, 0.3 MB, and keeps 1024 of them.
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",
    "GOMP_SPINCOUNT": SPINS,
    "HF_DEACTIVATE_ASYNC_LOAD": "1",
    # bitsandbytes has some functions of its own compiled where there is a C++ compiler: seconds and 40 MB for nothing.
    "TORCHDYNAMO_DISABLE": "1",
    "HF_HUB_OFFLINE": "1",  # downloads and tokens stay in the parent
    "TOKENIZERS_PARALLELISM": "false",
}

_BY_ENGINE = {"transformers": _TRANSFORMERS}


def environment(engine: str) -> Mapping[str, str]:
    """Variables that override the inherited ones; why: docs/decisions/0007."""
    return _BY_ENGINE.get(engine, {})


_LIBRARY_PAGES_BYTES = {"transformers": 100_000_000}


def library_pages_bytes(engine: str) -> int:
    """Bytes by which the resident pages of the engine's library files may exceed what was measured for plans.

    The kernel maps such files in the pieces in which its cache holds them: of the same modules of torch 84 MB were
    resident after they had been read, and 144 after they had just been installed. It drops them when it needs room.
    """
    return _LIBRARY_PAGES_BYTES.get(engine, 0)
