"""How weights are encoded: one file an encoding."""
