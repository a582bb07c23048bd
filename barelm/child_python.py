"""A Python in a process of its own: this interpreter, this barelm, and nothing of the folder it is started in."""

import os
import sys
import threading
import time

LOOK_S = 2.0
"""How often such a child looks whether its parent is still there."""

_KEPT = ("BARELM_", "PYTHON", "LD_", "DYLD_", "LANG", "LC_", "PATH", "SYSTEMROOT", "COVERAGE")


def child_command(module: str, *arguments: str) -> list[str]:
    """What runs a module as `python -m` does, but for -P: a `json.py` in the current folder is not the json meant."""
    return [sys.executable, "-P", "-m", module, *arguments]


def child_environment(**more: str) -> dict[str, str]:
    """For such a child: ours and `more`, and it looks for modules where we do, in the same order."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **more}


def bare_environment(**more: str) -> dict[str, str]:
    """The same for a child that runs what strangers wrote: of ours only what Python and its libraries need, no keys."""
    return {name: value for name, value in child_environment(**more).items()
            if name in more or name.startswith(_KEPT)}


def end_with_parent() -> None:
    """Called in a child: it ends when its parent is gone, killed perhaps, and nobody waits for its result any more."""
    parent = os.getppid()

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_S)
        os._exit(1)

    threading.Thread(target=look, daemon=True).start()
