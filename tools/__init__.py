"""What makes files of this repository: `python -m tools.NAME` from its root."""
