"""Plans: what a model will hold in memory, term by term, before a byte of it is loaded."""
