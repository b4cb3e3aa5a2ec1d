"""How fast a plan decodes: what memory allows at most, and what is to be expected.

To make one token for each of its sequences, a model reads all its weights once and every sequence's cache, so that
a step cannot be shorter than bytes ÷ bandwidth, summed over the devices that a token passes one after another.
(Devices that work at the same time on parts of the batch read their weights once a part, and gain nothing.)

The **limit** counts weights alone: the first token after a short prompt has next to no cache to read, and a limit must
hold for every token. The **estimate** counts the cache half full, its mean over an answer that fills the context.

Of a mixture, a batch reads more experts than one sequence does. With routers that choose evenly and independently, B
sequences together use all · (1 − (1 − one/all)^B) bytes of it in the mean; skewed routers use less. The limit takes the
least there can be, all sequences with the same experts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shoestring.hardware.base import Cpu, Gpu, Hardware
from shoestring.planning.base import CPU, DISK, Assignment, TokensPerSecond, Unit

CACHE_FILL = 0.5
"""Of the cache's bytes, how many a step reads in the estimate."""

_UNDERSTOOD = "llama_cpp"
"""The engine whose speed was measured; for others there is only the limit."""

# llama.cpp on x86 with AVX2, one core of a Zen 5 server, `benchmarks/decode_speed.py` (dev/LOG.md, 2026-11-25). What is
# left when reading is subtracted grows with the *number* of weights, whatever their type: 1.2 billion of them took 17.6
# ms beside the reading in Q4_0 and 17.5 in Q8_0. More cores shorten it until memory alone is left.
_WEIGHTS_PER_S = 69e9
"""Weights that one core multiplies with, for one sequence."""
_ATTENDED_PER_S = 3.9e9
"""Values of an f16 cache that one core's query heads pass over: 78 million took 19.9 ms."""
_UNIT_S = 70e-6
"""What a block takes beside its weights: norms, threads that wait for each other."""

_GPU_EFFICIENCY: Mapping[str, float] = {
    # Qwen2.5-VL 7B in 4 bits, 39.2 tokens/s on Colab, its weights taken as Q4_K_M's without the embedding, 4.37 GB:
    # huggingface.co/WJO/llama-cpp-b10355-colab-t4-sm75.
    "Tesla T4": 0.53,
    # Llama 3 8B Q4_0 without its embedding, 4.36 GB, 156.6 tokens/s: github.com/ggml-org/llama.cpp/pull/15802.
    "NVIDIA GeForce RTX 3090": 0.73,
    # CodeLlama 7B F16 without its embedding, 13.2 GB, 54.7 tokens/s: github.com/ggml-org/llama.cpp/pull/3776.
    "NVIDIA GeForce RTX 4090": 0.72,
}
"""Share of a card's bandwidth that llama.cpp was seen to reach; cards that nobody published are left out."""

_GPU_MORE_SEQUENCES, _GPU_MOST_SEQUENCES = 0.16, 8
"""Longer by this for each further sequence (the RTX 3090, same source: a step of 2, 4 and 8 takes 1.12, 1.33 and 2.15
times one's); past 8
llama.cpp changes to other kernels (`MMVQ_MAX_BATCH_SIZE`), and there is no estimate."""


def decode_speed(
    units: Sequence[Unit], assignment: Assignment, hardware: Hardware, *, batch: int, engine: str
) -> TokensPerSecond:
    """Tokens per second of all sequences together.

    Args:
        units: the parts of the model, `kv_cache` for the whole batch with the context full.
        assignment: the device of every unit.
        hardware: with its bandwidths, where they are known (`shoestring.hardware.bandwidth`).
        batch: sequences side by side.
        engine: registry name.

    Returns:
        None for a limit where the bandwidth of a device in use is not known, and for an estimate where nothing was
        measured that it could rest on: another engine than llama.cpp, a CPU without AVX2, several sequences on a
        CPU, a GPU that nobody published, a machine whose memory was not measured, units on the disk.
    """
    shares = _shares(units, assignment, batch)
    limit = _rate(batch, [_least_s(share, hardware) for share in shares])
    if engine != _UNDERSTOOD:
        return TokensPerSecond(None, limit)
    estimate = _rate(batch, [_expected_s(share, hardware, batch) for share in shares])
    # What is known of efficiencies is coarse; what memory allows is not.
    return TokensPerSecond(min(estimate, limit) if estimate and limit else None, limit)


@dataclass(frozen=True)
class _Share:
    """What lies on one device.

    Attributes:
        least: bytes of weights that a step reads at least; one: that one sequence's arithmetic is on.
        expected: bytes of weights that a step of the whole batch reads in the mean.
        cache: bytes of cache it reads.
        multiplied: weights that one token is multiplied with; None where that is not known of a unit.
        attended: values of cache that query heads pass over.
        units: how many parts of the model.
    """

    device: str
    least: int
    expected: float
    cache: float
    multiplied: int | None
    attended: float
    units: int


def _shares(units: Sequence[Unit], assignment: Assignment, batch: int) -> list[_Share]:
    found = []
    for device in dict.fromkeys(assignment):
        held = [unit for unit, place in zip(units, assignment, strict=True) if place == device]
        share = _Share(
            device,
            least=sum(unit.read for unit in held),
            expected=sum(_read_by(unit, batch) for unit in held),
            cache=CACHE_FILL * sum(unit.kv_cache for unit in held),
            multiplied=_sum([unit.multiplied for unit in held if unit.read]),
            attended=CACHE_FILL * sum(unit.attended for unit in held),
            units=len(held),
        )
        if share.expected or share.cache:
            found.append(share)
    return found


def _sum(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _read_by(unit: Unit, batch: int) -> float:
    """Bytes of a unit's weights that a batch reads together, in the mean."""
    if not unit.read_all or unit.read_all <= unit.read:
        return unit.read
    return unit.read_all * (1 - (1 - unit.read / unit.read_all) ** batch)


def _rate(batch: int, seconds: Sequence[float | None]) -> float | None:
    known = [part for part in seconds if part is not None]
    total = sum(known)
    return batch / total if total > 0 and len(known) == len(seconds) else None


def _least_s(share: _Share, hardware: Hardware) -> float | None:
    bandwidth = _bandwidth(share.device, hardware)
    return share.least / bandwidth if bandwidth else None


def _bandwidth(device: str, hardware: Hardware) -> float | None:
    if device == CPU:
        return hardware.bandwidth_bytes_per_s
    if device == DISK:
        return hardware.disk.read_bytes_per_s
    gpu = _gpu(device, hardware)
    return gpu.bandwidth_bytes_per_s if gpu else None


def _gpu(device: str, hardware: Hardware) -> Gpu | None:
    index = int(device.removeprefix("gpu"))
    return hardware.gpus[index] if index < len(hardware.gpus) else None


def _expected_s(share: _Share, hardware: Hardware, batch: int) -> float | None:
    if share.device == CPU:
        return _cpu_s(share, hardware, batch)
    if share.device == DISK:
        return None
    return _gpu_s(share, _gpu(share.device, hardware), batch)


def _cpu_s(share: _Share, hardware: Hardware, batch: int) -> float | None:
    """Reading, the arithmetic on weights and cache, and what every block takes besides; of one sequence.

    Several share the reading, but their arithmetic was seen to differ threefold with the weights' type.
    """
    bandwidth = hardware.decode_bandwidth_bytes_per_s
    if not bandwidth or "avx2" not in hardware.cpu.features or share.multiplied is None or batch > 1:
        return None
    arithmetic = share.multiplied / _WEIGHTS_PER_S + share.attended / _ATTENDED_PER_S
    reading = (share.expected + share.cache) / bandwidth
    return reading + arithmetic / _arithmetic_cores(hardware.cpu) + share.units * _UNIT_S


def _arithmetic_cores(cpu: Cpu) -> int:
    """Cores that decode: one fewer than there are (docs/decisions/0004); two threads of a core share its arithmetic."""
    decoding = max(1, cpu.cores_logical - 1)
    return min(decoding, cpu.cores_physical or decoding)


def _gpu_s(share: _Share, gpu: Gpu | None, batch: int) -> float | None:
    efficiency = _GPU_EFFICIENCY.get(gpu.name) if gpu else None
    if gpu is None or efficiency is None or not gpu.bandwidth_bytes_per_s or batch > _GPU_MOST_SEQUENCES:
        return None
    further = 1 + _GPU_MORE_SEQUENCES * (batch - 1)
    return (share.expected * further + share.cache) / (gpu.bandwidth_bytes_per_s * efficiency)
