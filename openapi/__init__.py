"""The contract, and the request validation that is compiled from it at start."""
