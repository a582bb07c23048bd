"""SHA-256 (FIPS 180-4), of bytes that come in any pieces; by the processor's instructions for it where it has some."""

from barelm.contract.trust.hashing import SHA256_BLOCK, Sha256
from barelm.dialect.memory import address_of, copy_bytes, memory, scratch
from barelm.dialect.processor import SHA256_CONSTANTS, SHA256_FIRST, hash_blocks
from barelm.dialect.types import I32, I64, U8

WORD = 0xFFFFFFFF


def begin_sha256(h: Sha256) -> None:
    """Of nothing yet."""
    for k in range(8):
        h.words[k] = signed(SHA256_FIRST[k])
    h.n_bytes = 0


def extend_sha256(h: Sha256, data: U8) -> None:
    """Go on with more bytes."""
    n = len(data)
    filled = h.n_bytes % SHA256_BLOCK
    at = min(n, (SHA256_BLOCK - filled) % SHA256_BLOCK if filled > 0 else 0)
    copy_bytes(address_of(h.block) + filled, address_of(data), at)
    if filled > 0 and filled + at == SHA256_BLOCK:
        take_blocks(h.words, address_of(h.block), 1)
    n_blocks = (n - at) // SHA256_BLOCK
    take_blocks(h.words, address_of(data) + at, n_blocks)
    end = at + n_blocks * SHA256_BLOCK
    if end < n:
        copy_bytes(address_of(h.block), address_of(data) + end, n - end)
    h.n_bytes += n


def finish_sha256(h: Sha256, digest: U8) -> None:
    """The 32 bytes (5.1.1: a one, zeros, and the length in bits); `h` is used up."""
    n_bits = 8 * h.n_bytes
    filled = h.n_bytes % SHA256_BLOCK
    h.block[filled] = 0x80
    filled += 1
    if filled > SHA256_BLOCK - 8:
        for i in range(filled, SHA256_BLOCK):
            h.block[i] = 0
        take_blocks(h.words, address_of(h.block), 1)
        filled = 0
    for i in range(filled, SHA256_BLOCK - 8):
        h.block[i] = 0
    for i in range(8):
        h.block[SHA256_BLOCK - 8 + i] = n_bits >> (56 - 8 * i) & 0xFF
    take_blocks(h.words, address_of(h.block), 1)
    for k in range(8):
        for i in range(4):
            digest[4 * k + i] = int(h.words[k]) >> (24 - 8 * i) & 0xFF


def take_blocks(words: I32, address: int, n: int) -> None:
    """The next n blocks, which lie at an address."""
    if n <= 0 or hash_blocks(words, address, n):
        return
    schedule = scratch(64)
    for k in range(n):
        take_block(words, memory(address + k * SHA256_BLOCK, SHA256_BLOCK), schedule)


def take_block(words: I32, block: U8, w: I64) -> None:
    """One block (6.2.2), `w` its schedule."""
    for t in range(16):
        w[t] = (int(block[4 * t]) << 24 | int(block[4 * t + 1]) << 16 | int(block[4 * t + 2]) << 8
                | int(block[4 * t + 3]))
    for t in range(16, 64):
        early = int(w[t - 15])
        late = int(w[t - 2])
        w[t] = (int(w[t - 16]) + (turned(early, 7) ^ turned(early, 18) ^ early >> 3) + int(w[t - 7])
                + (turned(late, 17) ^ turned(late, 19) ^ late >> 10)) & WORD
    a, b, c, d, e, f, g, h = (
        int(words[0]) & WORD, int(words[1]) & WORD, int(words[2]) & WORD, int(words[3]) & WORD,
        int(words[4]) & WORD, int(words[5]) & WORD, int(words[6]) & WORD, int(words[7]) & WORD)
    for t in range(64):
        first = (h + (turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)) + (e & f ^ (e ^ WORD) & g)
                 + SHA256_CONSTANTS[t] + int(w[t]))
        second = (turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) + (a & b ^ a & c ^ b & c)
        h, g, f, e, d, c, b, a = g, f, e, (d + first) & WORD, c, b, a, (first + second) & WORD
    add_word(words, 0, a)
    add_word(words, 1, b)
    add_word(words, 2, c)
    add_word(words, 3, d)
    add_word(words, 4, e)
    add_word(words, 5, f)
    add_word(words, 6, g)
    add_word(words, 7, h)


def add_word(words: I32, k: int, x: int) -> None:
    """Add to one of the words, modulo 2^32."""
    words[k] = signed((int(words[k]) + x) & WORD)


def turned(x: int, n: int) -> int:
    """32 bits, turned to the right by n."""
    return (x >> n | x << (32 - n)) & WORD


def signed(x: int) -> int:
    """32 bits as an int32 has them."""
    return x - (x >> 31 << 32)
