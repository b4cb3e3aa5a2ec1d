"""A deterministic engine without a model: for our tests, and for the tests of whoever builds on Shoestring.

Its "model file" is a small JSON script of how to behave (`Script`). Its tokenizer is bytes: ids 0–255
are UTF-8 bytes, `SPECIAL_TOKENS` follow. Whatever is asked, it answers with the script's reply, so that
speed, memory and failure can be set exactly and everything above an engine can be tested to the token.

Its distribution is as simple: the token that comes has half of all probability, the one after it in the
vocabulary (round its end) a quarter, the next an eighth, and so on; the last has what is left.
"""

from __future__ import annotations

import codecs
import math
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from shoestring.engines.base import (
    Emit,
    Event,
    Finished,
    FinishReason,
    GenerationTimings,
    LoadedModel,
    LoadReport,
    Prefill,
    Sampling,
    Segment,
    TokenLogprob,
    Usage,
)
from shoestring.engines.side_by_side import refuse_more_than, side_by_side
from shoestring.engines.stop_strings import StoppableText
from shoestring.errors import EngineError, PromptTooLongError
from shoestring.models.facts import ModelFacts, Parameters, TokenizerFacts, Weights
from shoestring.planning.base import CPU, DevicePlan, LlamaCppSettings, Plan, PlanBytes, TokensPerSecond
from shoestring.units import MiB

SPECIAL_TOKENS = {"<|start|>": 256, "<|end|>": 257}
_END = SPECIAL_TOKENS["<|end|>"]


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the fake behaves.

    Attributes:
        reply: the answer to every prompt; it is followed by the end token.
        first_token_s / token_s: seconds before the first token and between tokens.
        load_s: seconds that loading takes.
        load_bytes: memory taken (and touched) while loading.
        bytes_per_token: memory taken (and touched) with every generated token, and kept.
        die_after_tokens: the process kills itself with SIGKILL after so many tokens.
        fail_after_tokens: an `EngineError` after so many tokens.
    """

    reply: str = "The quick brown fox jumps over the lazy dog."
    first_token_s: float = 0.0
    token_s: float = 0.0
    load_s: float = 0.0
    load_bytes: int = 0
    bytes_per_token: int = 0
    die_after_tokens: int | None = None
    fail_after_tokens: int | None = None

    def write(self, path: Path) -> Path:
        """Write the script where `load` will find it."""
        path.write_bytes(msgspec.json.encode(self))
        return path


class FakeEngine:
    """Loads a `Script`."""

    name = "fake"
    settings_type = LlamaCppSettings

    def version(self) -> str:
        return "1"

    def preload(self) -> None:
        """Nothing to import."""

    def load(self, files: Sequence[Path], settings: LlamaCppSettings, scratch: Path) -> LoadedModel:
        try:
            script = msgspec.json.decode(files[0].read_bytes(), type=Script)
        except (OSError, msgspec.MsgspecError) as error:
            raise EngineError(f"The fake engine cannot read its script {files[0].name}: {error}.") from error
        time.sleep(script.load_s)
        return FakeModel(script, settings)


class FakeModel:
    """Answers every prompt with the script's reply, byte by byte."""

    def __init__(self, script: Script, settings: LlamaCppSettings) -> None:
        self._script = script
        self.report = LoadReport()
        self._context = settings.context
        self._batch = settings.batch
        self._ballast = [_touched(script.load_bytes)]
        self._cached: list[int] = []

    def tokenize(self, segments: Sequence[Segment]) -> list[int]:
        return [token for segment in segments for token in _tokenize(segment)]

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        emit: Emit,
        cancelled: Callable[[], bool],
    ) -> None:
        refuse_more_than(self._batch, prompts)
        side_by_side(prompts, sampling, emit, cancelled, self._generate)

    def close(self) -> None:
        self._ballast.clear()

    def _generate(
        self,
        prompt: Sequence[int],
        sampling: Sampling,
        emit: Callable[[Event], None],
        cancelled: Callable[[], bool],
    ) -> None:
        if not prompt or any(not 0 <= token <= _END for token in prompt):
            raise EngineError("The prompt is empty or holds ids outside the vocabulary.")
        if len(prompt) >= self._context:
            raise PromptTooLongError(len(prompt), self._context)
        start = time.perf_counter()
        cached = self._reused(prompt)
        time.sleep(self._script.first_token_s)
        emit(Prefill(len(prompt), len(prompt)))
        first = time.perf_counter()
        text = StoppableText(sampling.stop, emit)
        reason, n = self._decode(len(prompt), sampling, text, cancelled)
        text.finish()
        end = time.perf_counter()
        usage = Usage(len(prompt), n, cached)
        emit(Finished(reason, usage, GenerationTimings(first - start, end - first)))

    def _reused(self, prompt: Sequence[int]) -> int:
        """Length of the prefix shared with the last prompt, at most all but one token, as in llama.cpp."""
        shared = 0
        for old, new in zip(self._cached, prompt[:-1], strict=False):
            if old != new:
                break
            shared += 1
        self._cached = list(prompt)
        return shared

    def _decode(
        self, n_prompt: int, sampling: Sampling, text: StoppableText, cancelled: Callable[[], bool]
    ) -> tuple[FinishReason, int]:
        room = self._context - n_prompt
        limit = room if sampling.max_tokens is None else min(room, sampling.max_tokens)
        tokens = [*self._script.reply.encode(), _END]
        characters = codecs.getincrementaldecoder("utf-8")("replace")
        for n in range(limit):
            if cancelled():
                return "cancelled", n
            if n:
                time.sleep(self._script.token_s)
            self._misbehave(n)
            token = tokens[n % len(tokens)]
            piece = "" if token == _END else characters.decode(bytes([token]))
            stopped = text.push(piece, *_logprobs(token, sampling.logprobs))
            if stopped or (token == _END and not sampling.ignore_eos):
                return "stop", n + 1
        return ("context" if limit == room else "length"), limit

    def _misbehave(self, n: int) -> None:
        if self._script.bytes_per_token:
            self._ballast.append(_touched(self._script.bytes_per_token))
        if n == self._script.die_after_tokens:
            os.kill(os.getpid(), signal.SIGKILL)
        if n == self._script.fail_after_tokens:
            raise EngineError(f"The script says to fail after {n} tokens.")


def _logprobs(token: int, n: int | None) -> tuple[TokenLogprob, ...]:
    """Of a token that was chosen, with the `n` likeliest; nothing where nothing was asked."""
    if n is None:
        return ()
    likeliest = min(n, _END + 1)
    top = tuple(((token + rank) % (_END + 1), _logprob(rank)) for rank in range(likeliest))
    return (TokenLogprob(token, _logprob(0), top),)


def _logprob(rank: int) -> float:
    """Halves, quarters…: all of them together are one."""
    return -math.log(2) * min(rank + 1, _END)


def _touched(n_bytes: int) -> bytearray:
    """Memory that is really resident: every page written."""
    block = bytearray(n_bytes)
    block[::4096] = b"\x01" * len(range(0, n_bytes, 4096))
    return block


def _tokenize(segment: Segment) -> list[int]:
    if not segment.special:
        return list(segment.text.encode())
    tokens: list[int] = []
    rest = segment.text
    while rest:
        name = next((name for name in SPECIAL_TOKENS if rest.startswith(name)), None)
        tokens += [SPECIAL_TOKENS[name]] if name else rest[0].encode()
        rest = rest[len(name) if name else 1 :]
    return tokens


_TEMPLATE = (
    "{% for message in messages %}<|start|>{{ message['role'] }}\n{{ message['content'] }}<|end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
_WORKER_BYTES = 48 * MiB  # more than an idle worker with this engine holds


def fake_model(
    script_file: Path, script: Script, *, context: int = 4096, batch: int = 1
) -> tuple[ModelFacts, Plan]:
    """Write a script and give what a session needs to run it: facts and a plan that fits."""
    script.write(script_file)
    return _facts(script_file, script, context), _plan(script, context, batch)


def _facts(script_file: Path, script: Script, context: int) -> ModelFacts:
    return ModelFacts(
        id="fake",
        format="fake",
        files=(script_file,),
        file_bytes=script_file.stat().st_size,
        architecture="fake",
        name="fake",
        kind="chat",
        parameters=Parameters(0, 0, {}),
        weights=Weights(script.load_bytes, {}),
        layers=(),
        hidden_size=0,
        context_length=context,
        vocab_size=_END + 1,
        license=None,
        chat_template=_TEMPLATE,
        tokenizer=_TOKENIZER,
        tensors=(),
    )


_TOKENIZER = TokenizerFacts(
    model="bytes",
    vocab_size=_END + 1,
    tokens_bytes=_END + 1,
    long_tokens=0,
    long_tokens_bytes=0,
    merges=0,
    merges_bytes=0,
    has_scores=False,
    has_types=False,
    bos_id=SPECIAL_TOKENS["<|start|>"],
    eos_id=_END,
    add_bos=False,
    add_eos=False,
    special_tokens={token: name for name, token in SPECIAL_TOKENS.items()},
)


def _plan(script: Script, context: int, batch: int) -> Plan:
    total = _WORKER_BYTES + script.load_bytes
    held = PlanBytes(script.load_bytes, 0, 0, _WORKER_BYTES, total, total)
    return Plan(
        engine="fake",
        precision="none",
        kv_precision="f16",
        context=context,
        batch=batch,
        placement={CPU: DevicePlan(held, total, 1)},
        bytes=held,
        budget_bytes=total,
        fits=True,
        headroom_bytes=0,
        tokens_per_s=TokensPerSecond(),
        method="formula",
        settings=LlamaCppSettings(context=context, batch=batch),
        reason="It is a fake.",
    )
