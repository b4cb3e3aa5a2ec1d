"""Machines by name, to plan for one that is not at hand.

A name is of a card or of a whole machine; a card needs a host around it, and `description` says which was assumed.
Every figure is published: a card's compute capability from NVIDIA's list (developer.nvidia.com/cuda-gpus), its
bandwidth from its data sheet, its memory as `nvidia-smi` shows it, and as the CUDA runtime reports it on Linux
(llama.cpp's and PyTorch's start-up lines and errors), where the driver's own share and that of error correction are
gone. Bandwidths are what the memory can do in theory; no program reaches them.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

from shoestring.errors import UsageError
from shoestring.hardware.base import Cpu, Disk, Gpu, Hardware, Memory
from shoestring.hardware.gpu import has_bf16
from shoestring.units import GiB, MiB, format_bytes

_GB_PER_S = 1e9
_X86 = ("avx", "avx2", "bmi2", "f16c", "fma", "sse2")
"""What every processor in these machines has (Intel since 2013, AMD since 2015); they may have more."""


@dataclass(frozen=True)
class _Card:
    """A graphics card.

    Attributes:
        name: as NVML gives it.
        total: MiB that `nvidia-smi` shows; usable: MiB that the CUDA runtime reports on Linux.
        bandwidth: GB/s of its memory, from the data sheet.
    """

    name: str
    total: int
    usable: int
    capability: tuple[int, int]
    bandwidth: float

    def gpu(self) -> Gpu:
        return Gpu(
            name=self.name,
            total_bytes=self.total * MiB,
            free_bytes=self.usable * MiB,
            driver=None,
            cuda=None,
            compute_capability=self.capability,
            bf16=has_bf16(self.capability),
            bandwidth_bytes_per_s=self.bandwidth * _GB_PER_S,
        )


_CARDS: Mapping[str, _Card] = {
    # NVIDIA T4 data sheet: 16 GB GDDR6, 320 GB/s. 14.74 GiB usable (newer drivers: 14.56).
    "t4": _Card("Tesla T4", 15_360, 15_094, (7, 5), 320),
    # Tesla P100 (PCIe) data sheet: 16 GB HBM2, 732 GB/s.
    "p100": _Card("Tesla P100-PCIE-16GB", 16_384, 16_271, (6, 0), 732),
    # Tesla V100 data sheet: HBM2, 900 GB/s.
    "v100-16": _Card("Tesla V100-SXM2-16GB", 16_384, 16_160, (7, 0), 900),
    "v100-32": _Card("Tesla V100-SXM2-32GB", 32_768, 32_494, (7, 0), 900),
    # L4 data sheet: 24 GB GDDR6, 300 GB/s.
    "l4": _Card("NVIDIA L4", 23_034, 22_558, (8, 9), 300),
    # L40S data sheet: 48 GB GDDR6, 864 GB/s.
    "l40s": _Card("NVIDIA L40S", 46_068, 45_467, (8, 9), 864),
    # A100 data sheet: 40 GB HBM2, 1,555 GB/s; 80 GB HBM2e, 2,039 GB/s (SXM).
    "a100-40": _Card("NVIDIA A100-SXM4-40GB", 40_960, 40_442, (8, 0), 1555),
    "a100-80": _Card("NVIDIA A100-SXM4-80GB", 81_920, 81_151, (8, 0), 2039),
    # H100 data sheet: 80 GB HBM3, 3.35 TB/s (SXM).
    "h100": _Card("NVIDIA H100 80GB HBM3", 81_559, 81_081, (9, 0), 3350),
    # GeForce product pages: memory type, bus width and speed, of which bandwidth is the product.
    "gtx-1080-ti": _Card(
        "NVIDIA GeForce GTX 1080 Ti", 11_264, 11_172, (6, 1), 484
    ),  # GDDR5X, 352 bit, 11 Gbit/s
    "rtx-3060": _Card("NVIDIA GeForce RTX 3060", 12_288, 11_906, (8, 6), 360),  # GDDR6, 192 bit, 15 Gbit/s
    "rtx-3090": _Card("NVIDIA GeForce RTX 3090", 24_576, 24_123, (8, 6), 936),  # GDDR6X, 384 bit, 19.5 Gbit/s
    "rtx-4060-8": _Card("NVIDIA GeForce RTX 4060", 8_188, 7_813, (8, 9), 272),  # GDDR6, 128 bit, 17 Gbit/s
    "rtx-4070": _Card("NVIDIA GeForce RTX 4070", 12_282, 11_866, (8, 9), 504),  # GDDR6X, 192 bit, 21 Gbit/s
    "rtx-4090": _Card("NVIDIA GeForce RTX 4090", 24_564, 24_080, (8, 9), 1008),  # GDDR6X, 384 bit, 21 Gbit/s
    "rtx-5090": _Card("NVIDIA GeForce RTX 5090", 32_607, 32_109, (12, 0), 1792),  # GDDR7, 512 bit, 28 Gbit/s
}


@dataclass(frozen=True)
class _Host:
    """What is around the cards.

    Attributes:
        what: what it is, in a few words.
        cores: logical ones; physical: None where it is not told.
        kept: the share of main memory that the system and other programs keep.
        bandwidth: GB/s of main memory in theory: channels × 8 bytes × transfers; None where it is not told.
        disk: bytes that are free.
    """

    what: str
    ram_bytes: int
    cores: int
    kept: float
    physical: int | None = None
    bandwidth: float | None = None
    disk: int = 100 * GiB
    features: tuple[str, ...] = _X86
    assumed: bool = False


# Colab's own resource panel; it calls GiB GB. Its disks vary: what is left of them at least.
_COLAB = _Host("Colab, free", round(12.67 * GiB), 2, kept=0.1, physical=1, disk=60 * GiB)
_COLAB_L4 = replace(_COLAB, what="Colab, paid", ram_bytes=53 * GiB, cores=12, physical=6)
_COLAB_A100 = replace(_COLAB_L4, ram_bytes=round(83.5 * GiB))
# kaggle.com/docs/notebooks, technical specifications: 4 cores, 29 GB of memory, 20 GB of disk.
_KAGGLE = _Host("Kaggle", 29 * GiB, 4, kept=0.1, physical=2, disk=20 * GiB)
_SERVER = _Host("a cloud machine", 128 * GiB, 16, kept=0.1, disk=200 * GiB, assumed=True)
_SMALL_SERVER = replace(_SERVER, ram_bytes=64 * GiB, cores=8)
# Two channels of DDR4-3200: 2 × 8 bytes × 3.2 GT/s; of DDR5-4800: 2 × 8 × 4.8.
_DESKTOP = _Host(
    "a desktop with DDR4-3200", 32 * GiB, 16, kept=0.25, physical=8, bandwidth=51.2, assumed=True
)
_NEWER_DESKTOP = replace(_DESKTOP, what="a desktop with DDR5-4800", bandwidth=76.8)
_LAPTOP = _Host("a laptop with DDR4-3200", 8 * GiB, 8, kept=0.25, physical=4, bandwidth=51.2, assumed=True)
# Raspberry Pi 5 product brief: four Cortex-A76, LPDDR4X-4267, 32 bit wide: 4 bytes × 4.267 GT/s.
_PI = _Host("Raspberry Pi 5", 8 * GiB, 4, kept=0.1, physical=4, bandwidth=17.1, disk=16 * GiB)


@dataclass(frozen=True)
class _Machine:
    host: _Host
    cards: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


_MACHINES: Mapping[str, _Machine] = {
    "t4": _Machine(_COLAB, ("t4",), ("colab", "colab-t4")),
    "kaggle-2xt4": _Machine(_KAGGLE, ("t4", "t4"), ("kaggle", "2xt4", "t4x2")),
    "p100": _Machine(_KAGGLE, ("p100",), ("kaggle-p100",)),
    "v100-16": _Machine(_SMALL_SERVER, ("v100-16",), ("v100", "v100-16gb")),
    "v100-32": _Machine(_SMALL_SERVER, ("v100-32",), ("v100-32gb",)),
    "l4": _Machine(_COLAB_L4, ("l4",), ("colab-l4",)),
    "l40s": _Machine(_SERVER, ("l40s",)),
    "a100-40": _Machine(_COLAB_A100, ("a100-40",), ("a100", "a100-40gb", "colab-a100")),
    "a100-80": _Machine(_SERVER, ("a100-80",), ("a100-80gb",)),
    "h100": _Machine(_SERVER, ("h100",), ("h100-80", "h100-80gb", "h100-sxm")),
    "gtx-1080-ti": _Machine(_DESKTOP, ("gtx-1080-ti",)),
    "rtx-3060": _Machine(_DESKTOP, ("rtx-3060",), ("rtx-3060-12gb", "rtx-3060-12")),
    "rtx-3090": _Machine(_DESKTOP, ("rtx-3090",)),
    "rtx-4060-8": _Machine(_DESKTOP, ("rtx-4060-8",), ("rtx-4060", "rtx-4060-8gb")),
    "rtx-4070": _Machine(_DESKTOP, ("rtx-4070",)),
    "rtx-4090": _Machine(_NEWER_DESKTOP, ("rtx-4090",)),
    "rtx-5090": _Machine(_NEWER_DESKTOP, ("rtx-5090",)),
    "laptop-8gb": _Machine(_LAPTOP),
    "laptop-16gb": _Machine(replace(_LAPTOP, ram_bytes=16 * GiB), aliases=("laptop",)),
    "laptop-32gb": _Machine(
        replace(
            _LAPTOP,
            what="a laptop with DDR5-4800",
            ram_bytes=32 * GiB,
            cores=12,
            physical=6,
            bandwidth=76.8,
        )
    ),
    "cpu-2core": _Machine(_COLAB, aliases=("colab-cpu",)),
    "raspberry-pi-5-8gb": _Machine(
        replace(_PI, features=("dotprod", "fp16", "neon")),
        aliases=("raspberry-pi-5", "raspberry-pi", "pi-5", "rpi5"),
    ),
}


def names() -> tuple[str, ...]:
    """Every machine that `named` knows, aliases left out."""
    return tuple(_MACHINES)


def named(name: str) -> Hardware:
    """A machine by its name; case, spaces, hyphens and the maker's words (`NVIDIA GeForce`, `Tesla`) do not matter.

    Raises:
        UsageError: there is none of that name; the nearest are named.
    """
    found = _find(name)
    machine = _MACHINES[found]
    host = machine.host
    return Hardware(
        cpu=Cpu(host.what, host.physical, host.cores, host.features),
        memory=Memory(host.ram_bytes, round(host.ram_bytes * (1 - host.kept)), None),
        gpus=tuple(_CARDS[card].gpu() for card in machine.cards),
        disk=Disk(f"the disk of {found}", host.disk),
        bandwidth_bytes_per_s=None if host.bandwidth is None else host.bandwidth * _GB_PER_S,
        name=found,
    )


def description(name: str) -> str:
    """One sentence: the cards of a named machine, and the host that is meant or assumed.

    Raises:
        UsageError: as `named`.
    """
    machine = _MACHINES[_find(name)]
    host = machine.host
    memory = format_bytes(host.ram_bytes)
    around = f"{host.what}: {memory} of memory, {host.cores} logical cores"
    kept = f"{host.kept:.0%} of the memory is kept by the system"
    if not machine.cards:
        return f"{around[0].upper()}{around[1:]}, no GPU; {kept}."
    card = _CARDS[machine.cards[0]]
    count = "" if len(machine.cards) == 1 else f"{len(machine.cards)} × "
    usable = format_bytes(card.usable * MiB)
    link = "assumed in" if host.assumed else "in"
    return f"{count}{card.name} with {usable} usable, {link} {around}; {kept}."


def custom(ram_bytes: int | None, vram_bytes: int | None, base: Hardware) -> Hardware:
    """The same machine with other amounts of memory, all of which may be used.

    Args:
        ram_bytes: main memory; None: as it is.
        vram_bytes: memory of all GPUs together, shared out as it is now; 0: no GPU; None: as it is. Where there is
            no GPU it makes one of which nothing else is known.

    Raises:
        UsageError: a negative amount, or no main memory at all.
    """
    if ram_bytes is not None and ram_bytes < 1:
        raise UsageError(
            f"A machine with {ram_bytes} bytes of memory runs nothing.", "Give a size such as 12GB."
        )
    if vram_bytes is not None and vram_bytes < 0:
        raise UsageError(
            f"A GPU cannot have {vram_bytes} bytes of memory.", "Give a size such as 15GB, or 0 for none."
        )
    changed = base
    if ram_bytes is not None:
        changed = replace(changed, memory=Memory(ram_bytes, ram_bytes, None))
    if vram_bytes is not None:
        changed = replace(changed, gpus=_resized(base.gpus, vram_bytes))
    return changed


def gpu_bandwidth(name: str, total_bytes: int) -> float | None:
    """Bytes per second of a GPU's memory, by the name and size that NVML gives; None where they are not known.

    The size is looked at because cards of one name differ in it, and then in bandwidth (RTX 3060, 8 and 12 GB).
    """
    for card in _CARDS.values():
        if card.name == name and abs(total_bytes / (card.total * MiB) - 1) < 0.1:
            return card.bandwidth * _GB_PER_S
    return None


def _resized(gpus: tuple[Gpu, ...], vram_bytes: int) -> tuple[Gpu, ...]:
    if vram_bytes == 0:
        return ()
    if not gpus:
        return (Gpu("a GPU", vram_bytes, vram_bytes, None, None, None, None),)
    whole = sum(gpu.total_bytes for gpu in gpus)
    shares = [vram_bytes * gpu.total_bytes // whole for gpu in gpus]
    shares[0] += vram_bytes - sum(shares)
    return tuple(
        replace(gpu, total_bytes=share, free_bytes=share) for gpu, share in zip(gpus, shares, strict=True)
    )


def _find(name: str) -> str:
    known = _known()
    wanted = _plain(name)
    if wanted in known:
        return known[wanted]
    near = difflib.get_close_matches(wanted, known, n=6, cutoff=0.5)
    nearest = list(dict.fromkeys(known[match] for match in near))[:3]
    question = f"Nearest: {', '.join(nearest)}. " if nearest else ""
    hint = f"{question}Known: {', '.join(_MACHINES)}."
    raise UsageError(f"No machine called {name!r} is known.", hint)


@cache
def _known() -> dict[str, str]:
    """Every spelling, reduced to what matters, and the machine it means."""
    return {_plain(alias): name for name, machine in _MACHINES.items() for alias in (name, *machine.aliases)}


def _plain(name: str) -> str:
    return re.sub(r"nvidia|geforce|tesla|rtx|gtx|[^a-z0-9]", "", name.lower())
