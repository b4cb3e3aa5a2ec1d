"""What models need on transformers: modules, weights, cache, compute and the worker, each by formula."""
