"""A parcache backend that runs every job in a Python process of its own."""
