"""A watcher of the pipeline that tells nobody."""

from __future__ import annotations


class Quiet:
    """A `pipeline.Watcher`."""

    def step(self, what: str) -> None:
        """Nothing."""

    def progress(self, done: int, total: int) -> None:
        """Nothing."""

    def note(self, line: str) -> None:
        """Nothing."""

    def think(self, thought: str) -> None:
        """Nothing."""
