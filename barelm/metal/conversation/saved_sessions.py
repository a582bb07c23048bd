"""Conversations on the volume: `sessions/NAME.md` to be read, `sessions/NAME.session` to go on with at once.

The second holds ids, turns and the key-value cache (see `contract.session_file`), and the checksum of the model it was
held with.  The same form holds the beginning of every conversation, computed on the host: `prefix.session`.
"""

from barelm.contract import board, uefi
from barelm.contract.conversation_state import SYSTEM_BYTES, Conversation, Turn
from barelm.contract.layout import PAGE, SENSELESS_WORDS, Header, Senseless
from barelm.contract.sections import IN_SESSION, IN_TURN
from barelm.contract.session_file import CACHE_PARTS, PREFIX_PATH, SESSION_MAGIC, SESSION_VERSION, SessionHeader
from barelm.dialect.memory import address_of, cells, copy_bytes, crc32c, fill_bytes, i64_array, memory, text
from barelm.dialect.types import U8, U16, i64, padded, u64
from barelm.kernels.bounds import senseless_field
from barelm.kernels.decoder.model import layers_of
from barelm.kernels.decoder.state import cache_part
from barelm.metal.conversation.talk import Talk, set_text, transcript_of
from barelm.metal.conversation.turns import add_turn, end_of, forget, system_of, turn_ids, typed_end
from barelm.metal.processors.cores import cached_of, command, count_cached, place
from barelm.metal.storage.whole_files import (
    begin_file,
    close_open,
    goes_on,
    name_file,
    open_either,
    put_part,
)
from barelm.metal.trust.bound_program import check_prefix, trusts_caches
from barelm.metal.trust.loaded_files import begin_watch, trust_in, watch
from barelm.metal.uefi.answers import ERROR
from barelm.metal.uefi.file_protocol import close_file, open_file, open_for_writing, read_file, seek

FOLDER = "sessions\\"

LOADED, NO_SESSION, OTHER_MODEL, DAMAGED, TOO_LONG, NOT_READ = range(6)


def make_folder(root: int) -> int:
    """Have the folder of sessions; returns the status."""
    folder = open_for_writing(root, text("sessions"), uefi.FILE_MODE_CREATE, uefi.DIRECTORY)
    close_open(folder)
    return min(folder, 0)


def plain_name(c: Conversation, name: U16) -> U8:
    """A constant name, in ASCII, as somebody would give it."""
    for i in range(len(name) - 1):
        c.name[i] = name[i]
    return c.name[:len(name) - 1]


def save_session(t: Talk, n_tokens: int) -> int:
    """Write the first n ids, the turns they are, and what is cached of them; returns the status."""
    block = t.conversation.file
    head = SessionHeader(address_of(block))
    describe(t, head, n_tokens)
    n_bytes = PAGE + text_bytes(head)
    if n_bytes > len(block) or head.system_bytes > SYSTEM_BYTES:
        t.names.status = ERROR | uefi.EFI_OUT_OF_RESOURCES
        return t.names.status
    gather_text(t, head, block[PAGE:n_bytes])
    for k in range(n_pieces(t.header)):
        piece = cache_piece(t, k, head.n_cached)
        head.cache_sum = crc32c(head.cache_sum, piece, len(piece))
    close_header(head)
    begin_file(t.volume.root, t.names)
    while goes_on(t.volume.root, t.names):
        put_part(t.names, block[:n_bytes])
        for k in range(n_pieces(t.header)):
            put_part(t.names, cache_piece(t, k, head.n_cached))
    return t.names.status


def text_bytes(head: SessionHeader) -> int:
    """The size of what stands between header and cache."""
    return (8 * head.n_tokens + Turn.BYTES * head.n_turns + padded(head.system_bytes, 8)
            + padded(head.typed_bytes, 8))


def n_pieces(header: Header) -> int:
    """In how many pieces the cache is saved."""
    return CACHE_PARTS * header.n_layers * header.n_kv_heads


def cache_piece(t: Talk, k: int, n_cached: int) -> U8:
    """Piece k: a part of the cache (`kernels.decoder.model.cache_part`) of one head of a layer; it may be empty."""
    heads = t.header.n_layers * t.header.n_kv_heads
    first, n_bytes = cache_part(t.header, layers_of(t.header, t.model.sections), k // heads, k % heads, n_cached)
    return memory(t.model.state + first, n_bytes)


def describe(t: Talk, head: SessionHeader, n_tokens: int) -> None:
    """The header but for its sums."""
    c = t.conversation
    fill_bytes(head.address, 0, PAGE)
    head.magic = SESSION_MAGIC
    head.version = SESSION_VERSION
    head.model_sum = t.header.sum
    head.n_tokens = n_tokens
    head.n_cached = cached_of(t.job, n_tokens)
    head.n_turns = c.n_turns
    head.system_bytes = len(system_of(t))
    head.typed_bytes = typed_end(c, c.n_turns)
    head.rng = int(i64(transcript_of(t).rng[0]))
    head.think = t.settings.think


def gather_text(t: Talk, head: SessionHeader, out: U8) -> None:
    """Ids, turns and texts in a row, and their sum."""
    c = t.conversation
    at = address_of(out)
    fill_bytes(at, 0, len(out))
    copy_bytes(at, address_of(transcript_of(t).tokens), 8 * head.n_tokens)
    at += 8 * head.n_tokens
    copy_bytes(at, c.turns[0].address, Turn.BYTES * head.n_turns)
    at += Turn.BYTES * head.n_turns
    copy_bytes(at, t.settings.system.address, head.system_bytes)
    copy_bytes(at + padded(head.system_bytes, 8), address_of(c.typed), head.typed_bytes)
    head.text_sum = crc32c(0, out, len(out))


def close_header(head: SessionHeader) -> bool:
    """Set the header's own sum; returns whether it was right before."""
    held = head.sum
    head.sum = 0
    head.sum = crc32c(0, memory(head.address, PAGE), PAGE)
    return bool(head.sum == held)


def load_session(t: Talk, file: int) -> int:
    """Take up a saved conversation; LOADED, or why not and the one being held goes on.

    A cache that cannot be read or does not match its sum is left out: then the ids are read again.
    """
    block = t.conversation.file
    seek(file, 0)
    if read_file(file, address_of(block), PAGE) != PAGE:
        return DAMAGED
    watch(t.workspace, block[:PAGE])
    head = SessionHeader(address_of(block))
    if head.magic != SESSION_MAGIC or head.version != SESSION_VERSION or not close_header(head):
        return DAMAGED
    if head.model_sum != t.header.sum:
        return OTHER_MODEL
    if not sizes_fit(t.header, head):
        return DAMAGED
    n_bytes = text_bytes(head)
    if PAGE + n_bytes > len(block):
        return TOO_LONG
    body = block[PAGE:PAGE + n_bytes]
    if read_file(file, address_of(body), n_bytes) != n_bytes:
        return DAMAGED
    watch(t.workspace, body)
    if crc32c(0, body, n_bytes) != head.text_sum or not text_is_sound(t.header, head, body):
        return DAMAGED
    take_text(t, head, body)
    take_cache(t, head, file)
    return LOADED


def sizes_fit(header: Header, head: SessionHeader) -> bool:
    """Whether every count of a session's header is one this program could have written."""
    words = cells(SENSELESS_WORDS)
    return bool(not senseless_field(header, IN_SESSION, head.address, Senseless(address_of(words)))
                and head.n_cached <= head.n_tokens)


def text_is_sound(header: Header, head: SessionHeader, body: U8) -> bool:
    """Whether every id is one of the vocabulary, and the turns follow one another."""
    ids = i64_array(body, 0, head.n_tokens)
    for i in range(len(ids)):
        if not 0 <= ids[i] < header.vocab_size:
            return False
    words = cells(SENSELESS_WORDS)
    typed = 0
    end = 0
    for k in range(head.n_turns):
        turn = Turn(address_of(body) + 8 * len(ids) + k * Turn.BYTES)
        if senseless_field(header, IN_TURN, turn.address, Senseless(address_of(words))):
            return False
        if turn.typed_at != typed or turn.typed_bytes > head.typed_bytes - typed:
            return False
        # What was asked is an id at least: there is always a last one to be read again.
        if not end < turn.reply <= turn.end <= len(ids):
            return False
        typed += turn.typed_bytes
        end = turn.end
    return True


def take_text(t: Talk, head: SessionHeader, body: U8) -> None:
    """Make ids, turns and texts of a session those of the conversation; nothing is cached yet."""
    c = t.conversation
    tokens = transcript_of(t).tokens
    ids = i64_array(body, 0, head.n_tokens)
    for i in range(len(ids)):
        place(t.job, tokens, i, ids[i])
    at = address_of(body) + 8 * len(ids)
    copy_bytes(c.turns[0].address, at, Turn.BYTES * head.n_turns)
    c.n_turns = head.n_turns
    at += Turn.BYTES * head.n_turns
    if head.n_turns > 0:
        set_text(t.settings.system, c.system, memory(at, head.system_bytes))
        transcript_of(t).rng[0] = u64(head.rng)
        t.settings.think = head.think
    copy_bytes(address_of(c.typed), at + padded(head.system_bytes, 8), head.typed_bytes)


def take_cache(t: Talk, head: SessionHeader, file: int) -> None:
    """Read the cache into place, and count it as such only where its sum matches."""
    t.job.cached = 0
    found = 0
    whole = True
    for k in range(n_pieces(t.header)):
        piece = cache_piece(t, k, head.n_cached)
        if len(piece) > 0:
            whole = whole and read_file(file, address_of(piece), len(piece)) == len(piece)
            found = crc32c(found, piece, len(piece))
            watch(t.workspace, piece)
    if whole and trusts_caches(t.workspace) and found == head.cache_sum:
        count_cached(t.job, head.n_cached)


def load_named(t: Talk) -> int:
    """Take up the session that `t.names` names; as `load_session`, or NO_SESSION, or NOT_READ."""
    file = open_either(t.volume.root, t.names)
    if file <= 0:
        return NO_SESSION if file == 0 else NOT_READ
    verdict = load_session(t, file)
    close_file(file)
    return verdict


def make_prefix(t: Talk) -> int:
    """Read the ids that every first turn begins with, and write them as PREFIX_PATH; returns how many, or a status."""
    c = t.conversation
    add_turn(t, plain_name(c, text("a")))
    tokens = transcript_of(t).tokens
    other = turn_ids(t, 0, plain_name(c, text("Z")), 0, c.name[:0])
    most = min(end_of(c, 1), len(other))
    n = 0
    while n < most and tokens[n] == other[n]:
        n += 1
    forget(c)
    if n == 0:
        return 0
    t.job.cached = 0
    command(t.job, board.PREFILL, n)
    name_file(t.names, text(""), plain_name(c, text("prefix")), text(".session"))
    status = save_session(t, n)
    return status if status != 0 else n


def take_up_prefix(t: Talk) -> None:
    """Put the beginning that was computed on the host in the cache, where it is of this model."""
    file = open_file(t.volume.root, text(PREFIX_PATH))
    if file > 0:
        begin_watch(trust_in(t.workspace))
        load_session(t, file)
        close_file(file)
        check_prefix(t.workspace, text(PREFIX_PATH))
