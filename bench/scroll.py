"""How long the screen takes to scroll by a row: the metal code for it, compiled as the program is, on a hosted screen.

    python bench/scroll.py [--screen 1920x1080[:blt]]

Every cell of the screen is full and every row differs from the next, so all of it is drawn anew.  The frame buffer of
a hosted machine is ordinary memory; a graphics card's takes writes at a few GB/s.  Median of the rows, and beside it
what a decode step takes: a row may not cost more than the token that filled it.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from barelm.aot.linking.link import link
from barelm.aot.object import compile_story
from barelm.dialect.memory import cells
from barelm.dialect.processor import cycles
from barelm.dialect.rooms import metal
from barelm.disk import write_image
from barelm.machine.hosted import Hosted
from barelm.machine.machine import Spec
from barelm.machine.screen import parse_screen
from barelm.metal import arena
from barelm.metal.console.display import Display, close_display, open_display, put_cell, refresh, start_row
from barelm.metal.measuring.clock import cycles_per_ms
from barelm.metal.uefi.boot_services import open_firmware

DECODE_STEP_MS = 7.5
"""SmolLM2-135M in Q4_1 on two cores of the machine the figures in bench/README.md are from."""

MEMORY_MB = 64
PATIENCE_S = 60
N_ROWS = 200


@metal
def fill_row(d: Display, row: int) -> None:
    """A new row, full of letters."""
    start_row(d, row)
    for column in range(d.state.columns):
        put_cell(d, row, column, 33 + (7 * row + column) % 90, row % 5)


@metal
def scroll(image: int, table: int) -> int:
    """Fill the screen, scroll; returns the median of a row in nanoseconds."""
    fw = open_firmware(image, table)
    workspace = arena.open_workspace(fw)
    per_ms = cycles_per_ms(fw)
    d = open_display(fw, workspace.board.figures, workspace.console.display)
    n_filled = d.state.rows
    for row in range(n_filled):
        fill_row(d, row)
    refresh(d)
    times = cells(N_ROWS)
    for i in range(N_ROWS):
        fill_row(d, n_filled + i)
        began = cycles()
        refresh(d)
        took = cycles() - began
        at = i
        while at > 0 and times[at - 1] > took:
            times[at] = times[at - 1]
            at -= 1
        times[at] = took
    close_display(fw, d)
    return int(times[N_ROWS // 2]) * 1000000 // per_ms


@metal
def report(image: int, table: int, failure: int) -> int:
    """Nothing is expected to fail."""
    return failure


@metal
def worker(board_address: int) -> int:
    """There is none."""
    return board_address


def main() -> None:
    """Build the program, run it, print what it returned."""
    parser = argparse.ArgumentParser(description="How long the screen takes to scroll by a row.")
    parser.add_argument("--screen", type=parse_screen, action="append", metavar="WIDTHxHEIGHT[:bgr|rgb|mask|blt]")
    screens = parser.parse_args().screen or [parse_screen(text) for text in ("1024x768", "1920x1080", "3840x2160")]
    program = link(compile_story(scroll, report, worker))
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "scroll.img"
        write_image(image, {"EFI/BOOT/BOOTX64.EFI": program})
        for shape in screens:
            machine = Hosted(screen=(shape.width, shape.height), pixels=shape.pixels)
            with machine.start(Spec(image, MEMORY_MB)) as session:
                while session.read(PATIENCE_S):
                    pass
                print(f"{shape}: {(session.status or 0) / 1e6:.2f} ms a row; a decode step takes {DECODE_STEP_MS} ms")


if __name__ == "__main__":
    main()
