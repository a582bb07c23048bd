"""Saving and loading as a person asks for it: conversations, pictures of the screen, the machine report."""

from __future__ import annotations

from barelm.contract import uefi
from barelm.contract.uefi_protocols import FileInfo
from barelm.dialect.memory import load_u16, memory, text, u16_array
from barelm.dialect.rooms import metal
from barelm.dialect.types import U8
from barelm.kernels.text.tokenizer import piece
from barelm.metal import arena
from barelm.metal.console.picture import picture_bytes, put_picture_header, put_picture_row
from barelm.metal.console.screen_mode import ROWS
from barelm.metal.console.sinks import ACCENT, ALARM, DIM, PERSON, SCREEN, TEXT, flush, is_on, screen_of
from barelm.metal.console.stream import put_code_point, set_colour
from barelm.metal.console.writing import (
    begin_text,
    end_row,
    end_text,
    put_bytes,
    put_megabytes,
    put_number,
    put_text,
    put_words,
    say_line,
)
from barelm.metal.conversation.saved_sessions import (
    DAMAGED,
    FOLDER,
    LOADED,
    NO_SESSION,
    OTHER_MODEL,
    load_named,
    make_folder,
    room_for_text,
    save_session,
)
from barelm.metal.conversation.talk import Talk, transcript_of, vocabulary_of
from barelm.metal.conversation.turns import (
    END,
    N_TURNS,
    REPLY,
    TURN_WORDS,
    TURNS,
    end_of,
    system_of,
    turns_of,
    typed_of,
)
from barelm.metal.measuring.facts import put_date_and_time, put_time
from barelm.metal.measuring.measured_report import REPORT_AT, make_report
from barelm.metal.storage.whole_files import (
    NAME_UNITS,
    Names,
    begin_file,
    finish_file,
    is_called,
    name_file,
    names_in,
    say_status,
    write_whole,
)
from barelm.metal.uefi.file_protocol import close_file, open_file, read_file, write_file

NAME_BYTES = 512
NO_NAME = "A name has up to 40 characters, none of \" * / : < > ? \\ |, and does not begin with a dot."


@metal
def named(t: Talk, given: U8) -> U8:
    """The name somebody gave, or the date and time where they gave none."""
    if len(given) > 0:
        return given
    buffer = memory(t.workspace.address + arena.NAMES + arena.NAMES_BYTES - 2 * NAME_BYTES, NAME_BYTES)
    begin_text(t.con, buffer)
    if not put_time(t.con, 45):
        put_text(t.con, text("unnamed"))
    return buffer[:end_text(t.con)]


@metal
def save_conversation(t: Talk, given: U8) -> None:
    """`/save`: the text first, so that whoever finds a session finds its text beside it."""
    names = names_in(t.workspace)
    name = named(t, given)
    if not name_file(names, text(FOLDER), name, text(".md")):
        say_line(t.con, ALARM, text(NO_NAME))
        return
    if turns_of(t)[N_TURNS] == 0:
        say_line(t.con, ALARM, text("Nothing was said yet."))
        return
    status = make_folder(t.root)
    if status == 0:
        status = write_whole(t.root, names, markdown_of(t, name))
    name_file(names, text(FOLDER), name, text(".session"))
    if status == 0:
        status = save_session(t, names, end_of(t, turns_of(t)[N_TURNS]))
    if status != 0:
        say_status(t.con, status)
        return
    set_colour(t.con, ACCENT)
    put_text(t.con, text("Saved.  /load "))
    put_bytes(t.con, name, 0, len(name))
    say_line(t.con, ACCENT, text(" goes on with it."))


@metal
def markdown_of(t: Talk, name: U8) -> U8:
    """The conversation as a text to be read, in the scratch."""
    con = t.con
    out = room_for_text(t)
    begin_text(con, out)
    put_text(con, text("# "))
    put_bytes(con, name, 0, len(name))
    put_text(con, text("\n\n"))
    put_words(con, t.header.name)
    put_text(con, text(", "))
    put_time(con, 32)
    put_text(con, text("\n"))
    if len(system_of(t)) > 0:
        put_text(con, text("\nSystem: "))
        put_bytes(con, system_of(t), 0, len(system_of(t)))
        put_text(con, text("\n"))
    for k in range(turns_of(t)[N_TURNS]):
        put_text(con, text("\n## You\n\n"))
        put_bytes(con, typed_of(t, k), 0, len(typed_of(t, k)))
        put_text(con, text("\n\n## "))
        put_words(con, t.header.name)
        put_text(con, text("\n\n"))
        put_reply(t, k)
        put_text(con, text("\n"))
    return out[:end_text(con)]


@metal
def put_reply(t: Talk, k: int) -> None:
    """The reply of turn k."""
    v = vocabulary_of(t)
    tokens = transcript_of(t).tokens
    turn = TURNS + k * TURN_WORDS
    for i in range(turns_of(t)[turn + REPLY], turns_of(t)[turn + END]):
        lo, hi = piece(v, int(tokens[i - 1]), int(tokens[i]))
        put_bytes(t.con, v.pieces, lo, hi)


@metal
def load_conversation(t: Talk, given: U8) -> None:
    """`/load NAME`: take it up, and show what was said."""
    names = names_in(t.workspace)
    if len(given) == 0:
        say_line(t.con, ALARM, text("/load takes a name; /list shows those there are."))
        return
    if not name_file(names, text(FOLDER), given, text(".session")):
        say_line(t.con, ALARM, text(NO_NAME))
        return
    verdict = load_named(t, names)
    if verdict == LOADED:
        show_conversation(t)
        if t.b.job.cached == 0:
            say_line(t.con, DIM, text("[its memory could not be read: the text will be read again]"))
    elif verdict == NO_SESSION:
        say_line(t.con, ALARM, text("There is no conversation of that name.  /list shows those there are."))
    elif verdict == OTHER_MODEL:
        say_line(t.con, ALARM, text("That was held with another model; its text is in the .md file beside it."))
    elif verdict == DAMAGED:
        say_line(t.con, ALARM, text("That file is damaged; its text may be whole, in the .md file beside it."))
    else:
        say_line(t.con, ALARM, text("That is longer than this program can take up."))


@metal
def show_conversation(t: Talk) -> None:
    """Everything that was said, as it stood on the screen."""
    for k in range(turns_of(t)[N_TURNS]):
        end_row(t.con)
        set_colour(t.con, PERSON)
        put_text(t.con, text("> "))
        put_bytes(t.con, typed_of(t, k), 0, len(typed_of(t, k)))
        end_row(t.con)
        set_colour(t.con, TEXT)
        put_reply(t, k)
        end_row(t.con)
    flush(t.con)


@metal
def list_sessions(t: Talk) -> None:
    """`/list`: the conversations on the volume, with size and date."""
    con = t.con
    folder = open_file(t.root, text("sessions"))
    n = 0
    if folder != 0:
        info = memory(t.workspace.address + arena.SCRATCH, NAME_BYTES + 2 * NAME_UNITS)
        while read_file(folder, t.workspace.address + arena.SCRATCH, len(info)) > uefi.INFO_NAME:
            length = is_called(u16_array(info, uefi.INFO_NAME, NAME_UNITS), text(".session"))
            if length > 0:
                n += 1
                for i in range(length):
                    put_code_point(con, load_u16(t.workspace.address + arena.SCRATCH + uefi.INFO_NAME + 2 * i))
                set_colour(con, DIM)
                put_text(con, text("   "))
                put_megabytes(con, FileInfo(t.workspace.address + arena.SCRATCH).file_size)
                put_file_date(t)
                end_row(con)
                set_colour(con, TEXT)
        close_file(folder)
    if n == 0:
        say_line(con, DIM, text("No conversation is saved here yet.  /save NAME saves this one."))
    flush(con)


@metal
def put_file_date(t: Talk) -> None:
    """When the file whose information is in the scratch was changed."""
    changed = FileInfo(t.workspace.address + arena.SCRATCH).modification_time
    if changed.year > 1980:
        put_text(t.con, text("   "))
        put_number(t.con, changed.year)
        put_date_and_time(t.con, changed, 32)


@metal
def take_picture(t: Talk, given: U8) -> None:
    """`/shot`: the screen as a .bmp file."""
    if not is_on(t.con, SCREEN):
        say_line(t.con, ALARM, text("There is no screen to take a picture of."))
        return
    names = names_in(t.workspace)
    if not name_file(names, text(""), named(t, given), text(".bmp")):
        say_line(t.con, ALARM, text(NO_NAME))
        return
    d = screen_of(t.con)
    buffer = room_for_text(t)
    file = begin_file(t.root, names)
    status = file
    if file > 0:
        status = write_file(file, t.workspace.address + arena.SCRATCH, put_picture_header(d, buffer))
        for row in range(d.state[ROWS], -1, -1):
            if status == 0:
                status = write_file(file, t.workspace.address + arena.SCRATCH, put_picture_row(d, row, buffer))
        status = finish_file(t.root, names, file, status)
    if status != 0:
        say_status(t.con, status)
    else:
        say_written(t, names, picture_bytes(d))


@metal
def save_report(t: Talk) -> None:
    """`/report`: measure this machine and write it down."""
    names = names_in(t.workspace)
    say_line(t.con, DIM, text("Measuring ..."))
    n_bytes = make_report(t, end_of(t, turns_of(t)[N_TURNS]))
    name = memory(t.workspace.address + arena.NAMES + arena.NAMES_BYTES - 2 * NAME_BYTES, NAME_BYTES)
    begin_text(t.con, name)
    put_text(t.con, text("report"))
    name_file(names, text(""), name[:end_text(t.con)], text(".json"))
    status = write_whole(t.root, names, memory(t.workspace.address + arena.SCRATCH + REPORT_AT, n_bytes))
    if status != 0:
        say_status(t.con, status)
    else:
        say_written(t, names, n_bytes)


@metal
def say_written(t: Talk, names: Names, n_bytes: int) -> None:
    """That a file is there, and its size."""
    set_colour(t.con, ACCENT)
    put_text(t.con, text("Written: "))
    i = 0
    while names.path[i] != 0:
        put_code_point(t.con, int(names.path[i]) & 0xFFFF)
        i += 1
    put_text(t.con, text(", "))
    put_number(t.con, n_bytes)
    say_line(t.con, ACCENT, text(" bytes."))
