"""The forward pass of the one decoder, and what it is given."""
