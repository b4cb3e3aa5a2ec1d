"""The models room: references, fetching, file headers, and what a model is."""
