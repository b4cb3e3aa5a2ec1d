"""Messages in, answers out: chat templates, sampling, and `Model`, the Python face of a session."""
