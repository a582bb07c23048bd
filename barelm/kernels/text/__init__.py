"""Text to token ids and back: runs wherever kernels do."""
