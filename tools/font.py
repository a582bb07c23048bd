"""The screen's font from Debian's Terminus Font: `barelm/metal/console/font.npz`, two sizes of one repertoire.

    apt-get download xfonts-terminus && dpkg-deb -x xfonts-terminus_*.deb FOLDER
    python tools/font.py FOLDER/usr/share/fonts/X11/misc

Reads ter-u16n_unicode.pcf.gz (8x16) and ter-u24n_unicode.pcf.gz (12x24).  Kept is what a model may write: Latin, Greek,
Cyrillic, punctuation, currency, arrows, mathematics, lines, blocks, shapes.  Block elements and the frame that stands
for a missing glyph are drawn here, by rule.  The result is no longer the original: it is distributed under the same
licence (barelm/metal/console/TERMINUS-LICENSE.txt) and, as that asks, not under its name.
"""

from __future__ import annotations

import argparse
import gzip
import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Glyph = NDArray[np.uint8]
"""A picture of one character: rows of 0 and 1."""

TARGET = Path(__file__).parents[1] / "barelm" / "metal" / "console" / "font.npz"
SIZES = {"ter-u16n_unicode.pcf.gz": (8, 16), "ter-u24n_unicode.pcf.gz": (12, 24)}
RANGES = ((0x20, 0x7E), (0xA0, 0x24F), (0x2B0, 0x2FF), (0x370, 0x52F), (0x1E00, 0x1FFF), (0x2000, 0x200A),
          (0x2010, 0x2027), (0x202F, 0x205F), (0x2070, 0x20CF), (0x2100, 0x23FF),
          (0x2500, 0x27BF), (0xFFFD, 0xFFFD))
BLOCKS = (0x2580, 0x259F)
ALIASES = {
    "\u2023": "\u2022", "\u2027": "\u00b7", "\u202f": " ", "\u2043": "-", "\u2044": "/", "\u205f": " ",  # ‣ ‧ ⁃ ⁄
    "\u220f": "\u03a0", "\u2211": "\u03a3", "\u2217": "*", "\u2223": "|", "\u2236": ":", "\u223c": "~",  # ∏ ∑ ∗ ∣ ∶ ∼
    "\u22c5": "\u00b7", "\u22c6": "*", "\u2504": "\u2508", "\u2505": "\u2509", "\u2506": "\u250a",  # ⋅ ⋆ ┄ ┅ ┆
    "\u2507": "\u250b", "\u254c": "\u2508", "\u254d": "\u2509", "\u254e": "\u250a", "\u254f": "\u250b",  # ┇ ╌ ╍ ╎ ╏
    "\u25aa": "\u25a0", "\u25b4": "\u25b2", "\u25b8": "\u25b6", "\u25be": "\u25bc", "\u25c2": "\u25c0",  # ▪ ▴ ▸ ▾ ◂
    "\u2605": "*", "\u2606": "*", "\u2705": "\u2713", "\u2715": "\u00d7", "\u2716": "\u00d7", "\u274c": "\u2717",
    "\u2764": "\u2665", "\u2794": "\u2192", "\u279c": "\u2192", "\u27a1": "\u2192", "\u3000": " ",
}
"""Characters Terminus lacks, and the one that is shown instead of each."""

# PCF, as X.Org's libXfont reads it (pcfread.c): tables of a type, each with a format word.
_METRICS, _BITMAPS, _ENCODINGS = 1 << 2, 1 << 3, 1 << 5
_BIG, _BITS_FROM_THE_TOP, _COMPRESSED = 1 << 2, 1 << 3, 1 << 8
_QUADRANTS = {0x2596: 4, 0x2597: 8, 0x2598: 1, 0x2599: 1 | 4 | 8, 0x259A: 1 | 8, 0x259B: 1 | 2 | 4, 0x259C: 1 | 2 | 8,
              0x259D: 2, 0x259E: 2 | 4, 0x259F: 2 | 4 | 8}
"""Unicode's block elements of four quarters: 1 upper left, 2 upper right, 4 lower left, 8 lower right."""


class Pcf:
    """A font in X11's Portable Compiled Format, read whole."""

    def __init__(self, content: bytes) -> None:
        """`content` is the file, unpacked."""
        if content[:4] != b"\1fcp":
            raise SystemExit("this is no PCF font")
        self._content = content
        n = struct.unpack_from("<I", content, 4)[0]
        rows = [struct.unpack_from("<4I", content, 8 + 16 * i) for i in range(n)]
        self._offsets = {kind: offset for kind, _, _, offset in rows}
        self._metrics = self._read_metrics()
        self._glyph_of = self._read_encodings()

    def _table(self, kind: int) -> tuple[int, str, int]:
        """Format word, byte order, and where the table's content begins."""
        at = self._offsets[kind]
        form = struct.unpack_from("<I", self._content, at)[0]
        return form, ">" if form & _BIG else "<", at + 4

    def _read_metrics(self) -> list[tuple[int, ...]]:
        """(left, right, width, ascent, descent) of every glyph."""
        form, order, at = self._table(_METRICS)
        if form & _COMPRESSED:
            n = struct.unpack_from(f"{order}H", self._content, at)[0]
            return [tuple(byte - 128 for byte in self._content[at + 2 + 5 * i:at + 7 + 5 * i]) for i in range(n)]
        n = struct.unpack_from(f"{order}I", self._content, at)[0]
        return [struct.unpack_from(f"{order}5h", self._content, at + 4 + 12 * i) for i in range(n)]

    def _read_encodings(self) -> dict[int, int]:
        """Which glyph a code point has."""
        _, order, at = self._table(_ENCODINGS)
        low, high, first, last, _ = struct.unpack_from(f"{order}5H", self._content, at)
        found = {}
        for row in range(first, last + 1):
            for column in range(low, high + 1):
                index = (row - first) * (high - low + 1) + column - low
                glyph = struct.unpack_from(f"{order}H", self._content, at + 10 + 2 * index)[0]
                if glyph != 0xFFFF:
                    found[row << 8 | column] = glyph
        return found

    def __contains__(self, code_point: int) -> bool:
        return code_point in self._glyph_of

    def glyph(self, code_point: int, width: int, height: int) -> Glyph:
        """The picture of a character, which fills a cell of that size."""
        number = self._glyph_of[code_point]
        left, right, _, ascent, descent = self._metrics[number][:5]
        form, order, at = self._table(_BITMAPS)
        n = struct.unpack_from(f"{order}I", self._content, at)[0]
        start = at + 4 + 4 * n + 16 + struct.unpack_from(f"{order}I", self._content, at + 4 + 4 * number)[0]
        padding = 1 << (form & 3)
        stride = -(-(right - left) // (8 * padding)) * padding
        if not form & _BITS_FROM_THE_TOP or form & _BIG == 0 and form >> 4 & 3:
            raise SystemExit("this PCF font has its bits in another order than Debian's")
        raw = np.frombuffer(self._content, np.uint8, stride * (ascent + descent), start)
        rows = np.unpackbits(raw.reshape(-1, stride), axis=1)[:, :right - left]
        if (left, right, ascent + descent) != (0, width, height):
            raise SystemExit(f"U+{code_point:04X} does not fill its cell")
        return rows


def block(code_point: int, width: int, height: int) -> Glyph:
    """A block element by Unicode's rule for it (chart U+2580)."""
    cell = np.zeros((height, width), np.uint8)
    if code_point == 0x2580:
        cell[:height // 2] = 1
    elif code_point <= 0x2588:  # lower eighths, up to the full block
        cell[height - height * (code_point - 0x2580) // 8:] = 1
    elif code_point <= 0x258F:  # left seven eighths down to one
        cell[:, :(width * (0x2590 - code_point) + 4) // 8] = 1
    elif code_point == 0x2590:
        cell[:, width // 2:] = 1
    elif code_point <= 0x2593:  # light, medium, dark shade
        y, x = np.mgrid[:height, :width]
        light = (x + 2 * y) % 4 == 0
        cell[:] = (light, (x + y) % 2 == 0, ~light)[code_point - 0x2591]
    elif code_point == 0x2594:
        cell[:height // 8] = 1
    elif code_point == 0x2595:
        cell[:, width - (width + 4) // 8:] = 1
    else:
        quarters = _QUADRANTS[code_point]
        for bit, rows in ((0, slice(0, height // 2)), (2, slice(height // 2, height))):
            cell[rows, :width // 2] = quarters >> bit & 1
            cell[rows, width // 2:] = quarters >> (bit + 1) & 1
    return cell


def missing(width: int, height: int) -> Glyph:
    """An empty frame: here stands a character that has no glyph."""
    cell = np.zeros((height, width), np.uint8)
    cell[height // 8:height * 3 // 4, 1:width - 1] = 1
    cell[height // 8 + 1:height * 3 // 4 - 1, 2:width - 2] = 0
    return cell


def pictures(font: Pcf, width: int, height: int) -> dict[int, Glyph]:
    """Every character there will be, in one size."""
    kept = {c: font.glyph(c, width, height) for low, high in RANGES for c in range(low, high + 1) if c in font}
    kept |= {c: block(c, width, height) for c in range(BLOCKS[0], BLOCKS[1] + 1)}
    return kept | {ord(alias): kept[ord(shown)] for alias, shown in ALIASES.items()}


def arrays_of(small: dict[int, Glyph], large: dict[int, Glyph]) -> dict[str, NDArray[Any]]:
    """Code points in order, the number of the glyph of each, and the glyphs: bits from the left, row after row.

    Characters that look the same in both sizes share a glyph.  Number 0 is the blank, number 1 the missing glyph.
    """
    code_points = sorted(small.keys() & large.keys())
    glyphs = {(small[32].tobytes(), large[32].tobytes()): 0,
              (missing(8, 16).tobytes(), missing(12, 24).tobytes()): 1}
    numbers = [glyphs.setdefault((small[c].tobytes(), large[c].tobytes()), len(glyphs)) for c in code_points]
    bits = [np.packbits(np.frombuffer(b"".join(key[size] for key in glyphs), np.uint8)) for size in (0, 1)]
    return {"code_points": np.array(code_points, np.int32), "numbers": np.array(numbers, np.uint16),
            "glyphs_8x16": bits[0], "glyphs_12x24": bits[1]}


def write_arrays(target: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """An .npz whose bytes depend on the arrays only: `np.savez` writes the time of day."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.save(content, array)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content.getvalue(), zipfile.ZIP_DEFLATED)


def main() -> None:
    """Read the fonts, write the arrays."""
    parser = argparse.ArgumentParser(description="Make barelm/metal/console/font.npz from Debian's xfonts-terminus.")
    parser.add_argument("folder", type=Path, help="where the .pcf.gz files are")
    parser.add_argument("--to", type=Path, default=TARGET)
    options = parser.parse_args()
    sizes = [pictures(Pcf(gzip.decompress((options.folder / name).read_bytes())), width, height)
             for name, (width, height) in SIZES.items()]
    arrays = arrays_of(*sizes)
    write_arrays(options.to, arrays)
    print(f"{options.to}: {len(arrays['code_points'])} characters, {len(arrays['glyphs_8x16']) // 16} glyphs, "
          f"{options.to.stat().st_size} bytes")


if __name__ == "__main__":
    main()
