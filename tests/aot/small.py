"""Small programs from functions of a test: compiled as the real one is, run on the hosted firmware."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from barelm.aot.linking.link import link
from barelm.aot.object import compile_story
from barelm.dialect.rooms import metal
from barelm.dialect.types import I64
from barelm.disk import write_image
from barelm.machine.hosted import Hosted
from barelm.machine.machine import Spec
from barelm.metal.main import report_failure

PATIENCE_S = 60


class Large(NamedTuple):
    """Large enough to be passed by its address."""

    a: int
    b: int
    c: int
    d: int
    e: int
    f: int
    g: int
    h: int
    words: I64


@metal
def idle(board: int) -> int:
    """A worker with nothing to do."""
    return board


@dataclass(frozen=True)
class Ran:
    """What a program showed and returned."""

    screen: str
    status: int | None


def build(main: Any) -> bytes:
    """A program whose `efi_main` is `main`, with the real report of failures."""
    return link(compile_story(main, report_failure, idle))


def run(program: bytes, image: Path) -> Ran:
    """Boot it, press a key once it is done."""
    write_image(image, {"EFI/BOOT/BOOTX64.EFI": program})
    with Hosted().start(Spec(image, 64)) as session:
        screen = ""
        while shown := session.read(PATIENCE_S):
            screen += shown.decode()
            if "any key" in screen:
                session.send("x")
        return Ran(screen, session.status)
