"""A stand-in for QEMU: takes its command line, dials its two connections, answers QMP, plays a script on the console.

The script is JSON in FAKE_QEMU: a list of ["say", latin-1 text], ["sleep", s], ["hear", n bytes, to a file],
["complain", stderr text] instead of dialling, or ["complain later", stderr text] instead of answering, and
["exit", status].
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import threading
import time


def _dial(name: str) -> socket.socket:
    port = next(m[1] for a in sys.argv if (m := re.match(rf"socket,id={name},host=127\.0\.0\.1,port=(\d+)", a)))
    return socket.create_connection(("127.0.0.1", int(port)))


def _greet(monitor: socket.socket) -> None:
    monitor.sendall(b'{"QMP": {"version": {}, "capabilities": []}}\r\n')
    assert json.loads(monitor.makefile("rb").readline())["execute"] == "qmp_capabilities"
    monitor.sendall(b'{"return": {}}\r\n')


def _refuse(monitor: socket.socket) -> None:
    for _ in monitor.makefile("rb"):
        monitor.sendall(b'{"event": "NOTHING", "data": {}}\r\n')
        monitor.sendall(b'{"error": {"class": "GenericError", "desc": "not today"}}\r\n')


def main() -> None:
    """Play the script."""
    script = json.loads(os.environ["FAKE_QEMU"])
    if script[0][0] == "complain":
        sys.exit(script[0][1])
    console, monitor = _dial("console"), _dial("monitor")
    if script[0][0] == "complain later":
        sys.exit(script[0][1])
    _greet(monitor)
    threading.Thread(target=_refuse, args=(monitor,), daemon=True).start()
    for verb, *arguments in script:
        if verb == "say":
            console.sendall(arguments[0].encode("latin-1"))
        elif verb == "sleep":
            time.sleep(arguments[0])
        elif verb == "hear":
            data = b""
            while len(data) < arguments[0]:
                data += console.recv(100)
            console.sendall(data)
        elif verb == "exit":
            sys.stderr.write("qemu: something broke\n" if arguments[0] else "")
            sys.exit(arguments[0])


if __name__ == "__main__":
    main()
