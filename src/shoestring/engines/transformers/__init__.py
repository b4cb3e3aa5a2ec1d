"""transformers: checkpoints in safetensors, at any precision (`engine.py` is the door)."""
