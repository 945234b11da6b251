"""The metrics of the tables as pure functions, the protocol, the tables."""
