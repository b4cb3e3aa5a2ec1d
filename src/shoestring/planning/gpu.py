"""What a GPU takes of itself, whatever the engine; nothing here was measured by us, there being no GPU at hand."""

from __future__ import annotations

CUDA_CONTEXT_BYTES = 512 * 1024**2
"""What CUDA takes of a GPU before any tensor: 0.25 to 1.4 GiB by card and driver; this is a figure amid reports.

The driver's context and the kernels loaded so far. With kernels loaded when they are first used (CUDA 11.7 on, the
default on Linux since 12.2) torch was reported at 287 MB, without at 667 MB (github.com/pytorch/pytorch/pull/86509),
at 426 MiB on an RTX 6000 Ada, at over 1000 MB with older releases (…/pytorch/issues/107667); computing loads more.
"""

NEVER_MEASURED = "The figures for GPUs follow the libraries' source; they were never measured on one."
"""The note of every plan with a share on a GPU."""
