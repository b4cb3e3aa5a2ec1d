"""What models need on llama.cpp: weights, cache, compute and the worker, each by formula."""
