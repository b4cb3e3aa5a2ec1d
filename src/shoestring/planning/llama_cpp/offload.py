"""Where llama.cpp puts a model's parts when there are GPUs: tensors, cache, buffers.

Read from its source (src/llama-model.cpp `load_tensors`, src/llama-arch.cpp, src/llama-context.cpp,
common/arg.cpp, ggml/src/ggml-backend.cpp); never run on a GPU by us. What follows from it:

- The embedding, and with it the input, stays on the CPU. Layers go to the GPUs from the end back, the head first
  (before autumn 2025 it went last). A head that is the embedding is then a copy.
- A block's keys and values, or its recurrent state, lie on the block's device.
- The experts of the first blocks may be kept on the CPU by themselves (`n_cpu_moe`).
- Every device used has a compute buffer (`CUDA0`…); the CPU's lies in pinned memory (`CUDA_Host`), where it
  counts as main memory. With everything on GPUs it holds the inputs and the embedded tokens alone.
- A prompt's micro-batch (32 tokens or more) is multiplied on a GPU even with weights that lie on the CPU: each such
  matrix is copied into the GPU's compute buffer for that, the next one in its place.
- Nothing on a GPU is rearranged; what stays on the CPU is, as without a GPU, unless it is the experts kept there
  by name: an override by name takes the plain buffer.
- While loading, the file's pages are mapped and read as tensors are copied over, and count as resident until the
  part of the file that no CPU tensor needs is unmapped: the peak in main memory is that of a load without a GPU.
- With several GPUs that hold the whole model, the inputs are kept four times (`GGML_SCHED_MAX_COPIES`), for pipelining.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from shoestring.models.facts import ModelFacts
from shoestring.planning.base import CPU, LlamaCppSettings
from shoestring.planning.llama_cpp.weights import EMBEDDING

INPUT, OUTPUT = "input", "output"
COPIES_OF_INPUTS = 4

_BLOCK = re.compile(r"blk\.(\d+)\.")
_EXPERTS = re.compile(r"\.ffn_(up|down|gate|gate_up)_(ch|)exps")
_WITH_THE_HEAD = ("output", "altup_", "per_layer_model_proj", "per_layer_proj_norm")
_MULTIPLIED_ON_GPU = 32  # tokens of a micro-batch from which on (ggml-cuda's op_offload_min_batch_size)


def unit_of(tensor_name: str, architecture: str) -> str:
    """The part of the model that a tensor is placed with: `input`, `blk.3`, `blk.3.experts` or `output`."""
    block = _BLOCK.match(tensor_name)
    if block is not None:
        return f"blk.{block[1]}.experts" if _EXPERTS.search(tensor_name) else f"blk.{block[1]}"
    if architecture.startswith("lfm2") and tensor_name == "token_embd_norm.weight":
        return OUTPUT  # what it calls so is the norm before the head
    return OUTPUT if tensor_name.startswith(_WITH_THE_HEAD) else INPUT


def units(facts: ModelFacts) -> dict[str, tuple[int, ...]]:
    """The model's parts in the order in which a token passes through them, each with its tensors' places in the list.

    A tied head appears in `output` as the copy that a GPU would hold; on the CPU it is the embedding itself.
    """
    found: dict[str, list[int]] = {INPUT: []}
    for i, layer in enumerate(facts.layers):
        found[f"blk.{i}"] = []
        if layer.experts is not None:
            found[f"blk.{i}.experts"] = []
    found[OUTPUT] = []
    for i, tensor in enumerate(facts.tensors):
        found.setdefault(unit_of(tensor.name, facts.architecture), []).append(i)
    if facts.tied:
        found[OUTPUT] += [i for i, tensor in enumerate(facts.tensors) if tensor.name == EMBEDDING]
    return {name: tuple(places) for name, places in found.items()}


def layer_devices(n_layers: int, gpu_layers: int, split: Sequence[float], gpus: int) -> tuple[str, ...]:
    """The device of every block, and behind them of the head.

    Args:
        gpu_layers: how many of them are to lie on GPUs, the head included (`n_gpu_layers`).
        split: the GPUs' shares, in any unit (`tensor_split`); empty or zeros: equal ones here, where llama.cpp
            would take the free memory.
        gpus: how many there are.
    """
    if not gpus or gpu_layers <= 0:
        return (CPU,) * (n_layers + 1)
    shares = list(split[:gpus]) + [0.0] * (gpus - len(split))
    if not any(shares):
        shares = [1.0] * gpus
    start, active = max(n_layers + 1 - gpu_layers, 0), min(gpu_layers, n_layers + 1)
    ends = [sum(shares[: i + 1]) / sum(shares) for i in range(gpus)]
    found = []
    for layer in range(n_layers + 1):
        place = (layer - start) / active
        gpu = next((i for i, end in enumerate(ends) if place < end), gpus - 1)
        found.append(CPU if layer < start else f"gpu{gpu}")
    return tuple(found)


def placement(facts: ModelFacts, settings: LlamaCppSettings, gpus: int) -> dict[str, str]:
    """The device of every unit with these settings.

    `tensor_split` with as many layers for each GPU as it shall have is followed to the layer, where the sum is
    `gpu_layers`.
    """
    layers = layer_devices(len(facts.layers), settings.gpu_layers, settings.tensor_split, gpus)
    found = {}
    for name in units(facts):
        block = _BLOCK.match(name + ".")
        if block is None:
            found[name] = layers[-1] if name == OUTPUT else CPU
            continue
        i = int(block[1])
        kept = name.endswith(".experts") and i < settings.cpu_expert_layers
        found[name] = CPU if kept else layers[i]
    return found


def copied_weight_bytes(
    largest: Mapping[str, int], devices: Mapping[str, str], settings: LlamaCppSettings
) -> int:
    """Bytes that a GPU's compute buffer holds besides the graph: the largest matrix of a block left on the CPU.

    0 where no block is, where no GPU is, or where a micro-batch is too small to be worth the copy.

    Args:
        largest: bytes of the largest matrix of every unit; devices: its place (`placement`).
    """
    if settings.ubatch < _MULTIPLIED_ON_GPU or set(devices.values()) == {CPU}:
        return 0
    left = (
        n_bytes for name, n_bytes in largest.items() if name not in (INPUT, OUTPUT) and devices[name] == CPU
    )
    return max(left, default=0)
