"""Where this process runs: Colab, Kaggle, a notebook, a container or a plain terminal; what is installed."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shoestring.hardware.cgroup import read_text

Kind = Literal["colab", "kaggle", "notebook", "container", "terminal"]

_ROOT = Path("/")
_CONTAINER_CGROUPS = ("docker", "kubepods", "containerd", "libpod", "lxc")

# What runs models, and the libraries whose versions decide how.
PACKAGES = ("xllamacpp", "torch", "transformers", "accelerate", "bitsandbytes", "huggingface_hub")


@dataclass(frozen=True)
class Environment:
    """The surroundings.

    Attributes:
        kind: the most specific of the five; Colab and Kaggle are notebooks in containers too.
        notebook: whether a Jupyter kernel runs this very process.
        container: whether it runs in a container.
        system: operating system, release and architecture.
        python: version of the interpreter.
    """

    kind: Kind
    notebook: bool
    container: bool
    system: str
    python: str


def read_environment(
    variables: Mapping[str, str] = os.environ, modules: Collection[str] = sys.modules, root: Path = _ROOT
) -> Environment:
    """The surroundings, from the signs that each is documented to leave."""
    notebook = "ipykernel" in modules
    container = _in_container(variables, root)
    return Environment(
        kind=_kind(variables, modules, notebook, container),
        notebook=notebook,
        container=container,
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
    )


def _kind(variables: Mapping[str, str], modules: Collection[str], notebook: bool, container: bool) -> Kind:
    if "KAGGLE_KERNEL_RUN_TYPE" in variables:  # first: its images carry google.colab as well
        return "kaggle"
    if "COLAB_RELEASE_TAG" in variables or "google.colab" in modules:
        return "colab"
    if notebook:
        return "notebook"
    return "container" if container else "terminal"


def _in_container(variables: Mapping[str, str], root: Path) -> bool:
    """Docker's and Podman's marker files, systemd's `container` variable, Kubernetes, init's cgroup."""
    if (root / ".dockerenv").exists() or (root / "run/.containerenv").exists():
        return True
    if variables.get("container") or "KUBERNETES_SERVICE_HOST" in variables:
        return True
    groups = read_text(root / "proc/1/cgroup") or ""
    return any(name in groups for name in _CONTAINER_CGROUPS)


def read_packages() -> dict[str, str | None]:
    """Versions of the engines and the libraries they stand on, importing none; None: not installed."""
    return {name: _version(name) for name in PACKAGES}


def _version(name: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
