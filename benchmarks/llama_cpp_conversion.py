"""The GGUF that llama.cpp's own conversion makes of a checkpoint, without its weights.

`python benchmarks/llama_cpp_conversion.py SOURCES CHECKPOINT OUT.gguf` runs the conversion found in llama.cpp's
SOURCES (`conversion/`, `gguf-py/`) lazily, so it reads no weights, and writes the header: metadata, tensor names,
shapes and types. The file gets its full length as a hole. The vocabulary is a made-up one of the right size.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ALIGNMENT = 32


def main() -> None:
    sources, checkpoint, out = map(Path, sys.argv[1:4])
    use(sources)
    convert(checkpoint, out)


def use(sources: Path) -> None:
    """Let the imports below find llama.cpp's packages; before anything else imports `gguf`."""
    sys.path[:0] = [str(sources), str(sources / "gguf-py")]


def convert(checkpoint: Path, out: Path) -> None:
    """Write the header of what the conversion would write."""
    import gguf
    import torch
    from conversion import ModelBase, ModelType, get_model_architecture, get_model_class

    published = json.loads((checkpoint / "config.json").read_text())
    hparams = ModelBase.load_hparams(checkpoint, False) | published
    name = get_model_architecture(hparams, ModelType.TEXT)
    model_class = get_model_class(name)
    _without_a_tokenizer(checkpoint, model_class, hparams)
    ModelBase.no_mtp = True  # layers that predict several tokens stay out
    with torch.inference_mode():
        # "guessed" is the default of the script: the precision of the checkpoint
        model = model_class(checkpoint, gguf.LlamaFileType.GUESSED, out, hparams=hparams)
        model.prepare_tensors()
        model.prepare_metadata(vocab_only=False)
    _write_header(model.gguf_writer, out, gguf)


def size_of(hparams: dict[str, Any]) -> int:
    """Tokens, as the config states them (there is no tokenizer)."""
    return hparams["vocab_size"] if "vocab_size" in hparams else hparams["text_config"]["vocab_size"]


def _without_a_tokenizer(checkpoint: Path, model_class: Any, hparams: dict[str, Any]) -> None:
    """Give the conversion a vocabulary where the checkpoint has none."""

    def set_vocab(model: Any) -> None:
        size = size_of(hparams)
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
        tokens = ",".join(f'"{i}":{i}' for i in range(size_of(hparams)))
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
