"""The command line, as the tests of the commands have it."""

from __future__ import annotations

from tests.commands.conftest import cli

__all__ = ["cli"]
