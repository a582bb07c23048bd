"""The model file into memory: header checked, sections read straight into place, every one's checksum verified.

Firmware differs in what it can read at once, and some disk controllers cannot write above 4 GiB: a read that fails is
tried again in smaller pieces, and at last through the workspace; what was refused once is not asked for again.  File
offset and address stay congruent modulo a page; firmware copies every sector once more where they are not.
"""

from typing import NamedTuple

from barelm.contract import layout
from barelm.contract.board import Board, LoadedModel
from barelm.contract.layout import SENSELESS_WORDS, Header, Senseless
from barelm.contract.regions import Workspace
from barelm.contract.sections import SECTIONS
from barelm.contract.settings import SettingsView, joined
from barelm.contract.storage_state import LoadProgress, ModelParts
from barelm.dialect.memory import address_of, cells, copy_bytes, crc32c, memory, text
from barelm.dialect.processor import cycles
from barelm.dialect.sentences import sentence
from barelm.dialect.types import U8, U16, padded
from barelm.kernels.file_tables import senseless_table
from barelm.kernels.header import SOUND
from barelm.metal import arena
from barelm.metal.console.sinks import ALARM, DIM, Console
from barelm.metal.console.stream import begin_input, put_code_point, show_input
from barelm.metal.console.writing import begin_text, end_text, put, put_text, put_words, say
from barelm.metal.storage.model_parts import close_parts, open_parts, parts_in, read_part
from barelm.metal.storage.model_refusals import (
    DISK_FAILS,
    ENDS_EARLY,
    NO_PIECE,
    NO_ROOM,
    SPOILT,
    STRANGE_TABLE,
    explain,
)
from barelm.metal.storage.reads_ahead import MOST_AHEAD, came_ahead, close_ahead, open_ahead, start_ahead
from barelm.metal.uefi.boot_services import Firmware

CHUNK = 16 << 20
AHEAD_CHUNK = CHUNK  # of reads under way
LEAST_CHUNK = 64 << 10
PROGRESS_MS = 250
BAR_CELLS = 24
FULL_BLOCK, LIGHT_SHADE = 0x2588, 0x2591  # between the full block and U+258F: seven eighths to one


SECTION_NAMES, SECTION_NAMES_AT = joined(row.name for row in SECTIONS)


class Loading(NamedTuple):
    """A model on its way into memory."""

    con: Console
    parts: ModelParts
    header: Header
    model: LoadedModel
    progress: LoadProgress
    bounce: U8  # where every disk controller can write


def load_file(con: Console, b: Board, workspace: Workspace, root: int, name: U16) -> int:
    """Open a model, and read all of it into memory; SOUND, or why not, and what there was to say about it is said.

    Where it is not SOUND nothing of it is open or in memory.
    """
    header = workspace.header
    parts = parts_in(workspace)
    verdict = open_parts(parts, root, name, header)
    if verdict == SOUND:
        introduce(con, b.settings, header)
        verdict = load_model(con, b, workspace, header)
    if verdict != SOUND:
        explain(con, verdict, parts, header, arena.free_memory(con.fw, arena.map_buffer(workspace)))
    close_parts(parts)
    return verdict


def header_in(workspace: Workspace) -> Header:
    """The header of the model that is loaded."""
    return workspace.header


def introduce(con: Console, settings: SettingsView, header: Header) -> None:
    """The model, before it is loaded."""
    if settings.report == 0:
        put_words(con, header.name)
        say(con, DIM, sentence("   {:MB} of memory, context {} tokens\n", (header.memory_bytes, header.seq_len)))


def load_model(con: Console, b: Board, workspace: Workspace, header: Header) -> int:
    """Find room for the model and read every section; SOUND, or why not, and the memory is given back."""
    model = b.model
    if not arena.take_model(con.fw, model, b.figures, header, arena.map_buffer(workspace)):
        free = arena.free_memory(con.fw, arena.map_buffer(workspace))
        return NO_ROOM if free.total < header.memory_bytes else NO_PIECE
    b.job.slack = layout.WINDOW_SLACK if header.window_room > 0 else 0
    progress = workspace.progress
    progress.began = cycles()
    progress.told = progress.began
    progress.per_ms = b.figures.cycles_per_ms if b.settings.report == 0 else 0
    progress.most = CHUNK
    progress.bounces = 0
    open_ahead(con.fw, progress.ahead, b.figures.cycles_per_ms)
    begin_input(con)
    loading = Loading(con, parts_in(workspace), header, model, progress, workspace.bounce)
    verdict = SOUND
    for section in range(header.n_sections):
        if verdict == SOUND:
            verdict = load_again(loading, section)
    close_ahead(con.fw, progress.ahead)
    if verdict == SOUND and tells_of_table(con, header, model):
        verdict = STRANGE_TABLE
    b.figures.load_cycles = cycles() - progress.began
    if progress.told != progress.began:
        show_input(con, progress.line, 0, -1)
    if verdict != SOUND:
        arena.give_back_model(con.fw, model, b.figures, header)
    return verdict


def load_again(loading: Loading, section: int) -> int:
    """Read a section; where it is not what it should be once more without reads ahead, and at last through the
    workspace: rather a slow model than none, where a firmware or a controller is at fault.
    """
    progress = loading.progress
    verdict = load_section(loading, section)
    if verdict == SPOILT or verdict == ENDS_EARLY:
        progress.ahead.on = 0
        verdict = load_section(loading, section)
    if (verdict == SPOILT or verdict == ENDS_EARLY) and progress.bounces == 0:
        progress.bounces = 1
        progress.most = len(loading.bounce)
        verdict = load_section(loading, section)
    return verdict


def close_reads(fw: Firmware, workspace: Workspace) -> None:
    """Give back what loading has of the firmware's, after a failure: the model's files are closed already."""
    close_ahead(fw, workspace.progress.ahead)


def tells_of_table(con: Console, header: Header, model: LoadedModel) -> bool:
    """Whether a table of a model holds what cannot be: it is said which."""
    words = cells(SENSELESS_WORDS)
    finding = Senseless(address_of(words))
    if not senseless_table(header, model.sections, finding):
        return False
    name = text(SECTION_NAMES)[SECTION_NAMES_AT[finding.section]:]
    if finding.most < finding.least:
        say(con, ALARM, sentence("In its section {}, number {} does not fit the others.", (name, finding.place)))
    else:
        say(con, ALARM, sentence("In its section {}, number {} is not from {} to {}.", (
            name, finding.place, finding.least, finding.most)))
    return True


def load_section(loading: Loading, section: int) -> int:
    """Read one section chunk by chunk, summing each while the next is on its way; SOUND, or what is wrong."""
    entry = loading.header.sections[section]
    crc = 0
    ahead = loading.progress.ahead
    ahead.asked = 0
    size = AHEAD_CHUNK if ahead.on != 0 else CHUNK
    whole = padded(entry.n_bytes, layout.PAGE)
    done = 0
    while done < entry.n_bytes:
        target = loading.model.sections[section] + done
        n = min(size, whole - done)
        start_ahead(ahead, loading.parts, entry.offset, target - done, min(whole, done + MOST_AHEAD * size), size)
        if not came_ahead(loading.con.fw, ahead, done, n, size):
            verdict = read_chunk(loading, entry.offset + done, target, n)
            if verdict != SOUND:
                return verdict
            ahead.asked = max(ahead.asked, done + n)
        crc = crc32c(crc, memory(target, n), min(n, entry.n_bytes - done))
        done += n
        show_progress(loading, entry.offset + done)
    return SOUND if crc == entry.sum else SPOILT


def read_chunk(loading: Loading, offset: int, target: int, n_bytes: int) -> int:
    """n bytes from `offset` of the model to `target`; firmware may give less than it is asked for.  SOUND, or why not.
    """
    progress = loading.progress
    done = 0
    while done < n_bytes:
        place = target + done if progress.bounces == 0 else address_of(loading.bounce)
        asked = min(progress.most, n_bytes - done)
        came = read_part(loading.parts, offset + done, place, asked)
        if came == 0:
            return ENDS_EARLY
        if came < 0 and not asks_for_less(loading, asked):
            return DISK_FAILS
        if came > 0 and progress.bounces != 0:
            copy_bytes(target + done, place, came)
        done += max(came, 0)
    return SOUND


def asks_for_less(loading: Loading, asked: int) -> bool:
    """After a refusal: smaller reads from now on, then reads into the workspace; False where these were small too."""
    progress = loading.progress
    if asked > LEAST_CHUNK:
        progress.most = max(asked // 4, LEAST_CHUNK)
    elif progress.bounces == 0:
        progress.bounces = 1
        progress.most = len(loading.bounce)
    else:
        return False
    return True


def show_progress(loading: Loading, done: int) -> None:
    """Now and then: a bar, how much is loaded, how fast, and how long it will take."""
    con, progress = loading.con, loading.progress
    now = cycles()
    if progress.per_ms == 0 or now - progress.told < PROGRESS_MS * progress.per_ms:
        return
    progress.told = now
    whole = loading.header.file_bytes
    took_ms = max((now - progress.began) // progress.per_ms, 1)
    begin_text(con, progress.line)
    put_text(con, text("Loading "))
    eighths = done * 8 * BAR_CELLS // whole
    for cell in range(BAR_CELLS):
        filled = min(max(eighths - 8 * cell, 0), 8)
        put_code_point(con, LIGHT_SHADE if filled == 0 else FULL_BLOCK + 8 - filled)
    put(con, sentence(" {} % of {:MB}, {} MB/s, {} s left", (
        done * 100 // whole, whole, done // took_ms // 1000, (whole - done) * took_ms // done // 1000 + 1)))
    show_input(con, progress.line, end_text(con), -1)
