"""The callers of the firmware's network."""
