"""Nodes that serve, and what is written for others to find them."""
