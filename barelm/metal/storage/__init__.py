"""The volume: configuration, models, files written whole."""
