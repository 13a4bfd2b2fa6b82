"""Results on disk: where they lie, how they are written, and what is believed when they are read."""
