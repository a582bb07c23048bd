"""A session: a conversation that was saved, with its keys and values; or the beginning of one, packed on the host.

A header of PAGE bytes; token ids, int64; turns (`contract.conversation_state.Turn`); the system text and the typed
texts, each padded to 8 bytes; then for every layer and head of the cache its parts (`kernels.decoder.cache`), as far as
positions are cached.
"""

from barelm.contract.conversation_state import MOST_TURNS, SYSTEM_BYTES, TYPED_BYTES
from barelm.contract.layout import PAGE, Within
from barelm.contract.settings import THINKS
from barelm.dialect.structs import Struct, room
from barelm.dialect.types import I64

SESSION_MAGIC = int.from_bytes(b"barelmS\n", "little")
SESSION_VERSION = 3
CACHE_PARTS = 4  # keys, values, the scales of both
PREFIX_PATH = "prefix.session"  # on the volume: the beginning of every conversation


class SessionHeader(Struct):
    """The first page of a session.  Sums are those of `dialect.memory`."""

    magic: int
    version: int
    model_sum: int = room(at=8 * 3)  # that of the header of the model it was held with
    n_tokens: int = room(note=Within(0, "seq_len", 1))  # the last may not be read yet
    n_cached: int = room(note=Within(0, "seq_len"))  # positions in the cache
    n_turns: int = room(note=Within(0, MOST_TURNS))
    system_bytes: int = room(note=Within(0, SYSTEM_BYTES))
    typed_bytes: int = room(note=Within(0, TYPED_BYTES))
    rng: int
    think: int = room(note=Within(0, len(THINKS) - 1))  # as the setting was
    text_sum: int  # of what stands between header and cache
    cache_sum: int
    sum: int  # of the header, computed with itself zero
    unused: I64 = room(PAGE // 8 - 14)
