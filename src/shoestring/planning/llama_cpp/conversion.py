"""Names and shapes of the tensors that llama.cpp's conversion makes of a Hugging Face checkpoint.

Source: ggml-org/llama.cpp, `conversion/*.py` (`filter_tensors`, `modify_tensors`, `prepare_tensors`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from shoestring.models.facts import AttentionFacts, ModelFacts, StateFacts
from shoestring.models.safetensors.components import component_of
from shoestring.planning.alike import alike
from shoestring.planning.llama_cpp.gguf_names import FAMILIES, Family

Shape = tuple[int, ...]

_IN_BLOCK = re.compile(r"^(?:layers|h)\.(\d+)\.(.+)$")
_PREFIX = re.compile(r"^(?:model|transformer|backbone|gpt_neox)\.")
_STACKED = (".experts.", ".altup_projections.", ".altup_unembed_projections.")
"""Owners of several numbered matrices that GGUF stacks in one tensor."""
_NOT_WEIGHTS = (
    *(".attn.bias", ".masked_bias", ".rotary_emb.inv_freq"),
    *("_scale_inv", "activation_scale", ".experts.gate_up_proj_scales", ".experts.down_proj_scales"),
)
"""Buffers, and the scales of FP8 and MXFP4 weights, which are unpacked or repacked."""
_LEFT_OUT = frozenset({"vision", "audio", "projector", "prediction"})
"""Parts for which there is another file (mmproj), and layers that predict several tokens."""
_RENAMED = (
    ("e_score_correction_bias", "e_score_correction.bias"),
    ("experts.gate_up_proj_bias", "experts.gate_up_proj.bias"),
    ("experts.down_proj_bias", "experts.down_proj.bias"),
)
_BARE = ("self_attn.sinks", "experts.gate_up_proj", "experts.down_proj", "correct_output_scale")
"""Parameters that Hugging Face names without `.weight`."""
_STATE_PARAMETERS = frozenset({"A_log", "D", "dt_bias"})
_F32 = (
    "_norm.weight",
    "ffn_gate_inp.weight",
    "ffn_gate_inp_shexp.weight",
    "position_embd.weight",
    "ssm_conv1d.weight",
    "shortconv.conv.weight",
    "altup_correct_coef.weight",
    "altup_predict_coef.weight",
)
"""Ends of names of matrices that a conversion leaves in F32."""


class ConversionError(Exception):
    """The checkpoint cannot be converted by the rules known here; the message says why, in one sentence."""


class Converted(NamedTuple):
    """A tensor of the GGUF file: fastest-varying dimension first; `dtype`: its type whatever the precision, or None."""

    name: str
    shape: Shape
    dtype: str | None


def converted_tensors(facts: ModelFacts) -> tuple[Converted, ...]:
    """All tensors that the conversion of one of `FAMILIES` makes, in no particular order.

    Raises:
        ConversionError: the architecture is not known, or a tensor has no counterpart.
    """
    return tuple(_Conversion(facts, family_of(facts)).tensors())


def family_of(facts: ModelFacts) -> Family:
    """How the architecture is converted.

    Raises:
        ConversionError: it is not known.
    """
    family = FAMILIES.get(facts.architecture)
    if family is None:
        raise ConversionError(
            f"How llama.cpp converts {facts.architecture} models is not known to this version."
        )
    return family


class _Conversion:
    def __init__(self, facts: ModelFacts, family: Family) -> None:
        self.facts = facts
        self.family = family

    def tensors(self) -> Iterator[Converted]:
        stacks: dict[tuple[str, str], tuple[Shape, int]] = {}
        for tensor, count in alike(self.facts):
            if tensor.name.endswith(_NOT_WEIGHTS):
                continue
            stack = _stack_of(tensor.name)
            if stack is None:
                yield from self.convert(tensor.name, tensor.shape)
            else:
                stacks[stack] = tensor.shape, count + (stacks[stack][1] if stack in stacks else 0)
        for (owner, member), (shape, count) in stacks.items():
            yield from self.convert(f"{owner}.{member}", (count, *shape))

    def convert(self, name: str, shape: Shape) -> Iterator[Converted]:
        try:
            yield from self.by_name(_PREFIX.sub("", name.replace("language_model.", "")), shape)
        except (IndexError, ValueError, ZeroDivisionError) as error:
            raise ConversionError(
                f"Its tensor {name} has the shape {list(shape)}, which cannot be."
            ) from error

    def by_name(self, name: str, shape: Shape) -> Iterator[Converted]:
        if not shape:
            raise self.strange(name)
        inside = _IN_BLOCK.match(name)
        if inside is None:
            yield from self.outside(name, shape)
        elif int(inside[1]) < len(self.facts.layers):  # behind them lie layers that predict several tokens
            yield from self.in_block(int(inside[1]), inside[2], shape)

    def outside(self, name: str, shape: Shape) -> Iterator[Converted]:
        module, _, kind = name.rpartition(".")
        target = self.family.top.get(module)
        if target is None:
            if component_of(name) not in _LEFT_OUT:
                raise self.strange(name)
            return
        if target == "output" and not self.family.head:
            return
        if target.endswith("token_embd"):
            shape = (self.rows(shape[0]), *shape[1:])
        yield _converted_tensor(f"{target}.{kind}", shape[::-1])

    def rows(self, stored: int) -> int:
        """Of an embedding."""
        if self.family.rows == "config":
            return max(stored, self.facts.vocab_size)
        if self.family.rows == "tokenizer" and self.facts.tokenizer is not None:
            return min(stored, self.facts.tokenizer.vocab_size)
        return stored

    def in_block(self, i: int, name: str, shape: Shape) -> Iterator[Converted]:
        for given, proper in _RENAMED:
            name = name.replace(given, proper)
        module, _, kind = (f"{name}.weight" if name.endswith(_BARE) else name).rpartition(".")
        if kind in _STATE_PARAMETERS or (
            module.endswith((".conv1d", ".norm")) and self.facts.layers[i].state
        ):
            yield self.of_state(i, name, shape)
        elif kind.endswith("_blocks"):
            yield from _repacked(i, kind, shape)
        elif module.endswith("experts.gate_up_proj"):
            yield from self.fused_experts(i, module, kind, shape)
        elif module.endswith("in_proj_qkvz"):
            yield from self.gated_state(i, shape)
        elif module.endswith("kv_b_proj"):
            yield from _latent_heads(i, self.attention(i), shape)
        else:
            target = self.family.block.get(module)
            if target is None or kind not in ("weight", "bias"):
                raise self.strange(name)
            yield _converted_tensor(
                f"blk.{i}.{target}{self.suffix(target, kind)}", self.turned(module, shape)
            )

    def suffix(self, target: str, kind: str) -> str:
        if self.family.architecture == "falcon-h1" and target == "ffn_norm":
            return ""  # as its mapping has it
        return f".{kind}"

    def turned(self, module: str, shape: Shape) -> Shape:
        """The shape with the fastest-varying dimension first."""
        if module == "conv.conv" and len(shape) == 3:  # (channels, 1, kernel)
            return shape[2], shape[0]
        if len(shape) > 1 and self.family.transposed:
            return shape
        if module.endswith("experts.down_proj") and len(shape) == 3 and self.family.experts_transposed:
            return shape[1], shape[2], shape[0]
        return shape[::-1]

    def fused_experts(self, i: int, module: str, kind: str, shape: Shape) -> Iterator[Converted]:
        """Gate and up of all experts in one tensor, as Hugging Face's newer classes store them."""
        if kind == "bias":
            half: Shape = (shape[1] // 2, shape[0])
        elif self.family.experts_transposed:
            half = (shape[1], shape[2] // 2, shape[0])
        else:
            half = (shape[2], shape[1] // 2, shape[0])
        for part in ("gate", "up"):
            yield _converted_tensor(f"blk.{i}.ffn_{part}_exps.{kind}", half)

    def gated_state(self, i: int, shape: Shape) -> Iterator[Converted]:
        """Queries, keys and values of linear attention in one tensor, their gate in another (Qwen3-Next)."""
        state = self.facts.layers[i].state
        if state is None:
            raise ConversionError(f"Layer {i} has linear attention, of which its config says nothing.")
        mixed = state.conv_channels
        yield _converted_tensor(f"blk.{i}.attn_qkv.weight", (shape[1], mixed))
        yield _converted_tensor(f"blk.{i}.attn_gate.weight", (shape[1], shape[0] - mixed))

    def of_state(self, i: int, name: str, shape: Shape) -> Converted:
        """What a recurrent layer has beside its projections."""
        state = self.facts.layers[i].state
        parameter = name.partition(".")[2]
        second = state is not None and state.kind == "mamba2"
        if parameter == "dt_bias":
            return _converted_tensor(f"blk.{i}.ssm_dt.bias", shape)
        if parameter in ("A_log", "D"):
            target = "ssm_a" if parameter == "A_log" else "ssm_d"
            return _converted_tensor(f"blk.{i}.{target}", (1, *shape) if second else shape[::-1])
        if parameter == "norm.weight":
            grouped = _by_group(state, shape[0]) if state is not None and second else shape
            return _converted_tensor(f"blk.{i}.ssm_norm.weight", grouped)
        if parameter == "conv1d.weight":
            return _converted_tensor(f"blk.{i}.ssm_conv1d.weight", (shape[-1], shape[0]))
        if parameter == "conv1d.bias":
            return _converted_tensor(f"blk.{i}.ssm_conv1d.bias", shape)
        raise self.strange(name)

    def attention(self, i: int) -> AttentionFacts:
        attention = self.facts.layers[i].attention
        if attention is None or attention.latent is None:
            raise ConversionError(f"Layer {i} has a compressed cache, of which its config says nothing.")
        return attention

    def strange(self, name: str) -> ConversionError:
        return ConversionError(f"Its tensor {name} has no counterpart in GGUF that is known to this version.")


def _stack_of(name: str) -> tuple[str, str] | None:
    """The owner and the member's own name of one of several numbered matrices."""
    for owner in _STACKED:
        before, found, member = name.partition(owner)
        if found and member[:1].isdigit():
            return before + owner[:-1], member.partition(".")[2]
    return None


def _by_group(state: StateFacts, inner: int) -> Shape:
    size = state.state_values // inner
    groups = (state.conv_channels - inner) // (2 * size) if size else 1
    return inner // groups, groups


def _latent_heads(i: int, attention: AttentionFacts, shape: Shape) -> Iterator[Converted]:
    """The compressed cache's way back to keys and values, apart and by head (multi-head latent attention)."""
    rope = attention.latent.rope_dim if attention.latent else 0
    rank = shape[1]
    yield _converted_tensor(f"blk.{i}.attn_k_b.weight", (attention.head_dim_k - rope, rank, attention.heads))
    yield _converted_tensor(f"blk.{i}.attn_v_b.weight", (rank, attention.head_dim_v, attention.heads))


def _converted_tensor(name: str, shape: Shape) -> Converted:
    plain = len(shape) < 2 or name.endswith(_F32) or not name.endswith(".weight")
    return Converted(name, shape, "F32" if plain else None)


def _repacked(i: int, kind: str, shape: Shape) -> Iterator[Converted]:
    """MXFP4 weights of all experts: (experts, out, blocks, 16 bytes of 32 values), kept in that type."""
    experts, out, blocks = shape[:3]
    if kind.startswith("down"):
        yield Converted(f"blk.{i}.ffn_down_exps.weight", (32 * blocks, out, experts), "MXFP4")
        return
    for part in ("gate", "up"):
        yield Converted(f"blk.{i}.ffn_{part}_exps.weight", (32 * blocks, out // 2, experts), "MXFP4")
