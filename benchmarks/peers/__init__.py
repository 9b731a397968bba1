"""Services that do the same as this one, each in one file, as its own stack would have it."""
