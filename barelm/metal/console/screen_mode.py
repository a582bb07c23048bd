"""The screen the firmware shows: its size and its pixels, and how many characters of which size go on it (UEFI 12.9).
"""

from __future__ import annotations

from barelm.contract import uefi
from barelm.contract.uefi_protocols import GraphicsOutput, GraphicsOutputMode, GraphicsOutputModeInformation
from barelm.dialect.rooms import metal
from barelm.dialect.types import I64
from barelm.metal.uefi.boot_services import Firmware
from barelm.metal.uefi.graphics_output import graphics_mode_size, set_graphics_mode

COLUMNS = 0  # words of Display.state; 0: there is no screen
ROWS = 1  # of text, without the status row
WIDTH = 3  # pixels
HEIGHT = 4
GRAPHICS = 5  # address of EFI_GRAPHICS_OUTPUT_PROTOCOL
FRAME = 6  # address of the frame buffer, or 0: the firmware copies the pixels
PITCH = 7  # bytes from a line of it to the next
RGB = 8  # 1: red comes first, not blue
SCALE = 9  # pixels of the screen to a pixel of a glyph
GLYPH_HEIGHT = 10
CELL_WIDTH = 11  # pixels of the screen
CELL_HEIGHT = 12
LEFT = 13  # margins
UPPER = 14
ROW_BYTES = 15  # of a line of cells
HISTORY = 16  # rows kept
OLD_MODE = 17  # 0, or one more than the mode there was
BLOCK = 18  # address of the memory taken, and its size
BLOCK_BYTES = 19
STATE_WORDS = 64

FEWEST_COLUMNS, FEWEST_ROWS = 80, 36
"""A font as large as leaves these."""

LEAST_WIDTH, LEAST_HEIGHT = 800, 600
"""On a smaller screen the firmware is asked for a larger one, up to these:"""
MOST_WIDTH, MOST_HEIGHT = 1920, 1200

MOST_MODES = 256
LARGEST_CELL = 48


@metal
def enlarge_screen(fw: Firmware, state: I64) -> None:
    """Where the screen is small and the firmware offers a larger one, take that."""
    graphics = state[GRAPHICS]
    mode = GraphicsOutputMode(GraphicsOutput(graphics).mode)
    if mode.address == 0:
        return
    current = mode.mode
    width, height = graphics_mode_size(fw, graphics, current)
    if width >= LEAST_WIDTH and height >= LEAST_HEIGHT:
        return
    best = current
    most = 0
    for number in range(min(mode.max_mode, MOST_MODES)):
        width, height = graphics_mode_size(fw, graphics, number)
        if LEAST_WIDTH <= width <= MOST_WIDTH and LEAST_HEIGHT <= height <= MOST_HEIGHT and width * height > most:
            most = width * height
            best = number
    if best != current and set_graphics_mode(graphics, best) == 0:
        state[OLD_MODE] = current + 1


@metal
def measure_screen(state: I64) -> None:
    """Size, pixels and frame buffer of the mode that is set, and the cells that go on it."""
    mode = GraphicsOutputMode(GraphicsOutput(state[GRAPHICS]).mode)
    info = GraphicsOutputModeInformation(mode.info if mode.address != 0 else 0)
    if info.address == 0:
        return
    width = info.horizontal_resolution
    height = info.vertical_resolution
    form = info.pixel_format
    state[WIDTH] = width
    state[HEIGHT] = height
    state[PITCH] = 4 * info.pixels_per_scan_line
    frame = mode.frame_buffer_base
    if ((form == uefi.PIXEL_RGBX or form == uefi.PIXEL_BGRX) and frame != 0 and state[PITCH] >= 4 * width
            and mode.frame_buffer_size >= (height - 1) * state[PITCH] + 4 * width):
        state[FRAME] = frame
        state[RGB] = int(form == uefi.PIXEL_RGBX)
    cell = 0
    for step in range(2 * LARGEST_CELL // 8):
        scale = 1 + step // 2
        wide = (8 if step % 2 == 0 else 12) * scale
        fits = width // wide >= FEWEST_COLUMNS and height // (2 * wide) >= FEWEST_ROWS
        if wide <= LARGEST_CELL and (step == 0 or fits and wide > cell):
            cell = wide
            state[SCALE] = scale
            state[GLYPH_HEIGHT] = 2 * wide // scale
    state[CELL_WIDTH] = cell
    state[CELL_HEIGHT] = 2 * cell
    state[COLUMNS] = width // cell
    state[ROWS] = max(height // (2 * cell) - 1, 0)
    state[ROW_BYTES] = 4 * cell * state[COLUMNS]
    state[LEFT] = (width - cell * state[COLUMNS]) // 2 & ~3
    state[UPPER] = (height - 2 * cell * (state[ROWS] + 1)) // 2
    if state[ROWS] == 0:
        state[COLUMNS] = 0
