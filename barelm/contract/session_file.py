"""A session: a conversation that was saved, with its keys and values; or the beginning of one, packed on the host.

A header of PAGE bytes; token ids, int64; turns (`contract.conversation_state.Turn`); the system text and the typed
texts, each padded to 8 bytes; then for every layer and head of the cache its parts (`kernels.decoder.cache`), as far as
positions are cached.
"""

from barelm.contract.layout import PAGE
from barelm.dialect.structs import Struct, room
from barelm.dialect.types import I64, U64

SESSION_MAGIC = int.from_bytes(b"barelmS\n", "little")
SESSION_VERSION = 2
CACHE_PARTS = 4  # keys, values, the scales of both
PREFIX_PATH = "prefix.session"  # on the volume: the beginning of every conversation


class SessionHeader(Struct):
    """The first page of a session.  Sums are those of `kernels.checksum`."""

    magic: int
    version: int
    model_sum_a: int = room(at=8 * 3)  # the checksum of the header of the model it was held with
    model_sum_b: int
    n_tokens: int
    n_cached: int  # positions in the cache
    n_turns: int
    system_bytes: int
    typed_bytes: int
    rng: int
    think: int  # as the setting was
    text_sum: U64 = room(2)  # of what stands between header and cache
    cache_sum: U64 = room(2)
    sum: U64 = room(2)  # of the header, computed with itself zero
    unused: I64 = room(PAGE // 8 - 18)
