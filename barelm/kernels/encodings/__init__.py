"""How weights are encoded: a row for each encoding here, a file for each family of them beside it.

A matrix is cut into panels of sixteen rows.  F32, F16 and BF16 put the sixteen values of a column side by side
(`floats`).  The others put block after block, each with what GGML's blocks of the sixteen rows hold, to the byte:

- The integers, 32 columns of them after another 32.  These are eight groups of four columns each; byte 4 r + c of a
  group is row r, column c.  Of integers cut into `planes`, say 4 bits and 1, the lowest bits of all groups come first.
  A vector of 64 bytes takes as many groups one above another as have room, the first in its lowest bits; of eight
  groups of single bits, four lie between the others.
- The factors (scales of parts, d, m), each of them for sixteen rows side by side.  Scales of six bits share bytes: the
  low four bits of every two of them come first, then the high two bits of every four.

A new encoding takes a row here, its functions `columns` and `factors`, and a line in `matrices.by_encoding`.
"""

from typing import NamedTuple

from barelm.dialect.types import LANES


class Encoding(NamedTuple):
    """What host and metal have to know of an encoding; its place in TABLE is its number in a `.blm`."""

    name: str  # GGML's
    type_id: int  # GGML's
    columns: int  # of a block
    block_bytes: int  # of a block of one row
    planes: tuple[int, ...] = ()
    six_bits: bool = False  # the scales of parts have six bits


TABLE = (
    Encoding("F32", 0, 1, 4),
    Encoding("Q8_0", 8, 32, 34, (8,)),
    Encoding("Q4_0", 2, 32, 18, (4,)),
    Encoding("Q4_1", 3, 32, 20, (4,)),
    Encoding("Q6_K", 14, 256, 210, (4, 2)),
    Encoding("Q5_0", 6, 32, 22, (4, 1)),
    Encoding("Q4_K", 12, 256, 144, (4,), True),
    Encoding("Q5_K", 13, 256, 176, (4, 1), True),
    Encoding("F16", 1, 1, 2),
    Encoding("BF16", 30, 1, 2),
    Encoding("Q5_1", 7, 32, 24, (4, 1)),
    Encoding("IQ4_NL", 20, 32, 18, (4,)),
    Encoding("IQ4_XS", 23, 256, 136, (4,), True),
    Encoding("MXFP4", 39, 32, 17, (4,)),
    Encoding("Q3_K", 11, 256, 110, (2, 1), True),
    Encoding("Q2_K", 10, 256, 84, (2,)),
)
(F32, Q8_0, Q4_0, Q4_1, Q6_K, Q5_0, Q4_K, Q5_K, F16, BF16, Q5_1, IQ4_NL, IQ4_XS, MXFP4, Q3_K, Q2_K) = range(len(TABLE))

# The table's columns, as the kernels want them.
N_KINDS = len(TABLE)
COLUMNS = tuple(row.columns for row in TABLE)
IS_FLOAT = tuple(int(row.columns == 1) for row in TABLE)
BLOCK_BYTES = tuple(LANES * row.block_bytes for row in TABLE)  # of sixteen rows
