"""What of a batch is done, beside its output while that is not complete: a line for each answer, as it comes."""

import json
import os
import time
from pathlib import Path
from types import TracebackType

from barelm.errors import BarelmError

SYNC_S = 1.0


class Journal:
    """A context manager; `done` are the lines of answers by the custom_id they answer.

    Its first line says for which input and seed it is.  A last line that is cut short, by a crash, does not count.
    """

    def __init__(self, path: Path, digest: str) -> None:
        """Open it, with what is there already.  Raises BarelmError where it is of another batch, or cannot be opened.
        """
        self.path, self.done = path, dict[str, str]()
        first = json.dumps({"barelm batch": 1, "input": digest})
        try:
            self._file = open(path, "a+b")
            self._file.seek(0)
            head, *lines = self._file.read().split(b"\n")[:-1] or [b""]
            if head and head.decode(errors="replace") != first:
                raise BarelmError(f"{path} is of another input, or of another --seed",
                                  "Take it away to begin anew, or name another output.")
            whole = len(head) + 1 if head else 0
            for line in lines:
                self.done[str(json.loads(line)["custom_id"])] = line.decode()
                whole += len(line) + 1
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BarelmError(f"cannot go on from {path}: {getattr(error, 'strerror', None) or error}",
                              "Take it away to begin anew.") from error
        self._file.truncate(whole)
        if not head:
            self._put(first)
        self._synced = time.monotonic()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
                 ) -> None:
        self._file.close()

    def note(self, custom_id: str, line: str) -> None:
        """An answer is there."""
        self.done[custom_id] = line
        self._put(line)
        if time.monotonic() - self._synced > SYNC_S:
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()

    def _put(self, line: str) -> None:
        self._file.write(line.encode() + b"\n")
        self._file.flush()
