"""Foreign formats in, one `Checkpoint` out."""
