"""The screen the firmware shows: its size and its pixels, and how many characters of which size go on it (UEFI 12.9).
"""

from barelm.contract import uefi
from barelm.contract.console_state import DisplayState
from barelm.contract.uefi_protocols import GraphicsOutput, GraphicsOutputMode, GraphicsOutputModeInformation
from barelm.metal.uefi.boot_services import Firmware
from barelm.metal.uefi.graphics_output import graphics_mode_size, set_graphics_mode

FEWEST_COLUMNS, FEWEST_ROWS = 80, 36
"""A font as large as leaves these."""

LEAST_WIDTH, LEAST_HEIGHT = 800, 600
"""On a smaller screen the firmware is asked for a larger one, up to these:"""
MOST_WIDTH, MOST_HEIGHT = 1920, 1200

MOST_MODES = 256
LARGEST_CELL = 48


def enlarge_screen(fw: Firmware, state: DisplayState) -> None:
    """Where the screen is small and the firmware offers a larger one, take that."""
    graphics = state.graphics
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
        state.old_mode = current + 1


def measure_screen(state: DisplayState) -> None:
    """Size, pixels and frame buffer of the mode that is set, and the cells that go on it."""
    mode = GraphicsOutputMode(GraphicsOutput(state.graphics).mode)
    info = GraphicsOutputModeInformation(mode.info if mode.address != 0 else 0)
    if info.address == 0:
        return
    width = info.horizontal_resolution
    height = info.vertical_resolution
    form = info.pixel_format
    state.mode = mode.mode
    state.width = width
    state.height = height
    state.pitch = 4 * info.pixels_per_scan_line
    frame = mode.frame_buffer_base
    if ((form == uefi.PIXEL_RGBX or form == uefi.PIXEL_BGRX) and frame != 0 and state.pitch >= 4 * width
            and mode.frame_buffer_size >= (height - 1) * state.pitch + 4 * width):
        state.frame = frame
        state.red_first = int(form == uefi.PIXEL_RGBX)
    cell = 0
    for step in range(2 * LARGEST_CELL // 8):
        scale = 1 + step // 2
        wide = (8 if step % 2 == 0 else 12) * scale
        fits = width // wide >= FEWEST_COLUMNS and height // (2 * wide) >= FEWEST_ROWS
        if wide <= LARGEST_CELL and (step == 0 or fits and wide > cell):
            cell = wide
            state.scale = scale
            state.glyph_height = 2 * wide // scale
    state.cell_width = cell
    state.cell_height = 2 * cell
    state.columns = width // cell
    state.rows = max(height // (2 * cell) - 1, 0)
    state.row_bytes = 4 * cell * state.columns
    state.left = (width - cell * state.columns) // 2 & ~3
    state.upper = (height - 2 * cell * (state.rows + 1)) // 2
    if state.rows == 0:
        state.columns = 0


def screen_changed(state: DisplayState) -> bool:
    """Whether the screen is another one than was measured: somebody set a mode, or plugged a display in."""
    mode = GraphicsOutputMode(GraphicsOutput(state.graphics).mode)
    if mode.address == 0 or mode.info == 0:
        return False
    return bool(mode.mode != state.mode or not has_our_size(state, mode)
                or state.frame != 0 and mode.frame_buffer_base != state.frame)


def has_our_size(state: DisplayState, mode: GraphicsOutputMode) -> bool:
    """Whether a mode is as large as was measured."""
    info = GraphicsOutputModeInformation(mode.info)
    return bool(info.horizontal_resolution == state.width and info.vertical_resolution == state.height)


def regain_screen(state: DisplayState) -> bool:
    """Set our mode again, and find the frame buffer, which may be elsewhere; False where that is not to be had."""
    mode = GraphicsOutputMode(GraphicsOutput(state.graphics).mode)
    if mode.mode != state.mode and set_graphics_mode(state.graphics, state.mode) != 0 or not has_our_size(state, mode):
        return False
    if state.frame == 0:
        return True
    if mode.frame_buffer_base == 0:
        return False
    state.frame = mode.frame_buffer_base
    state.pitch = 4 * GraphicsOutputModeInformation(mode.info).pixels_per_scan_line
    return True
