"""QEMU's machine protocol over a connected socket: one command at a time, its answer, events ignored.

Source: docs/interop/qmp-spec.rst of QEMU.
"""

import json
import socket
from typing import Any

from barelm.errors import BarelmError

_ANSWER_S = 30.0
_LINE_LIMIT = 1 << 24


class Monitor:
    """The control connection of one QEMU."""

    def __init__(self, connection: socket.socket) -> None:
        """`connection` is fresh; reads the greeting and opens the session."""
        connection.settimeout(_ANSWER_S)
        self._connection = connection
        self._lines = connection.makefile("rb")
        self._next()
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: Any) -> Any:
        """Run a command and return its answer; BarelmError, with QEMU's words, where it refuses or is gone."""
        request = json.dumps({"execute": command, "arguments": arguments}) + "\n"
        try:
            self._connection.sendall(request.encode())
        except OSError as error:
            raise _gone() from error
        while True:
            message = self._next()
            if "error" in message:
                raise BarelmError(f"QEMU refused {command}: {message['error'].get('desc', 'no reason given')}",
                                  "Check that this version of QEMU knows the command (7.1 or newer is best).")
            if "return" in message:
                return message["return"]

    def close(self) -> None:
        """Close the connection; QEMU goes on."""
        self._lines.close()
        self._connection.close()

    def _next(self) -> dict[str, Any]:
        try:
            line = self._lines.readline(_LINE_LIMIT)
            message = json.loads(line) if line else None
        except (OSError, ValueError) as error:
            raise _gone() from error
        if not isinstance(message, dict):
            raise _gone()
        return message


def _gone() -> BarelmError:
    return BarelmError("QEMU does not answer on its control connection", "Check that the machine is still on.")
