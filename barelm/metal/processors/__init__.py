"""All processors at work."""
