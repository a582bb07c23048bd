"""The graphics output on a screen that is a shared file: modes, frame buffer, block transfer (UEFI 12.9)."""

import ctypes
import mmap
import os
import struct

from barelm.contract import uefi
from barelm.contract.uefi_protocols import GraphicsOutput, GraphicsOutputMode, GraphicsOutputModeInformation
from barelm.machine.firmware.pages import Memory
from barelm.machine.firmware.process import guest
from barelm.machine.firmware.process.guest import require
from barelm.machine.firmware.services import service
from barelm.machine.screen import BLT, KINDS, MASK, PIXELS_AT, RGB, Screen

_SMALLER = ((640, 480), (800, 600), (1024, 768), (1280, 1024))
_MASKS = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)


class Graphics:
    """EFI_GRAPHICS_OUTPUT_PROTOCOL: mode 0 is the screen's own size and set at the start; smaller ones follow."""

    def __init__(self, screen: Screen, memory: Memory, fd: int | None = None) -> None:
        """`fd` is the file the screen is shared in; without one nobody sees it."""
        self._screen, self._memory = screen, memory
        self._sizes = [(screen.width, screen.height)] + [
            (width, height) for width, height in _SMALLER if width < screen.width and height < screen.height]
        fd = os.memfd_create("screen") if fd is None else fd
        n_bytes = 4 * screen.width * screen.height
        os.ftruncate(fd, PIXELS_AT + n_bytes)
        self._shared = mmap.mmap(fd, PIXELS_AT + n_bytes)
        self._base = ctypes.addressof(ctypes.c_char.from_buffer(self._shared)) + PIXELS_AT
        has_frame = screen.pixels != BLT
        self._frame = (self._base, n_bytes) if has_frame else (0, 0)
        self._info = memory.pool(GraphicsOutputModeInformation.BYTES)
        self.mode = GraphicsOutputMode(memory.pool(GraphicsOutputMode.BYTES))
        self._switch(0)

    def _describe(self, number: int, address: int) -> None:
        """Write EFI_GRAPHICS_OUTPUT_MODE_INFORMATION of a mode."""
        info = GraphicsOutputModeInformation(address)
        info.version, info.pixel_format = 0, KINDS.index(self._screen.pixels)
        info.horizontal_resolution, info.vertical_resolution = self._sizes[number]
        info.red_mask, info.green_mask, info.blue_mask, info.reserved_mask = (
            _MASKS if self._screen.pixels == MASK else (0, 0, 0, 0))
        info.pixels_per_scan_line = self._sizes[number][0]

    def _switch(self, number: int) -> None:
        self._width, self._height = self._sizes[number]
        ctypes.memset(self._base, 0, 4 * self._screen.width * self._screen.height)
        self._shared[:12] = struct.pack("<3I", self._width, self._height, self._screen.pixels == RGB)
        self._describe(number, self._info)
        self.mode.max_mode, self.mode.mode = len(self._sizes), number
        self.mode.info, self.mode.size_of_info = self._info, GraphicsOutputModeInformation.BYTES
        self.mode.frame_buffer_base, self.mode.frame_buffer_size = self._frame

    @service(GraphicsOutput)
    def query_mode(self, this: int, number: int, size: int, info: int) -> None:
        """12.9.2.1"""
        require(number < len(self._sizes) and size and info)
        address = self._memory.pool(GraphicsOutputModeInformation.BYTES)
        self._describe(number, address)
        guest.put_word(size, GraphicsOutputModeInformation.BYTES)
        guest.put_word(info, address)

    @service(GraphicsOutput)
    def set_mode(self, this: int, number: int) -> None:
        """12.9.2.2"""
        require(number < len(self._sizes), uefi.EFI_UNSUPPORTED)
        self._switch(number)

    @service(GraphicsOutput)
    def blt(self, this: int, buffer: int, operation: int, source_x: int, source_y: int, x: int, y: int, width: int,
            height: int, delta: int) -> None:
        """12.9.2.3"""
        require(operation <= uefi.BLT_VIDEO_TO_VIDEO and width and height)
        require(buffer or operation == uefi.BLT_VIDEO_TO_VIDEO)
        from_screen = operation in (uefi.BLT_VIDEO_TO_BUFFER, uefi.BLT_VIDEO_TO_VIDEO)
        if from_screen:
            require(source_x + width <= self._width and source_y + height <= self._height)
        if operation != uefi.BLT_VIDEO_TO_BUFFER:
            require(x + width <= self._width and y + height <= self._height)
        on_screen, in_buffer = (self._base, 4 * self._width), (buffer, delta or 4 * width)
        if operation == uefi.BLT_VIDEO_FILL:
            lines = [guest.read_bytes(buffer, 4) * width] * height
        else:
            base, row = on_screen if from_screen else in_buffer
            lines = [guest.read_bytes(base + (source_y + i) * row + 4 * source_x, 4 * width) for i in range(height)]
        if operation != uefi.BLT_VIDEO_TO_VIDEO:
            lines = [self._ordered(line) for line in lines]
        base, row = in_buffer if operation == uefi.BLT_VIDEO_TO_BUFFER else on_screen
        for i, line in enumerate(lines):
            guest.put_bytes(base + (y + i) * row + 4 * x, line)

    def _ordered(self, line: bytes) -> bytes:
        """Pixels in the order of a transfer (blue, green, red) as the screen has them, or the other way."""
        if self._screen.pixels != RGB:
            return line
        swapped = bytearray(line)
        swapped[0::4], swapped[2::4] = line[2::4], line[0::4]
        return bytes(swapped)
