"""What a person sees on stderr: steps, and a bar for what takes longer than a second; nothing without a terminal."""

import sys
import time
from typing import Any, Self

from barelm.printed import printable, spoken

PATIENCE_S = 1.0


class ProgressBar:
    """A `pipeline.Watcher` on stderr.  A context manager; on leaving, the last bar is gone."""

    def __init__(self) -> None:
        self._tty = sys.stderr.isatty()
        self._bar: Any = None
        self._what = ""
        self._since = time.monotonic()
        self._thought = ""  # the last character of one that is not over

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *how: object) -> None:
        self.clear()

    def step(self, what: str) -> None:
        """A step begins: on a terminal a spinner turns until the next."""
        self.clear()
        self._what, self._since = printable(what), time.monotonic()
        if self._tty:
            self._show(None)

    def progress(self, done: int, total: int) -> None:
        """Bytes done of how many: a bar, once it has lasted."""
        if self._tty and time.monotonic() - self._since > PATIENCE_S:
            if self._bar is None or self._bar.tasks[0].total is None:  # it does not only turn: how much of how many
                self.clear()
                self._show(total)
            self._bar.update(0, completed=done, total=total)

    def note(self, line: str) -> None:
        """One line that stays."""
        self.clear()
        print(printable(line, "\n"), file=sys.stderr, flush=True)

    def think(self, thought: str) -> None:
        """More of a model's thoughts: dimmed on a terminal, and left out where stderr is none."""
        if thought and self._tty:
            self.clear()
            print(f"\x1b[2m{spoken(thought)}\x1b[0m", end="", file=sys.stderr, flush=True)
            self._thought = thought[-1]

    def end_thought(self) -> None:
        """The answer begins: on a terminal in a paragraph of its own."""
        if self._thought:
            print("\n" * (1 + (self._thought != "\n")), end="", file=sys.stderr, flush=True)
            self._thought = ""

    def clear(self) -> None:
        """Take the bar away: from here on stdout has the terminal."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _show(self, total: int | None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn, TransferSpeedColumn

        columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn()) if total else ()
        self._bar = Progress(SpinnerColumn(), TextColumn("{task.description}", markup=False), *columns,
                             console=Console(stderr=True), transient=True)
        self._bar.add_task(self._what, total=total)
        self._bar.start()
