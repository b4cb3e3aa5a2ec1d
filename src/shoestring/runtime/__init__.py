"""The worker process, its protocol, the memory guard, sessions and the ledger."""
