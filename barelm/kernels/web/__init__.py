"""What clients of a node send, read; what they get, written (`answers`)."""
