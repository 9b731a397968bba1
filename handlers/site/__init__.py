"""The pages of the service: Swagger UI, the reference, the problem types."""
