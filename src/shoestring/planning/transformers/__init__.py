"""What a model takes on transformers: its modules, weights, cache, working memory, worker and load peak."""
