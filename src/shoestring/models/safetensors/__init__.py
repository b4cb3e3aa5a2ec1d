"""Hugging Face checkpoints: the safetensors headers, their index, and what `config.json` says of the model."""
