"""The contract served over HTTP: operations, problem documents, conditional requests."""
