"""A chat template as pieces to put around the texts of a conversation."""
