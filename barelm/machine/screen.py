"""The screen of a hosted machine: a file shared between the machine and whoever started it, and pictures of it."""

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from barelm.errors import BarelmError

PIXELS_AT = 4096
"""Where the pixels begin in the file, behind three words of 32 bits: width, height, 1 where red comes first."""

RGB, BGR, MASK, BLT = "rgb", "bgr", "mask", "blt"
KINDS = (RGB, BGR, MASK, BLT)
"""Kinds of pixels, in the order of EFI_GRAPHICS_PIXEL_FORMAT: BLT has no frame buffer to write to."""

MOST_PIXELS = 1 << 26


@dataclass(frozen=True)
class Screen:
    """A screen to be: its size, and its kind of pixels."""

    width: int
    height: int
    pixels: str = BGR

    def __str__(self) -> str:
        """As `parse_screen` reads it."""
        return f"{self.width}x{self.height}:{self.pixels}"


def parse_screen(text: str) -> Screen:
    """From "1920x1080" or "1920x1080:blt".  Raises ValueError."""
    size, _, kind = text.partition(":")
    width, height = (int(number) for number in size.split("x"))
    if not (width > 0 < height and width * height <= MOST_PIXELS and (kind or BGR) in KINDS):
        raise ValueError(f"no such screen: {text}")
    return Screen(width, height, kind or BGR)


def save_picture(file: BinaryIO, path: Path) -> None:
    """What a shared file shows now: a PNG where `path` ends in .png, else a PPM.  Raises BarelmError."""
    head = os.pread(file.fileno(), 12, 0)
    width, height, red_first = struct.unpack("<3I", head) if len(head) == 12 else (0, 0, 0)
    content = bytearray(os.pread(file.fileno(), 4 * width * height, PIXELS_AT))
    if not width or len(content) < 4 * width * height:
        raise BarelmError("the machine's screen is not on yet", "Read what it says first.")
    pixels = bytearray(3 * width * height)
    for colour in range(3):
        pixels[colour::3] = content[(colour if red_first else 2 - colour)::4]
    if path.suffix.lower() == ".png":
        path.write_bytes(png(width, height, bytes(pixels)))
    else:
        path.write_bytes(b"P6\n%d %d\n255\n" % (width, height) + pixels)


def png(width: int, height: int, pixels: bytes) -> bytes:
    """A PNG of 24-bit pixels (W3C PNG, sections 5 and 11): no filters, one chunk."""
    lines = b"".join(b"\0" + pixels[3 * width * y:3 * width * (y + 1)] for y in range(height))
    return b"".join((b"\x89PNG\r\n\x1a\n", _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
                     _chunk(b"IDAT", zlib.compress(lines, 6)), _chunk(b"IEND", b"")))


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
