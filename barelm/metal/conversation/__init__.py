"""Turns, replies, commands, sessions."""
