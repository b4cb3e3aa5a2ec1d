"""A session keeps its promises whatever happens to its worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from shoestring.engines.base import Event, Finished, Sampling, Segment, Token
from shoestring.engines.fake import Script, fake_model
from shoestring.errors import (
    EngineError,
    InvalidModelFileError,
    MemoryGuardError,
    PromptTooLongError,
    WorkerDiedError,
)
from shoestring.planning.base import LlamaCppSettings
from shoestring.runtime.ledger import Ledger
from shoestring.runtime.process import prestart
from shoestring.runtime.session import Session, open_session
from shoestring.units import MiB

Open = Callable[..., Session]
SLOW = Script(reply="x" * 200, token_s=0.01)


@pytest.fixture
def open_fake(tmp_path: Path, home: Path) -> Iterator[Open]:
    """Opens sessions on the fake engine in a home of their own, and closes them."""
    opened: list[Session] = []

    def make(script: Script = Script(), context: int = 4096, **options: object) -> Session:  # noqa: B008
        facts, plan = fake_model(tmp_path / f"script{len(opened)}", script, context=context)
        opened.append(open_session(facts, plan, **options))  # type: ignore[arg-type]
        return opened[-1]

    yield make
    for session in opened:
        session.close()


def text_of(events: Iterator[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Token))


def worker_pid(session: Session) -> int:
    session.load()
    assert session._life is not None
    pid = session._life.backend.pid
    assert pid is not None
    return pid


def is_running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_session_streams_what_the_engine_says(open_fake: Open) -> None:
    assert text_of(open_fake(Script(reply="Grüße 🌍")).generate([1], Sampling())) == "Grüße 🌍"


def test_a_session_tokenises_segments(open_fake: Open) -> None:
    assert open_fake().tokenize([Segment("<|end|>", special=True), Segment("<")]) == [257, 60]


def test_nothing_is_started_before_it_is_needed(open_fake: Open) -> None:
    session = open_fake()
    assert session._life is None
    assert session.load_s is None


def test_a_prestarted_worker_is_used(open_fake: Open) -> None:
    worker = prestart("fake")
    session = open_fake(worker=worker)
    assert worker_pid(session) == worker.pid


def test_a_prestarted_worker_of_another_engine_is_replaced(open_fake: Open) -> None:
    worker = prestart("llama_cpp")
    session = open_fake(worker=worker)
    assert worker_pid(session) != worker.pid
    assert not is_running(worker.pid)


def test_closing_ends_the_worker_and_gives_its_memory_back(open_fake: Open) -> None:
    session = open_fake(Script(load_bytes=64 * MiB))
    pid = worker_pid(session)
    session.close()
    assert not is_running(pid)


def test_a_dropped_session_unloads(tmp_path: Path, home: Path) -> None:
    facts, plan = fake_model(tmp_path / "script", Script())
    session = open_session(facts, plan)
    pid = worker_pid(session)
    del session
    assert not is_running(pid)


def test_many_requests_share_one_worker(open_fake: Open) -> None:
    session = open_fake(Script(reply="abcdefgh", token_s=0.002))
    texts: list[str] = []
    threads = [
        threading.Thread(target=lambda: texts.append(text_of(session.generate([1], Sampling()))))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == ["abcdefgh"] * 8


def test_closing_the_iterator_cancels_the_generation(open_fake: Open) -> None:
    session = open_fake(Script(reply="x" * 100_000, token_s=0.001), context=200_000)
    events = session.generate([1], Sampling())
    next(event for event in events if isinstance(event, Token))
    events.close()  # type: ignore[attr-defined]
    assert text_of(session.generate([1], Sampling(max_tokens=3))) == "xxx"


def test_a_prompt_too_long_is_refused_before_anything_is_loaded(open_fake: Open) -> None:
    session = open_fake(context=16)
    with pytest.raises(PromptTooLongError):
        session.generate([1] * 20, Sampling())
    assert session._life is None


def test_a_failed_request_leaves_the_worker_alive(open_fake: Open) -> None:
    session = open_fake(Script(reply="abcdef", fail_after_tokens=3))
    pid = worker_pid(session)
    with pytest.raises(EngineError):
        text_of(session.generate([1], Sampling()))
    assert text_of(session.generate([1], Sampling(max_tokens=2))) == "ab"
    assert worker_pid(session) == pid


def test_a_model_that_cannot_be_loaded_is_an_engine_error(tmp_path: Path, home: Path) -> None:
    facts, plan = fake_model(tmp_path / "script", Script())
    facts.files[0].write_text("{")
    with open_session(facts, plan) as session, pytest.raises(EngineError):
        session.load()


def test_a_worker_killed_in_mid_answer_is_a_typed_error_and_the_next_call_works(open_fake: Open) -> None:
    session = open_fake(SLOW)
    pid = worker_pid(session)
    events = session.generate([1], Sampling())
    next(event for event in events if isinstance(event, Token))
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(WorkerDiedError) as caught:
        text_of(events)
    assert caught.value.exit_code == -signal.SIGKILL
    assert text_of(session.generate([1], Sampling(max_tokens=3))) == "xxx"
    assert worker_pid(session) != pid


def test_a_worker_that_kills_itself_says_how_it_died(open_fake: Open) -> None:
    session = open_fake(Script(die_after_tokens=3))
    with pytest.raises(WorkerDiedError, match="SIGKILL"):
        text_of(session.generate([1], Sampling()))


def test_all_requests_in_flight_hear_of_the_death(open_fake: Open) -> None:
    session = open_fake(SLOW)
    pid = worker_pid(session)
    failures: list[type[Exception]] = []
    started = threading.Barrier(5)

    def ask() -> None:
        events = session.generate([1], Sampling())
        next(event for event in events if isinstance(event, Token))
        started.wait()
        try:
            text_of(events)
        except WorkerDiedError as error:
            failures.append(type(error))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    started.wait()
    os.kill(pid, signal.SIGKILL)
    for thread in threads:
        thread.join()
    assert failures == [WorkerDiedError] * 4


def test_a_worker_that_grows_past_its_plan_is_stopped_with_the_figures(open_fake: Open) -> None:
    session = open_fake(Script(reply="x" * 400, bytes_per_token=4 * MiB, token_s=0.01))
    with pytest.raises(MemoryGuardError) as caught:
        text_of(session.generate([1], Sampling()))
    assert caught.value.plan is session.plan
    assert (caught.value.measured_bytes or 0) > session.plan.bytes.total
    assert text_of(session.generate([1], Sampling(max_tokens=1))) == "x"


def test_the_guard_offers_what_would_fit(open_fake: Open, tmp_path: Path) -> None:
    _, smaller = fake_model(tmp_path / "smaller", Script(), context=512)
    growing = Script(reply="x" * 400, bytes_per_token=4 * MiB, token_s=0.01)
    session = open_fake(growing, smaller=lambda failed: [smaller])
    with pytest.raises(MemoryGuardError) as caught:
        text_of(session.generate([1], Sampling()))
    assert caught.value.alternative is smaller


def test_without_the_guard_a_worker_may_grow(open_fake: Open) -> None:
    session = open_fake(Script(reply="x" * 20, bytes_per_token=8 * MiB), guard=False)
    assert text_of(session.generate([1], Sampling())) == "x" * 20


def test_memory_is_reported_predicted_beside_measured(open_fake: Open) -> None:
    session = open_fake(Script(load_bytes=32 * MiB), context=100)
    text_of(session.generate([1] * 10, Sampling(max_tokens=5)))
    report = session.memory()
    assert report.measured_peak_bytes is not None
    assert report.measured_peak_bytes > 32 * MiB
    assert report.error == report.predicted_bytes / report.measured_peak_bytes - 1
    assert (report.context_tokens, report.context_full) == (15, False)


def test_memory_of_a_closed_session_is_still_known(open_fake: Open) -> None:
    session = open_fake()
    session.load()
    session.close()
    assert session.memory().measured_peak_bytes


def test_every_load_is_written_to_the_ledger(open_fake: Open) -> None:
    session = open_fake(context=128)
    text_of(session.generate([1], Sampling(max_tokens=2)))
    session.close()
    (record,) = Ledger().records()
    assert (record.model, record.context_tokens, record.context_full) == ("fake", 3, False)
    assert record.outcome == "closed"


def test_a_filled_context_is_recorded_as_such(open_fake: Open) -> None:
    session = open_fake(Script(reply="abc"), context=128)
    text_of(session.generate([1] * 60, Sampling(ignore_eos=True)))
    session.close()
    assert Ledger().records()[0].context_full


def test_a_ledger_that_cannot_be_written_does_not_fail_the_answer(
    open_fake: Open, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    session = open_fake()
    session.load()
    (home / "state" / "ledger.sqlite3").mkdir(parents=True)
    session.close()
    assert "ledger" in caplog.text


def test_in_process_gives_the_same_answers(open_fake: Open) -> None:
    session = open_fake(Script(reply="same"), in_process=True)
    assert text_of(session.generate([1], Sampling())) == "same"
    assert session.tokenize([Segment("a")]) == [97]
    assert session.memory().measured_peak_bytes is None


def test_in_process_generation_can_be_cancelled_and_fails_alike(open_fake: Open) -> None:
    session = open_fake(Script(reply="abcdef", fail_after_tokens=3), in_process=True)
    events = session.generate([1], Sampling())
    next(event for event in events if isinstance(event, Token))
    events.close()  # type: ignore[attr-defined]
    with pytest.raises(EngineError):
        text_of(session.generate([1], Sampling()))


def test_the_last_event_carries_the_figures(open_fake: Open) -> None:
    *_, last = open_fake(Script(reply="abc")).generate([1, 2], Sampling())
    assert isinstance(last, Finished)
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (2, 4)


def test_a_session_notices_a_worker_that_died_between_calls(open_fake: Open) -> None:
    session = open_fake(Script(reply="ab"))
    pid = worker_pid(session)
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while session._life is not None and session._life.usable and time.monotonic() < deadline:
        time.sleep(0.01)
    assert text_of(session.generate([1], Sampling())) == "ab"


def test_closing_ends_a_load_that_is_running(open_fake: Open) -> None:
    session = open_fake(Script(load_s=30))
    failures: list[Exception] = []

    def load() -> None:
        try:
            session.load()
        except WorkerDiedError as error:
            failures.append(error)

    loading = threading.Thread(target=load)
    loading.start()
    while session._life is None:
        time.sleep(0.01)
    session.close()
    loading.join(10)
    assert len(failures) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("uses_it", [False, True])
def test_a_forked_child_that_ends_leaves_the_parents_model_alone(open_fake: Open, uses_it: bool) -> None:
    session = open_fake(Script(reply="abc"))
    pid = worker_pid(session)
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from shoestring.engines.base import Sampling\n"
        "from shoestring.engines.fake import Script, fake_model\n"
        "from shoestring.runtime.session import open_session\n"
        f"session = open_session(*fake_model(Path({str(session.facts.files[0])!r}), Script(reply='abc')))\n"
        "session.load()\n"
        "scratch = session._life.backend.process._scratch\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        f"    if {uses_it}: list(session.generate([1], Sampling()))\n"
        "    sys.exit(0)\n"
        "os.waitpid(child, 0)\n"
        "assert scratch.is_dir(), 'the child removed its folder'\n"
        "list(session.generate([1], Sampling()))\n"
        "print('answered')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "answered\n", done.stderr
    assert is_running(pid)


def test_a_home_that_cannot_be_written_is_no_reason_not_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SHOESTRING_HOME", "/proc/nowhere")
    facts, plan = fake_model(tmp_path / "script", Script(reply="abc"))
    with open_session(facts, plan) as session:
        assert text_of(session.generate([1], Sampling())) == "abc"
    assert "ledger" in caplog.text


def test_a_file_whose_name_is_no_text_is_loaded(tmp_path: Path, home: Path) -> None:
    file = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.script"))
    facts, plan = fake_model(file, Script(reply="abc"))
    with open_session(facts, plan) as session:
        assert text_of(session.generate([1], Sampling())) == "abc"


def test_a_hopelessly_long_text_is_refused_before_anything_is_loaded(open_fake: Open) -> None:
    session = open_fake(context=64)
    with pytest.raises(PromptTooLongError):
        session.tokenize([Segment("x" * 64 * 256)])
    assert session._life is None


def test_a_plan_of_an_engine_that_only_plans_is_refused(tmp_path: Path) -> None:
    facts, plan = fake_model(tmp_path / "script", Script())
    with pytest.raises(EngineError, match="vllm can be made, but not loaded"):
        open_session(facts, replace(plan, engine="vllm"))


def test_a_plan_of_llama_cpp_on_a_gpu_is_refused(tmp_path: Path) -> None:
    facts, plan = fake_model(tmp_path / "script", Script())
    with pytest.raises(EngineError, match="can be made, but not loaded"):
        open_session(facts, replace(plan, settings=LlamaCppSettings(context=512, gpu_layers=3)))


def test_a_plan_without_a_total_is_refused(tmp_path: Path) -> None:
    facts, plan = fake_model(tmp_path / "script", Script())
    unknown = replace(plan, bytes=replace(plan.bytes, total=None))
    with pytest.raises(EngineError, match="without a total"):
        open_session(facts, unknown)


def test_the_ledger_keeps_what_was_a_correction_apart(open_fake: Open, tmp_path: Path) -> None:
    facts, plan = fake_model(tmp_path / "corrected", Script())
    with open_session(facts, replace(plan, terms={"calibration": 1234})) as session:
        session.load()
    assert Ledger().records()[-1].correction_bytes == 1234


def test_a_file_that_was_replaced_after_it_was_checked_is_refused(open_fake: Open) -> None:
    session = open_fake(Script(reply="checked"))
    Script(reply="something else").write(session.facts.files[0])
    with pytest.raises(InvalidModelFileError, match="changed"):
        session.load()
