"""A reader of pictures of the screen: which character stands in each cell, and in which colour, by the font itself."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from barelm.metal.console.display import BACKGROUND, FOREGROUND, N_COLOURS, PALETTE
from barelm.metal.console.glyphs import CODE_POINTS, LARGE, NUMBERS, SMALL
from barelm.metal.console.screen_mode import FEWEST_COLUMNS, FEWEST_ROWS, LARGEST_CELL
from barelm.metal.console.screen_sink import MARGIN

COLOURS = ("text", "person", "dim", "accent", "alarm")
STATUS = "status"

Pixels = NDArray[np.uint32]


@dataclass(frozen=True)
class Grid:
    """How a screen of some size is divided, as `metal.console.screen_mode.measure_screen` does it."""

    cell: int  # pixels wide, and half as high
    small: bool  # the glyphs of 8x16 pixels
    scale: int
    columns: int
    rows: int  # the status row too
    left: int
    upper: int

    @staticmethod
    def of(width: int, height: int) -> Grid:
        """The largest cells that leave as many rows and columns as a person should have."""
        cell, small, scale = 8, True, 1
        for times in range(1, LARGEST_CELL // 8 + 1):
            for wide in (8, 12):
                fits = width // (wide * times) >= FEWEST_COLUMNS and height // (2 * wide * times) >= FEWEST_ROWS
                if fits and cell < wide * times <= LARGEST_CELL:
                    cell, small, scale = wide * times, wide == 8, times
        columns, rows = width // cell, height // (2 * cell)
        return Grid(cell, small, scale, columns, rows, (width - cell * columns) // 2 & ~3,
                    (height - 2 * cell * rows) // 2)


@dataclass(frozen=True)
class Seen:
    """What is on a screen: rows of characters, rows of the names of their colours, where the cursor is."""

    rows: list[str]
    colours: list[list[str]]
    cursor: tuple[int, int] | None

    @property
    def text(self) -> str:
        """The rows above the status between their margins, down to the last that is not blank."""
        return "\n".join(row[MARGIN:].rstrip() for row in self.rows[:-1]).rstrip("\n")

    @property
    def status(self) -> str:
        """The status row."""
        return self.rows[-1].strip()

    def colour_of(self, words: str) -> str:
        """The colour words have where they stand last; they have to be there, in one colour."""
        row = max(i for i, line in enumerate(self.rows) if words in line)
        at = self.rows[row].rindex(words)
        found = {colour for colour, letter in zip(self.colours[row][at:at + len(words)], words) if letter != " "}
        assert len(found) == 1, (words, found)
        return found.pop()


def read_picture(path: Path) -> Seen:
    """What a PPM of the screen shows.  Raises ValueError where a cell holds no character of ours."""
    content = path.read_bytes()
    head = re.match(rb"P6\s+(\d+)\s+(\d+)\s+255\s", content)
    if head is None:
        raise ValueError(f"{path} is no picture of the kind read here")
    width, height = int(head[1]), int(head[2])
    raw = np.frombuffer(content, np.uint8, 3 * width * height, head.end()).reshape(height, width, 3).astype(np.uint32)
    return read_pixels((raw[:, :, 0] << 16 | raw[:, :, 1] << 8 | raw[:, :, 2]).astype(np.uint32))


def read_pixels(pixels: Pixels) -> Seen:
    """The same of pixels."""
    grid = Grid.of(pixels.shape[1], pixels.shape[0])
    rows, colours, cursor = [], [], None
    for row in range(grid.rows):
        letters, paints = "", []
        for column in range(grid.columns):
            y, x = grid.upper + row * 2 * grid.cell, grid.left + column * grid.cell
            block = pixels[y:y + 2 * grid.cell:grid.scale, x:x + grid.cell:grid.scale]
            letter, paint = read_cell(block.tobytes(), grid.small)
            letters += letter
            paints.append(COLOURS[paint % N_COLOURS] if paint < 2 * N_COLOURS else STATUS)
            if N_COLOURS <= paint < 2 * N_COLOURS:
                cursor = row, column
        rows.append(letters)
        colours.append(paints)
    return Seen(rows, colours, cursor)


@functools.lru_cache(4096)
def read_cell(block: bytes, small: bool) -> tuple[str, int]:
    """The character a cell shows, and the number of its paint."""
    pixels = np.frombuffer(block, np.uint32)
    kinds = set(np.unique(pixels).tolist())
    if kinds == {int(PALETTE[BACKGROUND[N_COLOURS]])}:
        return " ", N_COLOURS  # the cursor on a blank, not a full block in the colour of text
    for paint in range(2 * N_COLOURS + 1):
        fore, back = int(PALETTE[FOREGROUND[paint]]), int(PALETTE[BACKGROUND[paint]])
        if kinds <= {fore, back}:
            letter = letters(small).get(np.packbits(pixels == fore).tobytes())
            if letter is not None:
                return letter, paint
    raise ValueError(f"no character of ours, in colours {[f'{kind:06x}' for kind in kinds]}")


@functools.cache
def letters(small: bool) -> dict[bytes, str]:
    """Every glyph and the first character that has it; U+FFFD for the frame of what has none."""
    width, height, font = (8, 16, SMALL) if small else (12, 24, LARGE)
    size = width * height // 8
    found = {font[i * size:(i + 1) * size].tobytes(): "\ufffd" for i in (1,)}
    for code_point, number in zip(CODE_POINTS.tolist(), NUMBERS.tolist()):
        found.setdefault(font[number * size:(number + 1) * size].tobytes(), chr(code_point))
    found[font[:size].tobytes()] = " "
    return found


def as_seen(text: str, small: bool) -> str:
    """A text as it is read from a screen, where characters that look the same are one."""
    width, height, font = (8, 16, SMALL) if small else (12, 24, LARGE)
    size = width * height // 8
    numbers = dict(zip(CODE_POINTS.tolist(), NUMBERS.tolist()))
    return "".join(letters(small)[font[(at := numbers.get(ord(letter), 1) * size):at + size].tobytes()]
                   for letter in text)
