"""Where we run, from the signs each place is documented to leave."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from shoestring.hardware.environment import read_environment, read_packages

Tree = Callable[[dict[str, str]], Path]


@pytest.mark.parametrize(
    ("variables", "modules", "kind"),
    [
        ({}, [], "terminal"),
        ({}, ["ipykernel"], "notebook"),
        ({"COLAB_RELEASE_TAG": "release-colab-1"}, ["ipykernel"], "colab"),
        ({}, ["ipykernel", "google.colab"], "colab"),
        ({"KAGGLE_KERNEL_RUN_TYPE": "Interactive"}, ["ipykernel"], "kaggle"),
        ({"KAGGLE_KERNEL_RUN_TYPE": "Batch", "COLAB_RELEASE_TAG": "x"}, ["google.colab"], "kaggle"),
        ({"container": "podman"}, [], "container"),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, [], "container"),
        ({"container": "podman"}, ["ipykernel"], "notebook"),
    ],
)
def test_the_most_specific_place_is_named(
    tmp_path: Path, variables: dict[str, str], modules: list[str], kind: str
) -> None:
    assert read_environment(variables, modules, tmp_path).kind == kind


@pytest.mark.parametrize(
    "files",
    [{".dockerenv": ""}, {"run/.containerenv": ""}, {"proc/1/cgroup": "4:memory:/docker/abc\n"}],
)
def test_a_container_is_known_by_its_files(tree: Tree, files: dict[str, str]) -> None:
    assert read_environment({}, [], tree(files)).container


def test_a_notebook_in_a_container_is_both(tree: Tree) -> None:
    environment = read_environment({}, ["ipykernel"], tree({".dockerenv": ""}))

    assert (environment.notebook, environment.container) == (True, True)


def test_packages_have_their_installed_version_or_none() -> None:
    packages = read_packages()

    assert packages["xllamacpp"] == metadata.version("xllamacpp")
    assert "torch" in packages
