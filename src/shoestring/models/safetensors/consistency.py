"""Whether a checkpoint's tensors are those that its config describes: what would make transformers refuse to load."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from shoestring.errors import InvalidModelFileError
from shoestring.models.facts import LayerFacts, TensorInfo
from shoestring.models.safetensors.components import TOWERS, component_of, is_extra, layer_of
from shoestring.models.safetensors.layers import TextModel

_FLOATS = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"})
_EMBEDDING = re.compile(r"(^|\.)(embed_tokens|wte|embed_in|word_embeddings|backbone\.embeddings)\.weight$")
_PROJECTION = re.compile(r"\.(self_attn|attention)\.([kv])_proj\.weight$")
_MATRIX = re.compile(
    r"\.(?:(?:mlp|feed_forward)\.(?:(?:gate|up|down|gate_up|c)_proj|fc1|fc2|c_fc|dense_h_to_4h|dense_4h_to_h)"
    r"|self_attn\.(?:q|o)_proj|mamba\.(?:in|out)_proj)\.weight$|\.mamba\.dt_bias$"
)
_AGAIN = "Download the config and the weights again, from one version of the model."


def check_tensors(tensors: Sequence[TensorInfo], text: TextModel) -> None:
    """Compare the embedding, the layers and their keys and values with the config; packed weights are not looked at.

    Raises:
        InvalidModelFileError: there are no tensors, or they contradict the config.
    """
    if not tensors:
        raise InvalidModelFileError("The files hold no tensors.", _AGAIN)
    if text.not_understood:
        return
    found = set()
    matrices: dict[int, set[str]] = defaultdict(set)
    for tensor in tensors:
        component = component_of(tensor.name)
        if component in TOWERS or is_extra(tensor.name):
            continue
        layer = layer_of(tensor.name)
        found.add(layer)
        if layer is not None and (match := _MATRIX.search(tensor.name)):
            matrices[layer].add(match[0])
        if component in ("embedding", "attention") and tensor.dtype in _FLOATS and len(tensor.shape) == 2:
            _check_embedding(tensor, text)
            if layer is not None and layer < len(text.layers):
                _check_projection(tensor, text.layers[layer])
    missing = next((i for i in range(len(text.layers)) if i not in found), None)
    if missing is not None:
        raise InvalidModelFileError(
            f"The config states {len(text.layers)} layers, but layer {missing} has no tensors.", _AGAIN
        )
    _check_alike(matrices, text.layers)


def _check_alike(matrices: Mapping[int, set[str]], layers: Sequence[LayerFacts]) -> None:
    """Layers that are alike have the same matrices."""
    wanted: dict[LayerFacts, set[str]] = defaultdict(set)
    for i, layer in enumerate(layers):
        wanted[layer] |= matrices.get(i, set())
    for i, layer in enumerate(layers):
        lacking = wanted[layer] - matrices.get(i, set())
        if lacking:
            raise InvalidModelFileError(
                f"Layer {i} has no tensor {min(lacking).strip('.')}, which other layers like it have.", _AGAIN
            )


def _check_embedding(tensor: TensorInfo, text: TextModel) -> None:
    if _EMBEDDING.search(tensor.name) and tensor.shape != (text.vocab_size, text.hidden_size):
        raise _contradiction(tensor, (text.vocab_size, text.hidden_size))


def _check_projection(tensor: TensorInfo, layer: LayerFacts) -> None:
    match, attention = _PROJECTION.search(tensor.name), layer.attention
    if not match or attention is None:
        return
    if attention.latent is not None:
        raise InvalidModelFileError(
            f"{tensor.name[:100]} holds keys or values of heads, but the config makes them compressed ones.",
            _AGAIN,
        )
    rows = attention.kv_heads * (attention.head_dim_k if match[2] == "k" else attention.head_dim_v)
    if tensor.shape[0] != rows:
        raise _contradiction(tensor, (rows, tensor.shape[1]))


def _contradiction(tensor: TensorInfo, expected: tuple[int, ...]) -> InvalidModelFileError:
    return InvalidModelFileError(
        f"{tensor.name[:100]} has the shape {list(tensor.shape)}, but the config makes it {list(expected)}.",
        _AGAIN,
    )
