"""A graphics output of callbacks over a frame buffer in this process, and what text has to look like on it."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from barelm.contract import uefi
from barelm.contract.board import Figures
from barelm.contract.console_state import DisplayState
from barelm.contract.uefi_protocols import GraphicsOutput, GraphicsOutputMode, GraphicsOutputModeInformation
from barelm.metal.console import display
from barelm.metal.console.display import Display
from barelm.metal.console.glyphs import LARGE, SMALL, glyph_of
from tests.metal.fake import ERROR, FakeFirmware, load, store
from tests.metal.volumes import Table

RGBX, BGRX, MASK, BLT_ONLY = range(4)
UNTOUCHED = 0x55555555

Cell = tuple[str, int, int]
"""A character, and the numbers of its colour and its background in the palette."""


class FakeScreen(FakeFirmware):
    """A firmware with a screen: `modes[0]` is set at the start."""

    def __init__(self, modes: list[tuple[int, int]], form: int = BGRX, padding: int = 0, *, line: bool = False) -> None:
        super().__init__(line=line)
        self.modes, self.form, self.padding = modes, form, padding
        self.graphics, self.mode = Table(GraphicsOutput), Table(GraphicsOutputMode)
        self.info, self.queried = Table(GraphicsOutputModeInformation), Table(GraphicsOutputModeInformation)
        self.transfers: list[tuple[int, ...]] = []
        self.modes_set: list[int] = []
        self.n_pools = 0
        self.graphics.put(mode=self.mode.address)
        self.graphics.serve("query_mode", self.query_mode)
        self.graphics.serve("set_mode", self.set_mode)
        self.graphics.serve("blt", self.blt)
        self.boot.serve("locate_protocol", self.locate)
        self._free_pool = self.boot.serve("free_pool", self.free_pool)
        self.state = DisplayState.over(np.zeros(DisplayState.BYTES, np.uint8))
        self.figures = Figures.over(np.zeros(Figures.BYTES, np.uint8))
        self.show_mode(0)

    def open(self, world: Any = lambda function: function) -> Display:  # type: ignore[override]
        """The display on it."""
        return Display(*world(display.open_display)(self.fw, self.figures, self.state))

    def show_mode(self, number: int) -> None:
        width, height = self.modes[number]
        self.frame = np.full((height, width + self.padding), UNTOUCHED, np.uint32)
        self.describe(self.info, number, width + self.padding)
        self.mode.put(max_mode=len(self.modes), mode=number, info=self.info.address,
                      frame_buffer_base=0 if self.form == BLT_ONLY else int(self.frame.ctypes.data),
                      frame_buffer_size=self.frame.nbytes)

    def describe(self, info: Table, number: int, pitch: int) -> None:
        """EFI_GRAPHICS_OUTPUT_MODE_INFORMATION of a mode."""
        width, height = self.modes[number]
        info.put(horizontal_resolution=width, vertical_resolution=height, pixel_format=self.form,
                 pixels_per_scan_line=pitch)

    def locate(self, guid: int, registration: int, interface: int) -> int:
        if ctypes.string_at(guid, 16) != uefi.GRAPHICS_OUTPUT_PROTOCOL.tobytes():
            return ERROR | uefi.EFI_NOT_FOUND
        store(interface, self.graphics.address)
        return 0

    def query_mode(self, this: int, number: int, size: int, info: int) -> int:
        self.describe(self.queried, number, self.modes[number][0])
        self.n_pools += 1
        store(info, self.queried.address)
        return 0

    def free_pool(self, address: int) -> int | None:
        if address == self.queried.address:
            self.n_pools -= 1
            return 0
        return self._free_pool(address)

    def set_mode(self, this: int, number: int) -> int:
        self.modes_set.append(number)
        self.show_mode(number)
        return 0

    def blt(self, this: int, buffer: int, operation: int, source_x: int, source_y: int, x: int, y: int, width: int,
            height: int, delta: int) -> int:
        self.transfers.append((operation, x, y, width, height))
        assert (source_x, source_y) == (0, 0) and x + width <= self.modes_width and y + height <= len(self.frame)
        target = self.frame[y:y + height, x:x + width]
        for line in range(height):
            if operation == uefi.BLT_VIDEO_FILL:
                pixels = np.full(width, load(buffer) & 0xFFFFFFFF, np.uint32)
            else:
                pixels = np.frombuffer(ctypes.string_at(buffer + line * delta, 4 * width), np.uint32)
            target[line] = swapped(pixels) if self.form == RGBX else pixels
        return 0

    @property
    def modes_width(self) -> int:
        """Pixels of a line that are on the screen."""
        return self.frame.shape[1] - self.padding

    @property
    def colours(self) -> np.ndarray[Any, Any]:
        """What a person sees: the number in the palette of every pixel, or -1."""
        pixels = self.frame[:, :self.modes_width]
        pixels = swapped(pixels) if self.form == RGBX else pixels
        numbers = np.full(pixels.shape, -1)
        for number in range(7, -1, -1):
            numbers[pixels == display.PALETTE[number]] = number
        return numbers


def swapped(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Red and blue change places."""
    return (pixels & 0xFF) << 16 | (pixels & 0xFF00) | pixels >> 16 & 0xFF


def bitmap(character: str, scale: int, small: bool) -> np.ndarray[Any, Any]:
    """A glyph as 0 and 1, enlarged: the font read in another way than the display does."""
    width, height, font = (8, 16, SMALL) if small else (12, 24, LARGE)
    start = glyph_of(ord(character)) * width * height
    bits = np.unpackbits(font)[start:start + width * height].reshape(height, width)
    return np.kron(bits, np.ones((scale, scale), np.uint8))


def expected(d: Display, text: dict[tuple[int, int], Cell]) -> np.ndarray[Any, Any]:
    """Colours of a whole screen with characters at (row, column), all else blank."""
    s = d.state
    wide, high = int(s.cell_width), int(s.cell_height)
    picture = np.zeros((int(s.height), int(s.width)), np.int64)
    for (row, column), (character, colour, background) in text.items():
        y, x = int(s.upper) + row * high, int(s.left) + column * wide
        glyph = bitmap(character, int(s.scale), s.glyph_height == 16)
        picture[y:y + high, x:x + wide] = np.where(glyph, colour, background)
    # Two numbers of the palette look the same: the background, and text on the status row.
    return np.where(picture == 7, 0, picture)
