"""The checksum of a section: two running sums, after Fletcher, over little-endian 64-bit words."""

from barelm.dialect.memory import u64_array
from barelm.dialect.types import U8, U64


def extend_checksum(sums: U64, data: U8, n_bytes: int) -> None:
    """a = Σ wᵢ and b = Σ aᵢ modulo 2^64 over the whole words of `data`, continued from sums = (a, b).

    Any change of one word changes a; words out of place change b.  It is not a signature: whoever can write the
    model can write its checksums.
    """
    words = u64_array(data, 0, n_bytes // 8)
    a = sums[0]
    b = sums[1]
    for i in range(n_bytes // 8):
        a += words[i]
        b += a
    sums[0] = a
    sums[1] = b
