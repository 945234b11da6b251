"""Training of every network: one loop, and one module a system with its step."""
