"""What host, metal and hosted firmware agree on; imports nothing but the dialect."""
