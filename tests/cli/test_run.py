"""`shoestring run` on the real smollm2: the answer on stdout, everything else on stderr."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest
from command import COMMAND, Command

pytestmark = [pytest.mark.model, pytest.mark.usefixtures("smollm2_files")]
BRIEF = ["--system", "You are a helpful assistant.", "--temperature", "0", "--context", "512"]


def test_the_answer_goes_to_stdout_and_one_quiet_line_to_stderr(shoestring: Command) -> None:
    result = shoestring("run", "smollm2", "What is the capital of France?", *BRIEF)
    assert result.stdout == "The capital of France is Paris.\n"
    (line,) = result.stderr.splitlines()
    assert all(word in line for word in ("tok/s", "first token", "memory", "predicted"))


def test_json_is_one_document_with_the_agreed_keys(shoestring: Command) -> None:
    result = shoestring("run", "smollm2", "What is the capital of France?", *BRIEF, "--json")
    answer = json.loads(result.stdout)
    assert answer["text"] == "The capital of France is Paris."
    assert {"model", "text", "finish_reason", "usage", "timings", "memory", "plan"} <= set(answer)
    assert {"prompt_tokens", "completion_tokens"} <= set(answer["usage"])
    timings = {"load_s", "time_to_first_token_s", "prefill_tokens_per_s", "decode_tokens_per_s"}
    assert timings == set(answer["timings"])
    assert {"predicted_bytes", "measured_peak_bytes", "error"} <= set(answer["memory"])


def test_a_prompt_can_come_from_stdin(shoestring: Command) -> None:
    result = shoestring("run", "smollm2", "-", *BRIEF, stdin="What is the capital of France?")
    assert "Paris" in result.stdout


def test_the_end_by_length_is_said(shoestring: Command) -> None:
    result = shoestring("run", "smollm2", "Count to a hundred.", *BRIEF, "--max-tokens", "4")
    assert "stopped after 4 tokens" in result.stderr


def test_generation_ends_before_a_stop_string(shoestring: Command) -> None:
    result = shoestring("run", "smollm2", "What is the capital of France?", *BRIEF, "--stop", " is")
    assert result.stdout == "The capital of France\n"


def test_a_base_model_continues_text_and_says_so_once(
    shoestring: Command, gemma_files: tuple[Path, ...]
) -> None:
    result = shoestring(
        "run", "gemma3-270m", "The capital of France is", "--max-tokens", "4", "--context", "512"
    )
    assert result.stderr.count("base model") == 1


def test_lines_from_a_pipe_are_turns_of_one_conversation(shoestring: Command) -> None:
    result = shoestring("run", "smollm2", *BRIEF, "--max-tokens", "8", stdin="Hi\n\nWho are you?\n")
    assert result.stderr.count("tok/s") == 2
    assert ">>>" not in result.stdout


class _Terminal:
    """A chat on a terminal of its own, and the person at it."""

    def __init__(self, *arguments: str) -> None:
        self._person, terminal = pty.openpty()
        self.process = subprocess.Popen(
            [*COMMAND, "run", "smollm2", *arguments],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
            env=os.environ | {"TERM": "dumb"},
        )
        os.close(terminal)
        self._unread = ""

    def type(self, text: str) -> None:
        os.write(self._person, text.encode())

    def see(self, what: str, within_s: float = 60) -> None:
        """Read on until `what` has been shown."""
        deadline = time.monotonic() + within_s
        while what not in self._unread:
            ready, _, _ = select.select([self._person], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"{what!r} did not come after {self._unread!r}"
            self._unread += os.read(self._person, 4096).decode(errors="replace")
        self._unread = self._unread.split(what, 1)[1]

    def interrupt(self) -> None:
        os.killpg(self.process.pid, signal.SIGINT)

    def interrupt_prompt(self) -> None:
        """Python's readline sees a signal only while it waits for a key, not just after it has shown one."""
        time.sleep(0.3)
        self.interrupt()

    def close(self) -> int:
        """The exit status."""
        status = self.process.wait(timeout=30)
        os.close(self._person)
        return status


def test_ctrl_c_stops_the_answer_and_not_the_chat() -> None:
    chat = _Terminal("--temperature", "0")
    chat.see(">>>")
    chat.type("Write a very long story about a lighthouse.\n")
    chat.see("lighthouse.\r\n")
    chat.see(" ")  # the answer has begun
    chat.interrupt()
    chat.see("stopped")
    chat.see(">>>")
    chat.type("/bye\n")
    assert chat.close() == 0


def test_after_ctrl_c_the_next_turn_does_not_wait_for_the_stopped_answer() -> None:
    chat = _Terminal("--temperature", "0", "--max-tokens", "2000")
    chat.see(">>>")
    chat.type("Write a very long story about a lighthouse.\n")
    chat.see("lighthouse.\r\n")
    chat.see(" ")  # the answer has begun
    chat.interrupt()
    chat.see("stopped")
    chat.type("What is the capital of France?\n")
    chat.see("tok/s", within_s=20)
    chat.see(">>>")  # before it, the terminal would take Ctrl-D for itself
    chat.type("\x04")
    assert chat.close() == 0


def test_ctrl_d_ends_a_chat() -> None:
    chat = _Terminal()
    chat.see(">>>")
    chat.type("\x04")
    assert chat.close() == 0


def test_ctrl_c_at_the_prompt_clears_the_line_and_a_second_in_a_row_ends_the_chat() -> None:
    chat = _Terminal("--context", "512")
    chat.see(">>>")
    for _ in range(2):
        chat.type("half a thought")
        chat.see("thought")
        chat.interrupt_prompt()
        chat.see("Ctrl-C again or Ctrl-D ends")
        chat.see(">>>")
        chat.type("/help\n")
        chat.see(">>>")
    chat.interrupt_prompt()
    chat.see("Ctrl-C again")
    chat.see(">>>")
    chat.interrupt_prompt()
    assert chat.close() == 0


def test_a_word_after_a_slash_is_a_command_and_never_the_models() -> None:
    chat = _Terminal("--context", "512", "--max-tokens", "4")
    chat.see(">>>")
    chat.type("/hlep me\n")
    chat.see("unknown command: /hlep")
    chat.see("/help shows this")
    chat.see(">>>")
    chat.type("/etc/passwd is a file.\n")
    chat.see("tok/s")
    chat.type("/quit\n")
    assert chat.close() == 0


def test_an_interrupted_run_leaves_one_document() -> None:
    running = subprocess.Popen(
        [*COMMAND, "run", "smollm2", "Write a very long story.", "--temperature", "0", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    time.sleep(3)  # whatever it is doing by then
    os.killpg(running.pid, signal.SIGINT)
    out, err = running.communicate(timeout=30)
    assert running.returncode == 130
    assert json.loads(out)["error"]["type"] == "Interrupted"
    assert err.strip() == ""


def test_an_unknown_template_is_told_with_those_there_are(shoestring: Command) -> None:
    result = shoestring("run", "smollm2", "Hi", "--template", "lama3")
    assert result.returncode == 2
    assert "There is no chat template 'lama3'" in result.stderr
    assert "llama3" in result.stderr


def test_a_loop_is_ended_and_named_unless_it_is_allowed(shoestring: Command) -> None:
    asked = ("run", "gemma3-270m", "Tell me a joke.", "--temperature", "0", "--context", "512", "--json")
    ended = json.loads(shoestring(*asked).stdout)
    assert ended["finish_reason"] == "repetition"
    allowed = json.loads(shoestring(*asked, "--allow-loops", "--max-tokens", "150").stdout)
    assert (allowed["finish_reason"], allowed["usage"]["completion_tokens"]) == ("length", 150)
