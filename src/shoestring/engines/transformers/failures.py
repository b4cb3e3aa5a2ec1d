"""What torch and transformers raise, as errors of ours."""

from __future__ import annotations

from shoestring.errors import EngineError, OutOfMemoryError, ShoestringError

# torch has a class for devices; of the CPU's allocator only these words tell (c10/core/impl/alloc_cpu.cpp).
_CPU_ALLOCATOR = "can't allocate memory"


def as_our_error(error: BaseException, doing: str) -> ShoestringError:
    """The error to raise for one that came out of the libraries.

    It holds nothing of the other: a traceback would keep the tensors of every frame alive.

    Args:
        error: what was caught; one of ours is given back as it is.
        doing: what failed, to follow "while": `generating`.
    """
    import torch

    if isinstance(error, ShoestringError):
        return error
    said = first_line(error)
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or _CPU_ALLOCATOR in str(error):
        return OutOfMemoryError(
            f"There was not enough memory while {doing}: {said}",
            "Load the model with a smaller context, a smaller batch or a lower precision.",
        )
    return EngineError(f"transformers failed while {doing}: {said}")


def first_line(error: BaseException) -> str:
    """What a library says, without what follows its first line; the error's kind where it says nothing."""
    said = str(error).strip().partition("\n")[0].strip()
    return f"{(said or type(error).__name__).rstrip('.')}."
