"""Whether a checkpoint's tensors are those that its config describes: what would make transformers refuse to load."""

from __future__ import annotations

import re
from collections.abc import Sequence

from shoestring.errors import InvalidModelFileError
from shoestring.models.facts import LayerFacts, TensorInfo
from shoestring.models.safetensors.components import TOWERS, component_of, is_extra, layer_of
from shoestring.models.safetensors.layers import TextModel

_FLOATS = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"})
_EMBEDDING = re.compile(r"(^|\.)(embed_tokens|wte|embed_in|word_embeddings|backbone\.embeddings)\.weight$")
_PROJECTION = re.compile(r"\.(self_attn|attention)\.([kv])_proj\.weight$")
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
    for tensor in tensors:
        component = component_of(tensor.name)
        if component in TOWERS or is_extra(tensor.name):
            continue
        layer = layer_of(tensor.name)
        found.add(layer)
        if component in ("embedding", "attention") and tensor.dtype in _FLOATS and len(tensor.shape) == 2:
            _check_embedding(tensor, text)
            if layer is not None and layer < len(text.layers):
                _check_projection(tensor, text.layers[layer])
    missing = next((i for i in range(len(text.layers)) if i not in found), None)
    if missing is not None:
        raise InvalidModelFileError(
            f"The config states {len(text.layers)} layers, but layer {missing} has no tensors.", _AGAIN
        )


def _check_embedding(tensor: TensorInfo, text: TextModel) -> None:
    if _EMBEDDING.search(tensor.name) and tensor.shape != (text.vocab_size, text.hidden_size):
        raise _contradiction(tensor, (text.vocab_size, text.hidden_size))


def _check_projection(tensor: TensorInfo, layer: LayerFacts) -> None:
    match, attention = _PROJECTION.search(tensor.name), layer.attention
    if not match or attention is None or attention.latent is not None:
        return
    rows = attention.kv_heads * (attention.head_dim_k if match[2] == "k" else attention.head_dim_v)
    if tensor.shape[0] != rows:
        raise _contradiction(tensor, (rows, tensor.shape[1]))


def _contradiction(tensor: TensorInfo, expected: tuple[int, ...]) -> InvalidModelFileError:
    return InvalidModelFileError(
        f"{tensor.name[:100]} has the shape {list(tensor.shape)}, but the config makes it {list(expected)}.",
        _AGAIN,
    )
