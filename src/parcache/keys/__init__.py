"""What a result is found by: the canonical config, the code's fingerprint and the recipe that joins them."""
