"""A picture of the screen as a BMP file: sixteen colours, four bits a pixel, drawn from the text that is shown.

The header, then every row of the screen from the status row (number `rows`) up to row 0, make a file.
"""

import numpy as np

from barelm.dialect.memory import address_of, copy_bytes, fill_bytes
from barelm.dialect.types import U8
from barelm.metal.console.display import PALETTE, PIXELS_OF_BRUSHES, Display, draw_cells

HEADER_BYTES = 118
FILE_BYTES, PICTURE_WIDTH, PICTURE_HEIGHT, PIXEL_BYTES = 2, 18, 22, 34
"""Where numbers stand in BITMAPFILEHEADER and BITMAPINFOHEADER (Microsoft, "Bitmap Storage")."""

# Offset of the pixels, size of the second header, one plane, four bits, 2835 pixels to a metre, sixteen colours.
HEADER: U8 = np.frombuffer(b"BM" + np.array([0, 0, HEADER_BYTES, 40, 0, 0, 4 << 16 | 1, 0, 0, 2835, 2835, 16, 0],
                                            "<i4").tobytes() + PALETTE.astype("<i4").tobytes(), np.uint8).copy()


def line_bytes(d: Display) -> int:
    """Bytes of a line of pixels, a multiple of 4."""
    return (d.state.width + 7) // 8 * 4


def picture_bytes(d: Display) -> int:
    """The size of a picture."""
    return HEADER_BYTES + line_bytes(d) * d.state.height


def put_picture_header(d: Display, out: U8) -> int:
    """What a picture begins with; returns its bytes."""
    copy_bytes(address_of(out), address_of(HEADER), HEADER_BYTES)
    for i in range(4):
        out[FILE_BYTES + i] = picture_bytes(d) >> 8 * i & 0xFF
        out[PICTURE_WIDTH + i] = d.state.width >> 8 * i & 0xFF
        out[PICTURE_HEIGHT + i] = d.state.height >> 8 * i & 0xFF
        out[PIXEL_BYTES + i] = (picture_bytes(d) - HEADER_BYTES) >> 8 * i & 0xFF
    return HEADER_BYTES


def put_picture_row(d: Display, row: int, out: U8) -> int:
    """The lines of a row of the screen from the lowest up, with the margin at the first and the last; returns bytes."""
    s = d.state
    draw_cells(d, row, 0, s.columns - 1, address_of(d.brushes) + 4 * PIXELS_OF_BRUSHES)
    below = s.height - s.upper - (s.rows + 1) * s.cell_height if row == s.rows else 0
    n_lines = below + s.cell_height + (s.upper if row == 0 else 0)
    n = n_lines * line_bytes(d)
    fill_bytes(address_of(out), 0, n)
    for line in range(s.cell_height):
        source = (s.cell_height - 1 - line) // s.scale * (s.row_bytes // 4)
        target = (below + line) * line_bytes(d) + s.left // 2
        for x in range(0, s.columns * s.cell_width, 2):
            out[target + x // 2] = int(d.pixels[source + x]) << 4 | int(d.pixels[source + x + 1])
    return n
