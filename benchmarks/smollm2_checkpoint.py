"""A real safetensors checkpoint without a hub: SmolLM2-135M-Instruct in bf16, made from its GGUF.

    python benchmarks/smollm2_checkpoint.py FOLDER

Transformers reads the GGUF (dequantised), and what it then saves is an ordinary checkpoint of 269 MB with its
tokenizer: what the safetensors benchmarks and tests of reality load.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from shoestring.models.reference import resolve


def write(folder: Path) -> Path:
    """Write the checkpoint unless it is there; returns the folder."""
    if (folder / "model.safetensors").exists() and (folder / "tokenizer.json").exists():
        return folder
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    gguf = resolve("smollm2").files[0]
    options = {"gguf_file": gguf.name}
    model = transformers.AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.bfloat16, **options)
    tokenizer = transformers.AutoTokenizer.from_pretrained(gguf.parent, **options)
    _split_digits(tokenizer.backend_tokenizer)
    # The model remembers that it was quantised and would refuse to be saved.
    del model.config.quantization_config
    model.hf_quantizer = None
    model._is_hf_quantized = False
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _split_digits(tokens: Any) -> None:
    """What the model's own tokenizer does first, and reading the GGUF forgets: every digit stands alone."""
    from tokenizers import pre_tokenizers

    apart = pre_tokenizers.Digits(individual_digits=True)
    tokens.pre_tokenizer = pre_tokenizers.Sequence([apart, pre_tokenizers.ByteLevel(add_prefix_space=False)])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python benchmarks/smollm2_checkpoint.py FOLDER")
    print(write(Path(sys.argv[1])))
