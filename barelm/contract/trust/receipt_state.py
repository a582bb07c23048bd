"""A receipt being made, and what one is asked to be computed again from.

A receipt is a chain of SHA-256.  It begins with that of `ReceiptStart`, which has all that an answer depends on, and
the ids before it.  Each token adds a link: the SHA-256 of the link before, of the logits it was chosen from (float32,
as many as the vocabulary has) and the token's id (int64).
"""

from barelm.contract.layout import PAGE
from barelm.contract.trust.hashing import SHA256_BYTES, Sha256
from barelm.dialect.structs import Struct, room
from barelm.dialect.types import I32, I64, U8, Real

RECEIPT_FORMAT = 1
MOST_LINKS = 4096
"""Tokens of one answer that are listed; what follows is in the last link too."""
REPLAY_PATH, RECEIPT_PATH = "replay.bin", "receipt.json"
REPLAY_MAGIC = int.from_bytes(b"barelmR\n", "little")


class ReceiptStart(Struct):
    """What an answer depends on beside the ids before it; hashed as it lies here."""

    format: int
    n_ids: int  # before the answer
    penalised_from: int  # the first id the repetition penalty looks at: n_ids, or 0
    rng: int  # the state of the generator
    top_k: int
    temperature: Real
    top_p: Real
    min_p: Real
    repeat: Real
    model: U8 = room(SHA256_BYTES)
    previous: U8 = room(SHA256_BYTES)  # the last link of the answer before, or zeros


class ReceiptState(Struct):
    """The receipt of the last answer."""

    start: ReceiptStart
    n: int  # tokens chosen
    first: U8 = room(SHA256_BYTES)  # the link before the first token
    last: U8 = room(SHA256_BYTES)
    hash: Sha256
    ids: I32 = room(MOST_LINKS)
    links: I64 = room(MOST_LINKS)  # the first eight bytes of each, the first byte highest


class Replay(Struct):
    """`replay.bin`: an answer to be computed again; the ids before it follow, from PAGE on."""

    magic: int
    n_tokens: int  # to make
    start: ReceiptStart
    unused: I64 = room((PAGE - 16 - ReceiptStart.BYTES) // 8)
