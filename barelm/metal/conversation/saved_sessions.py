"""Conversations on the volume: `sessions/NAME.md` to be read, `sessions/NAME.session` to go on with at once.

The second holds ids, turns and the key-value cache (see `contract.layout`), and the checksum of the model it was held
with.  The same form holds the beginning of every conversation, computed on the host: `prefix.session`.
"""

from __future__ import annotations

from barelm.contract import board, layout, uefi
from barelm.contract.layout import SessionHeader
from barelm.contract.storage_state import Names
from barelm.dialect.memory import address_of, cells, copy_bytes, fill_bytes, i64_array, memory, text, u64_array
from barelm.dialect.rooms import metal
from barelm.dialect.types import I64, U8, U64, i64, padded, u64
from barelm.kernels.checksum import extend_checksum
from barelm.kernels.model import cache_part
from barelm.metal import arena
from barelm.metal.conversation.talk import Talk, place, transcript_of
from barelm.metal.conversation.turns import (
    MOST_TURNS,
    N_TURNS,
    TURN_WORDS,
    TURNS,
    add_turn,
    end_of,
    forget,
    system_of,
    turn_ids,
    turns_of,
)
from barelm.metal.processors.cores import command
from barelm.metal.storage.whole_files import begin_file, finish_file, name_file, names_in, open_either
from barelm.metal.uefi.file_protocol import close_file, open_file, open_for_writing, read_file, seek, write_file

FOLDER = "sessions\\"
PREFIX = layout.PREFIX_PATH

LOADED, NO_SESSION, OTHER_MODEL, DAMAGED, TOO_LONG = 0, 1, 2, 3, 4


@metal
def make_folder(root: int) -> int:
    """Have the folder of sessions; returns the status."""
    folder = open_for_writing(root, text("sessions"), uefi.FILE_MODE_CREATE, uefi.DIRECTORY)
    if folder <= 0:
        return folder
    close_file(folder)
    return 0


@metal
def room_for_text(t: Talk) -> U8:
    """Where what stands before the cache is put together: the scratch behind what names and tokenizer need."""
    return memory(t.workspace.address + arena.SCRATCH, layout.WORKSPACE - arena.SCRATCH)


@metal
def save_session(t: Talk, names: Names, n_tokens: int) -> int:
    """Write the first n ids, the turns they are, and what is cached of them; returns the status."""
    block = room_for_text(t)
    n_bytes = text_bytes(n_tokens, turns_of(t)[N_TURNS], len(system_of(t)), typed_bytes(t))
    if layout.PAGE + n_bytes > len(block) or len(system_of(t)) > arena.SYSTEM_BYTES:
        return uefi.EFI_OUT_OF_RESOURCES
    head = SessionHeader(address_of(block))
    describe(t, head, n_tokens)
    gather_text(t, head, block[layout.PAGE:layout.PAGE + n_bytes])
    sum_cache(t, head)
    close_header(head)
    file = begin_file(t.root, names)
    if file <= 0:
        return file
    status = write_file(file, address_of(block), layout.PAGE + n_bytes)
    for part in range(layout.CACHE_PARTS):
        first, step, n = cache_part(t.header, part, head.n_cached)
        if n > 0:
            for k in range(t.header.n_layers * t.header.n_kv_heads):
                if status == 0:
                    status = write_file(file, t.b.model.state + first + k * step, n)
    return finish_file(t.root, names, file, status)


@metal
def typed_bytes(t: Talk) -> int:
    """How many bytes the typed texts are, in a row."""
    n = turns_of(t)[N_TURNS]
    if n == 0:
        return 0
    last = TURNS + (n - 1) * TURN_WORDS
    return turns_of(t)[last] + turns_of(t)[last + 1]


@metal
def text_bytes(n_tokens: int, n_turns: int, n_system: int, n_typed: int) -> int:
    """The size of what stands between header and cache."""
    return 8 * n_tokens + layout.SESSION_TURN_BYTES * n_turns + padded(n_system, 8) + padded(n_typed, 8)


@metal
def describe(t: Talk, head: SessionHeader, n_tokens: int) -> None:
    """The header but for its sums."""
    fill_bytes(head.address, 0, layout.PAGE)
    head.magic = layout.SESSION_MAGIC
    head.version = layout.SESSION_VERSION
    head.model_sum_a = t.header.sum_a
    head.model_sum_b = t.header.sum_b
    head.n_tokens = n_tokens
    head.n_cached = min(t.b.job.cached, n_tokens)
    head.n_turns = turns_of(t)[N_TURNS]
    head.system_bytes = len(system_of(t))
    head.typed_bytes = typed_bytes(t)
    head.rng = int(i64(transcript_of(t).rng[0]))


@metal
def gather_text(t: Talk, head: SessionHeader, out: U8) -> None:
    """Ids, turns and texts in a row, and their sum."""
    n_tokens = head.n_tokens
    n_turns = head.n_turns
    n_system = head.system_bytes
    for i in range(len(out)):
        out[i] = 0
    at = address_of(out)
    copy_bytes(at, address_of(transcript_of(t).tokens), 8 * n_tokens)
    at += 8 * n_tokens
    copy_bytes(at, address_of(turns_of(t)) + 8 * TURNS, layout.SESSION_TURN_BYTES * n_turns)
    at += layout.SESSION_TURN_BYTES * n_turns
    copy_bytes(at, t.b.settings.system.address, n_system)
    copy_bytes(at + padded(n_system, 8), t.workspace.address + arena.TYPED, head.typed_bytes)
    words = cells(2)
    sums = fresh_sums(words)
    extend_checksum(sums, out, len(out))
    head.text_sum_a = int(i64(sums[0]))
    head.text_sum_b = int(i64(sums[1]))


@metal
def fresh_sums(words: I64) -> U64:
    """Two words as sums over nothing."""
    words[0] = 0
    words[1] = 0
    return u64_array(memory(address_of(words), 16), 0, 2)


@metal
def sum_cache(t: Talk, head: SessionHeader) -> None:
    """The sum of the cache as far as it is saved."""
    words = cells(2)
    sums = fresh_sums(words)
    for part in range(layout.CACHE_PARTS):
        first, step, n = cache_part(t.header, part, head.n_cached)
        if n > 0:
            for k in range(t.header.n_layers * t.header.n_kv_heads):
                extend_checksum(sums, memory(t.b.model.state + first + k * step, n), n)
    head.cache_sum_a = int(i64(sums[0]))
    head.cache_sum_b = int(i64(sums[1]))


@metal
def close_header(head: SessionHeader) -> bool:
    """Set the header's own sum; returns whether it was right before."""
    a = head.sum_a
    b = head.sum_b
    head.sum_a = 0
    head.sum_b = 0
    words = cells(2)
    sums = fresh_sums(words)
    extend_checksum(sums, memory(head.address, layout.PAGE), layout.PAGE)
    head.sum_a = int(i64(sums[0]))
    head.sum_b = int(i64(sums[1]))
    return bool(sums[0] == u64(a) and sums[1] == u64(b))


@metal
def load_session(t: Talk, file: int) -> int:
    """Take up a saved conversation; LOADED, or why not and the one being held goes on.

    A cache that cannot be read or does not match its sum is left out: then the ids are read again.
    """
    block = room_for_text(t)
    seek(file, 0)
    if read_file(file, address_of(block), layout.PAGE) != layout.PAGE:
        return DAMAGED
    head = SessionHeader(address_of(block))
    if head.magic != layout.SESSION_MAGIC or head.version != layout.SESSION_VERSION:
        return DAMAGED
    if not close_header(head):
        return DAMAGED
    if head.model_sum_a != t.header.sum_a or head.model_sum_b != t.header.sum_b:
        return OTHER_MODEL
    if not sizes_fit(t, head):
        return DAMAGED
    n_bytes = text_bytes(head.n_tokens, head.n_turns, head.system_bytes, head.typed_bytes)
    if layout.PAGE + n_bytes > len(block):
        return TOO_LONG
    body = block[layout.PAGE:layout.PAGE + n_bytes]
    words = cells(2)
    sums = fresh_sums(words)
    if read_file(file, address_of(body), n_bytes) != n_bytes:
        return DAMAGED
    extend_checksum(sums, body, n_bytes)
    if sums[0] != u64(head.text_sum_a) or sums[1] != u64(head.text_sum_b):
        return DAMAGED
    if not turns_are_sound(t, head, i64_array(body, 0, n_bytes // 8)):
        return DAMAGED
    take_text(t, head, body)
    take_cache(t, head, file)
    return LOADED


@metal
def sizes_fit(t: Talk, head: SessionHeader) -> bool:
    """Whether every count of a session's header is one this program could have written."""
    n_tokens = head.n_tokens
    if n_tokens < 0 or n_tokens > t.header.seq_len + 1:
        return False
    if head.n_cached < 0 or head.n_cached > min(n_tokens, t.header.seq_len):
        return False
    if head.n_turns < 0 or head.n_turns > MOST_TURNS:
        return False
    if head.system_bytes < 0 or head.system_bytes > arena.SYSTEM_BYTES:
        return False
    return bool(0 <= head.typed_bytes <= arena.TYPED_BYTES)


@metal
def turns_are_sound(t: Talk, head: SessionHeader, words: I64) -> bool:
    """Whether every id is one of the vocabulary, and the turns follow one another."""
    n_tokens = head.n_tokens
    for i in range(n_tokens):
        if words[i] < 0 or words[i] >= t.header.vocab_size:
            return False
    typed = 0
    end = 0
    for k in range(head.n_turns):
        at = n_tokens + k * TURN_WORDS
        if words[at] != typed or words[at + 1] < 0 or words[at + 1] > head.typed_bytes - typed:
            return False
        typed += words[at + 1]
        if words[at + 2] < end or words[at + 3] < words[at + 2] or words[at + 3] > n_tokens:
            return False
        end = words[at + 3]
    return True


@metal
def take_text(t: Talk, head: SessionHeader, body: U8) -> None:
    """Make ids, turns and texts of a session those of the conversation; nothing is cached yet."""
    n_tokens = head.n_tokens
    n_turns = head.n_turns
    n_system = head.system_bytes
    words = i64_array(body, 0, len(body) // 8)
    for i in range(n_tokens):
        place(t, i, words[i])
    at = address_of(body) + 8 * n_tokens
    copy_bytes(address_of(turns_of(t)) + 8 * TURNS, at, layout.SESSION_TURN_BYTES * n_turns)
    turns_of(t)[N_TURNS] = n_turns
    at += layout.SESSION_TURN_BYTES * n_turns
    if n_turns > 0:
        copy_bytes(t.workspace.address + arena.SYSTEM, at, n_system)
        t.b.settings.system.address = t.workspace.address + arena.SYSTEM
        t.b.settings.system.n_bytes = n_system
        transcript_of(t).rng[0] = u64(head.rng)
    copy_bytes(t.workspace.address + arena.TYPED, at + padded(n_system, 8), head.typed_bytes)


@metal
def take_cache(t: Talk, head: SessionHeader, file: int) -> None:
    """Read the cache into place, and count it as such only where its sum matches."""
    t.b.job.cached = 0
    words = cells(2)
    sums = fresh_sums(words)
    whole = True
    for part in range(layout.CACHE_PARTS):
        first, step, n = cache_part(t.header, part, head.n_cached)
        if n > 0:
            for k in range(t.header.n_layers * t.header.n_kv_heads):
                target = t.b.model.state + first + k * step
                whole = whole and read_file(file, target, n) == n
                extend_checksum(sums, memory(target, n), n)
    if whole and sums[0] == u64(head.cache_sum_a) and sums[1] == u64(head.cache_sum_b):
        t.b.job.cached = head.n_cached


@metal
def load_named(t: Talk, names: Names) -> int:
    """Take up the session of that name; as `load_session`, or NO_SESSION."""
    file = open_either(t.root, names)
    if file == 0:
        return NO_SESSION
    verdict = load_session(t, file)
    close_file(file)
    return verdict


@metal
def make_prefix(t: Talk) -> int:
    """Read the ids that every first turn begins with, and write them as PREFIX; returns how many, or the status."""
    letter = cells(1)
    typed = memory(address_of(letter), 1)
    typed[0] = 97
    add_turn(t, typed)
    most = end_of(t, 1)
    tokens = transcript_of(t).tokens
    typed[0] = 90
    other = turn_ids(t, 0, typed)
    n = 0
    while n < min(most, len(other)) and tokens[n] == other[n]:
        n += 1
    forget(t)
    if n == 0:
        return 0
    t.b.job.cached = 0
    command(t.b.job, board.PREFILL, n)
    names = names_in(t.workspace)
    letters = cells(1)
    typed_name = memory(address_of(letters), 6)
    word = text("prefix")
    for i in range(6):
        typed_name[i] = word[i]
    name_file(names, text(""), typed_name, text(".session"))
    status = save_session(t, names, n)
    if status != 0:
        return status
    return n


@metal
def take_up_prefix(t: Talk) -> None:
    """Put the beginning that was computed on the host in the cache, where it is of this model."""
    file = open_file(t.root, text(PREFIX))
    if file != 0:
        load_session(t, file)
        close_file(file)
