"""The HTTP server: uvicorn, its configuration and its protocol."""
