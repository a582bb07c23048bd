"""Every processor on the work."""
