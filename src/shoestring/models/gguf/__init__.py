"""GGUF headers: read from a path or any range reader, and refused here when they are malformed.

The format is specified in ggml-org/ggml, docs/gguf.md.
"""
