"""The smoke check: does a freshly loaded model work? A few seconds that tell a broken one from a sound one.

Three looks: at the chat template beside the vocabulary, at the numbers behind one token, and at an answer that a working
model knows. What none of them can see: a model that is merely worse than it was.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shoestring.chat.messages import Message
from shoestring.chat.sampling import SamplingOptions
from shoestring.engines.base import Sampling, Segment, Token, TokenLogprob
from shoestring.errors import CheckFailedError

if TYPE_CHECKING:
    from shoestring.chat.model import Model

QUESTION, ANSWER = "What is the capital of France?", "Paris"
BEGINNING = "The capital of Italy is Rome. The capital of France is"
"""For a base model; without the example a sound one of 270 M parameters goes on with "the capital of the country"."""

OPEN_TEXT = "I would like to"
"""Many words may follow it, so that no working model is sure of the next one, nor has no idea."""

LIKELIEST = 1000
"""Tokens whose probabilities are looked at. Of a whole vocabulary llama.cpp makes up to 180 MB of JSON, unplanned."""

ANSWER_TOKENS = 64
"""Enough for a model that thinks aloud; generation ends as soon as the answer stands there."""

SURE, CLUELESS = 0.001, 0.9
"""Entropy as a share of ln(vocabulary). Working models lie near 0.3 to 0.6; equal logits give 1, one infinite logit 0."""

SUM_TOLERANCE = 0.01
_NEVER = -1e4  # llama.cpp writes a log of 0 as the lowest float there is

_WEIGHTS = (
    "Likely cause: damaged weights, a quantisation that went wrong, or a dtype that this model overflows in."
)
_DTYPE = "Likely cause: a dtype in which this model overflows (fp16), or damaged weights."
_ANSWER = (
    "Likely cause: damaged or badly quantised weights, or a wrong chat template; a very small model, or one of another "
    "language, may just not know it."
)

# How families mark turns. Names of special tokens: where a vocabulary has one, its template uses it.
_FAMILIES = (
    "<|im_start|>",
    "<start_of_turn>",
    "<|turn>",
    "<|start_header_id|>",
    "<|start_of_role|>",
    "<|START_OF_TURN_TOKEN|>",
    "<｜User｜>",
    "<|user|>",
    "<|start|>",
    "[INST]",
)
_MARKER = re.compile(r"<[|｜][^<>|｜\s]{1,40}[|｜]>|<(?:start|end)_of_turn>|\[/?INST\]")


@dataclass(frozen=True)
class Check:
    """One look at a model.

    Attributes:
        name: what was looked at: `chat template`, `numbers`, `probabilities`, `entropy` or `answer`.
        passed: whether it is as a working model has it.
        found: what was seen, with its figure; one sentence.
        cause: the likely cause where it did not pass; else None.
    """

    name: str
    passed: bool
    found: str
    cause: str | None = None


@dataclass(frozen=True)
class CheckReport:
    """What a smoke check found. `passed` is in the JSON, too."""

    model: str
    passed: bool
    checks: tuple[Check, ...]

    def raise_if_failed(self) -> None:
        """
        Raises:
            CheckFailedError: with the first check that failed, and this report.
        """
        failed = next((check for check in self.checks if not check.passed), None)
        if failed is not None:
            raise CheckFailedError(
                f"{self.model} was loaded, but does not work: {failed.found}", failed.cause, report=self
            )


def check(model: Model) -> CheckReport:
    """Look at a model; it is loaded first if need be. Nothing is raised for what is found.

    Raises:
        As `Model.chat`.
    """
    checks = [*_template(model), *_numbers(model), _answer(model)]
    return CheckReport(model.facts.id, all(one.passed for one in checks), tuple(checks))


def _template(model: Model) -> list[Check]:
    """Whether a chat template writes the turn markers of this vocabulary, where it has any.

    A template may mark turns in plain text (Zephyr's does); only one that ignores the vocabulary's own markers is odd.
    """
    tokenizer = model.facts.tokenizer
    if model.facts.chat_template is None or tokenizer is None:
        return []
    special = set(tokenizer.special_tokens.values())
    segments = model.render([Message("user", QUESTION)])
    written = dict.fromkeys(_MARKER.findall("".join(segment.text for segment in segments if segment.special)))
    foreign = [marker for marker in written if marker not in special]
    unused = [marker for marker in _FAMILIES if marker in special and marker not in written]
    if not foreign:
        return [
            Check(
                "chat template", True, f"All {len(written)} markers of its chat template are special tokens."
            )
        ]
    known = len(written) - len(foreign)
    if not unused or known:
        return [Check("chat template", True, f"Its chat template writes {foreign[0]} as plain text.")]
    return [
        Check(
            "chat template",
            False,
            f"Its chat template writes {foreign[0]}, which this vocabulary does not have; it has {unused[0]}.",
            "Likely cause: the template of another family of models.",
        )
    ]


def _numbers(model: Model) -> list[Check]:
    """The distribution of the next token: finite, whole and neither certain nor flat."""
    vocabulary = model.facts.vocab_size
    sampling = Sampling(max_tokens=1, temperature=0, logprobs=min(LIKELIEST, vocabulary), ignore_eos=True)
    events = model.session.generate(model.tokenize([Segment(OPEN_TEXT)]), sampling)
    told = [one for event in events if isinstance(event, Token) for one in event.logprobs]
    if not told:
        return [Check("numbers", False, "It gave no token, and so no numbers.", _WEIGHTS)]
    return of_distribution(told[0], vocabulary)


def of_distribution(told: TokenLogprob, vocabulary: int) -> list[Check]:
    """What the log-probabilities of one token, with the likeliest beside it, say of the model's numbers.

    One logit that is no number makes every log-probability none, so the likeliest tell of all.
    """
    logprobs = [logprob for _, logprob in told.top]
    odd = sum(math.isnan(one) or one == math.inf for one in logprobs)
    if odd or not logprobs or math.isnan(told.logprob):
        found = f"{odd:,} of {len(logprobs):,} log-probabilities are no numbers (NaN or infinite)."
        return [Check("numbers", False, found, _DTYPE)]
    return [
        Check("numbers", True, f"All {len(logprobs):,} log-probabilities are numbers."),
        _sum(logprobs, vocabulary),
        _entropy(logprobs, vocabulary),
    ]


def _sum(logprobs: Sequence[float], vocabulary: int) -> Check:
    """All of them are one: those told of, and the others, of which none is likelier than the last that is told of."""
    together = math.fsum(math.exp(one) for one in logprobs)
    others = (vocabulary - len(logprobs)) * math.exp(logprobs[-1])
    passed = together <= 1 + SUM_TOLERANCE and together + others >= 1 - SUM_TOLERANCE
    found = f"The {len(logprobs):,} likeliest of {vocabulary:,} tokens have a probability of {together:.3f} together"
    return Check("probabilities", passed, f"{found}.", None if passed else _WEIGHTS)


def _entropy(logprobs: Sequence[float], vocabulary: int) -> Check:
    """Of those told of, and the least that the others can add: if each is as likely as the last that is told of."""
    seen = [one for one in logprobs if one > _NEVER]  # 0 · ln 0 is 0
    rest = max(0.0, 1 - math.fsum(math.exp(one) for one in seen)) if len(logprobs) < vocabulary else 0.0
    entropy = -math.fsum(math.exp(one) * one for one in seen) - rest * (seen[-1] if seen else 0.0)
    most = math.log(max(vocabulary, 2))
    passed = SURE * most < entropy < CLUELESS * most
    found = f"The entropy of the next token is {entropy:.2f} of at most {most:.2f} nats."
    return Check("entropy", passed, found, None if passed else _WEIGHTS)


def _answer(model: Model) -> Check:
    greedy = SamplingOptions(temperature=0, repeat_penalty=1, max_tokens=ANSWER_TOKENS)
    is_chat = model.facts.chat_template is not None
    asked = QUESTION if is_chat else BEGINNING
    stream = (
        model.chat(asked, stream=True, **greedy) if is_chat else model.complete(asked, stream=True, **greedy)
    )
    text = ""
    with stream:
        for piece in stream:
            text += piece
            if ANSWER.casefold() in text.casefold():
                return Check("answer", True, f"Asked {asked!r} it says {_short(text)!r}.")
    return Check("answer", False, f"Asked {asked!r} it says {_short(text)!r}, without {ANSWER!r}.", _ANSWER)


def _short(text: str, most: int = 80) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= most else f"{flat[:most]}…"
