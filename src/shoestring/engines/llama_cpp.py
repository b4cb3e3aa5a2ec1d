"""llama.cpp through xllamacpp's in-process server.

Two doors lead into that server: `handle_completions` with raw JSON bytes and a callback (measured faster
per token than its HTTP stream), and its own HTTP listener, which is bound to a Unix socket in the
worker's private folder, never to a TCP port, and used for tokenising only.
"""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

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
    Token,
    TokenLogprob,
    Usage,
)
from shoestring.engines.side_by_side import refuse_more_than, side_by_side
from shoestring.errors import EngineError, PromptTooLongError
from shoestring.planning.base import LlamaCppSettings

_KV_TYPES = {"f16": "GGML_TYPE_F16", "q8_0": "GGML_TYPE_Q8_0", "q4_0": "GGML_TYPE_Q4_0"}
_HTTP_THREADS = 2
_ERRORS_ONLY = 2  # llama.cpp's log level: warnings and errors


class LlamaCppEngine:
    """Loads GGUF files that `shoestring.models` has already validated."""

    name = "llama_cpp"
    settings_type = LlamaCppSettings

    def version(self) -> str:
        import xllamacpp

        return str(xllamacpp.__version__)  # importlib.metadata would cost 20 ms of imports

    def preload(self) -> None:
        import xllamacpp  # noqa: F401  (60 ms and 13 MB, spent while the parent plans)

    def load(self, files: Sequence[Path], settings: LlamaCppSettings, scratch: Path) -> LoadedModel:
        import xllamacpp

        address = scratch / "llama.sock"
        try:
            params = _parameters(files[0], settings, address)
        except UnicodeEncodeError as error:  # xllamacpp takes paths as text
            name = ascii(files[0].name)
            raise EngineError(f"llama.cpp cannot open {name}: its name is not valid text.") from error
        try:
            server = xllamacpp.Server(params)
        except RuntimeError as error:  # it gives no reason; the log has it
            raise EngineError(f"llama.cpp could not load {files[0].name}: {error}.") from error
        return LlamaCppModel(server, settings, address)


def _parameters(file: Path, settings: LlamaCppSettings, address: Path) -> Any:
    """Every parameter that allocates or adjusts is set here on purpose; none is inherited."""
    import xllamacpp as x

    params = x.CommonParams()
    params.model.path = str(file)
    params.n_ctx = settings.context * settings.batch
    params.n_parallel = settings.batch
    params.kv_unified = False
    params.n_batch = params.n_ubatch = settings.ubatch
    flash = x.llama_flash_attn_type
    params.flash_attn_type = (
        flash.LLAMA_FLASH_ATTN_TYPE_ENABLED
        if settings.flash_attention
        else flash.LLAMA_FLASH_ATTN_TYPE_DISABLED
    )
    params.cache_type_k = params.cache_type_v = getattr(x.ggml_type, _KV_TYPES[settings.kv_precision])
    params.cpuparams.n_threads = settings.threads
    params.cpuparams_batch.n_threads = settings.prefill_threads
    mode = x.llama_load_mode
    params.load_mode = mode.LLAMA_LOAD_MODE_MMAP if settings.mmap else mode.LLAMA_LOAD_MODE_NONE
    params.no_extra_bufts = not settings.repack
    params.cache_ram_mib = settings.prompt_cache_bytes // 1024**2
    params.cache_idle_slots = False
    params.n_ctx_checkpoints = settings.context_checkpoints
    params.fit_params = False
    params.swa_full = False
    params.ctx_shift = False
    params.warmup = False
    params.n_gpu_layers = 0
    params.hostnames = [str(address)]
    params.n_threads_http = _HTTP_THREADS
    params.ui = params.endpoint_slots = params.endpoint_props = params.endpoint_metrics = False
    params.use_jinja = False
    params.offline = True
    params.verbosity = _ERRORS_ONLY
    return params


class _Error(msgspec.Struct):
    message: str
    type: str = ""
    n_prompt_tokens: int = 0
    n_ctx: int = 0


class _Candidate(msgspec.Struct):
    """JSON has no NaN: llama.cpp writes null."""

    id: int
    logprob: float | None


class _Chosen(_Candidate):
    top_logprobs: list[_Candidate] = []


class _Logprobs(msgspec.Struct):
    content: list[_Chosen]


class _Choice(msgspec.Struct):
    text: str = ""
    logprobs: _Logprobs | None = None
    finish_reason: Literal["stop", "length"] | None = None


class _CachedTokens(msgspec.Struct):
    cached_tokens: int = 0


class _Usage(msgspec.Struct):
    completion_tokens: int
    prompt_tokens: int
    prompt_tokens_details: _CachedTokens = msgspec.field(default_factory=_CachedTokens)


class _Timings(msgspec.Struct):
    prompt_ms: float = 0.0
    predicted_ms: float = 0.0


class _Progress(msgspec.Struct):
    total: int
    processed: int
    cache: int = 0
    time_ms: float = 0.0


class _Chunk(msgspec.Struct):
    """What the server streams, reduced to what is read."""

    choices: list[_Choice] = []
    usage: _Usage | None = None
    timings: _Timings | None = None
    prompt_progress: _Progress | None = None
    error: _Error | None = None


_decode_chunk = msgspec.json.Decoder(_Chunk).decode


class LlamaCppModel:
    """A loaded GGUF. Any number of threads may generate; the server queues what exceeds its slots."""

    def __init__(self, server: Any, settings: LlamaCppSettings, address: Path) -> None:
        self.report = LoadReport()
        self._server = server
        self._context = settings.context
        self._batch = settings.batch
        self._address = address

    def tokenize(self, segments: Sequence[Segment]) -> list[int]:
        return [token for segment in segments if segment.text for token in self._tokenize(segment)]

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
        self._server = None

    def _generate(
        self,
        prompt: Sequence[int],
        sampling: Sampling,
        emit: Callable[[Event], None],
        cancelled: Callable[[], bool],
    ) -> None:
        if len(prompt) >= self._context:
            raise PromptTooLongError(len(prompt), self._context)
        generation = _Generation(self._context, sampling.logprobs or 0, emit, cancelled)
        # llama.cpp rounds a context up to 256 cells; what was asked for is what is kept.
        room = self._context - len(prompt)
        body = msgspec.json.encode(_request(prompt, sampling, room))
        try:
            self._server.handle_completions(body, generation.receive)
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"llama.cpp refused the request: {error}.") from error
        generation.conclude(len(prompt))

    def _tokenize(self, segment: Segment) -> list[int]:
        body = msgspec.json.encode(
            {"content": segment.text, "add_special": False, "parse_special": segment.special}
        )
        tokens: list[int] = msgspec.json.decode(_post(self._address, "/tokenize", body), type=_Tokens).tokens
        return tokens


class _Tokens(msgspec.Struct):
    tokens: list[int]


def _request(prompt: Sequence[int], sampling: Sampling, room: int) -> dict[str, Any]:
    request: dict[str, Any] = {
        "prompt": list(prompt),
        "stream": True,
        "return_progress": True,
        "cache_prompt": True,
        "n_predict": room if sampling.max_tokens is None else min(room, sampling.max_tokens),
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "repeat_penalty": sampling.repeat_penalty,
        "repeat_last_n": 64,
        "ignore_eos": sampling.ignore_eos,
        "stop": list(sampling.stop),
    }
    if sampling.seed is not None:
        request["seed"] = sampling.seed
    if sampling.logprobs is not None:
        request["logprobs"] = max(sampling.logprobs, 1)  # 0 would ask for none, not even of the chosen token
    return request


class _Generation:
    """Consumes one request's chunks on the server's thread; errors wait until the call returns.

    Log-probabilities come with every chunk, texts with some: the server, too, holds back what may begin a stop
    string. Of a character that several tokens make, it sends (and tells of) the last token only.
    """

    def __init__(
        self, context: int, top: int, emit: Callable[[Event], None], cancelled: Callable[[], bool]
    ) -> None:
        self._context = context
        self._top = top
        self._logprobs: list[TokenLogprob] = []
        self._emit = emit
        self._cancelled = cancelled
        self._failure: Exception | None = None
        self._finished = False
        self._stopped = False
        self._tokens = 0
        self._read: _Progress | None = None
        self._decoding_since: float | None = None

    def receive(self, data: bytes) -> bool:
        """The server's callback. Returning True ends the request; raising is not possible through C++."""
        try:
            self._consume(_decode_chunk(data))
        except Exception as error:  # noqa: BLE001  (kept and raised by `conclude`)
            self._failure = error
        self._stopped = self._stopped or self._cancelled()
        return self._stopped or self._failure is not None

    def conclude(self, n_prompt: int) -> None:
        """After the call: raise what went wrong, or close the stream of a cancelled request."""
        if self._failure is not None:
            raise self._failure
        if self._finished:
            return
        if not self._stopped:
            raise EngineError("llama.cpp ended the answer without saying why.")
        self._tell("")
        read = self._read or _Progress(0, 0)
        decode_s = 0.0 if self._decoding_since is None else time.perf_counter() - self._decoding_since
        usage = Usage(n_prompt, self._tokens, read.cache)
        self._emit(Finished("cancelled", usage, GenerationTimings(read.time_ms / 1000, decode_s)))

    def _consume(self, chunk: _Chunk) -> None:
        if chunk.error is not None:
            raise _as_error(chunk.error, self._context)
        if chunk.prompt_progress is not None:
            self._read = chunk.prompt_progress
            self._emit(Prefill(self._read.processed, self._read.total))
            return
        for choice in chunk.choices:
            if choice.logprobs is not None:
                self._logprobs += [_token_logprob(chosen, self._top) for chosen in choice.logprobs.content]
            if choice.text:
                self._tokens += 1
                self._decoding_since = self._decoding_since or time.perf_counter()
                self._tell(choice.text)
            if choice.finish_reason is not None:
                self._finish(choice.finish_reason, chunk)

    def _tell(self, text: str) -> None:
        """A token's text with the log-probabilities that came until now; without text only where there are any."""
        if text or self._logprobs:
            self._emit(Token(text, tuple(self._logprobs)))
            self._logprobs.clear()

    def _finish(self, stop: Literal["stop", "length"], chunk: _Chunk) -> None:
        if chunk.usage is None or chunk.timings is None:
            raise EngineError("llama.cpp ended the answer without its figures.")
        counted = chunk.usage
        usage = Usage(
            counted.prompt_tokens, counted.completion_tokens, counted.prompt_tokens_details.cached_tokens
        )
        full = usage.prompt_tokens + usage.completion_tokens >= self._context
        reason: FinishReason = "context" if stop == "length" and full else stop
        timings = GenerationTimings(chunk.timings.prompt_ms / 1000, chunk.timings.predicted_ms / 1000)
        self._finished = True
        self._tell("")
        self._emit(Finished(reason, usage, timings))


def _token_logprob(chosen: _Chosen, top: int) -> TokenLogprob:
    likeliest = tuple((one.id, _or_nan(one.logprob)) for one in chosen.top_logprobs[:top])
    return TokenLogprob(chosen.id, _or_nan(chosen.logprob), likeliest)


def _or_nan(logprob: float | None) -> float:
    return math.nan if logprob is None else logprob


def _as_error(error: _Error, context: int) -> Exception:
    if error.type == "exceed_context_size_error":
        return PromptTooLongError(error.n_prompt_tokens, error.n_ctx or context)
    return EngineError(f"llama.cpp refused the request: {error.message}.")


def _post(address: Path, path: str, body: bytes) -> bytes:
    """One HTTP request over the Unix socket. (`http.client` would cost 20 ms of imports at start-up.)"""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
    )
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(address))
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        reply = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    header, _, content = reply.partition(b"\r\n\r\n")
    status = header.split(b" ", 2)[1:2]
    if status != [b"200"]:
        raise EngineError(f"llama.cpp answered {path} with {header[:80].decode(errors='replace')!r}.")
    return content
