"""A batch from plan to results: what runs is decided here, where it runs is the backend's."""
