"""Exact figures of transformers for a model and settings, from `config.json` alone.

A process of its own builds the real model over fake tensors and runs the real forward pass: the library itself says
which tensors it makes and when it lets go of them. Weights are neither read nor allocated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from shoestring.errors import EngineError, ModelNotFoundError, UsageError
from shoestring.planning.ask_process import ask
from shoestring.planning.base import TransformersSettings

ENGINE_MODULE = "shoestring.engines.transformers_dry_run"
TIMEOUT_S = 120.0


@dataclass(frozen=True)
class TransformersDryRun:
    """What the tensors of a load take, in bytes. Weights + cache + the larger peak is the most alive at once.

    Attributes:
        weights_bytes: parameters (tied ones once), buffers, and the scales of 4-bit and 8-bit weights; as they are
            after first use, when bitsandbytes has rearranged them for the CPU.
        footprint_bytes: what `get_memory_footprint()` prints: without those scales.
        kv_cache_bytes: keys, values and recurrent state of every sequence after a prompt that fills the context; of
            sliding layers the whole prompt, which the library lets go of with the first token decoded.
        prefill_peak_bytes: beyond weights and cache, the most alive while a prompt that fills the context is read
            by a worker that has just loaded: what rearranging takes counts.
        decode_peak_bytes: the same while one token more is decoded.
        seconds: that the dry run took, imports included.
        weights_by_dtype: `weights_bytes` by torch's name of the type.
    """

    weights_bytes: int
    footprint_bytes: int
    kv_cache_bytes: int
    prefill_peak_bytes: int
    decode_peak_bytes: int
    seconds: float
    weights_by_dtype: Mapping[str, int] = field(default_factory=dict)

    @property
    def compute_bytes(self) -> int:
        """What must be free beside weights and cache."""
        return max(self.prefill_peak_bytes, self.decode_peak_bytes)


def dry_run(
    config_folder: Path,
    settings: TransformersSettings,
    *,
    on_gpu: bool = False,
    timeout_s: float = TIMEOUT_S,
) -> TransformersDryRun:
    """Ask transformers what the model of a folder takes with these settings; some seconds, most of them imports.

    Only `config.json` is read, and code beside it never run. The forward pass is a generation's: a full context
    without padding, logits of the last position alone. What kernels take and give back within one operation is
    counted for bitsandbytes and for arithmetic in mixed precision, and nowhere else: attention and matrix products
    use some hundred kB more a thread.

    Args:
        on_gpu: count as torch does on CUDA: sizes rounded up to 512 bytes, none of the CPU's copies. Never measured
            on one; the CUDA context is not among the figures.

    Raises:
        ModelNotFoundError: there is no `config.json` in the folder.
        UsageError: a context or batch below 1.
        EngineError: the library is not installed, does not know the model, cannot run it with these settings, or
            was not done in time (recurrent models without their kernels go through the context token by token).
    """
    import msgspec

    if settings.context < 1 or settings.batch < 1:
        raise UsageError(f"A context of {settings.context} × {settings.batch} sequences holds nothing.")
    if not (config_folder / "config.json").is_file():
        raise ModelNotFoundError(f"{config_folder} has no config.json.", "Name the folder of a checkpoint.")
    question = {"folder": str(config_folder.resolve()), "settings": asdict(settings), "on_gpu": on_gpu}
    answer = msgspec.json.decode(
        ask(ENGINE_MODULE, question, engine="transformers", subject=config_folder.name, timeout_s=timeout_s)
    )
    if answer["error"]:
        raise EngineError(answer["error"], answer["hint"])
    return TransformersDryRun(**answer["figures"])
