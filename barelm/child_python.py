"""A Python in a process of its own: this interpreter, this barelm, and nothing of the folder it is started in."""

import os
import sys


def child_command(module: str, *arguments: str) -> list[str]:
    """What runs a module as `python -m` does, but for -P: a `json.py` in the current folder is not the json meant."""
    return [sys.executable, "-P", "-m", module, *arguments]


def child_environment(**more: str) -> dict[str, str]:
    """For such a child: ours and `more`, and it looks for modules where we do, in the same order."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **more}
