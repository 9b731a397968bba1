"""The contract, and what is made of it when the service starts."""
