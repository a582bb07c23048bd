"""Saving and loading as a person asks for it: conversations, pictures of the screen, the machine report."""

from barelm.contract.storage_state import Names
from barelm.contract.uefi_protocols import FileInfo
from barelm.dialect.memory import address_of, text
from barelm.dialect.sentences import sentence
from barelm.dialect.types import U8, U16
from barelm.kernels.text.tokenizer import piece
from barelm.metal.console.picture import picture_bytes, put_picture_header, put_picture_row
from barelm.metal.console.sinks import ACCENT, ALARM, DIM, PERSON, SCREEN, Console, flush, is_on, screen_of
from barelm.metal.console.stream import set_colour
from barelm.metal.console.writing import (
    begin_text,
    end_bytes,
    end_row,
    end_text,
    put,
    put_bytes,
    put_text,
    say,
    say_line,
)
from barelm.metal.conversation import saved_sessions
from barelm.metal.conversation.saved_sessions import DAMAGED, FOLDER, LOADED, NO_SESSION, NOT_READ, OTHER_MODEL
from barelm.metal.conversation.talk import Talk, transcript_of, under_test, vocabulary_of
from barelm.metal.conversation.turns import end_of, gather_answer, system_of, typed_of
from barelm.metal.measuring.facts import failed_service, failed_status, put_date_and_time, put_time
from barelm.metal.measuring.measured_report import make_report
from barelm.metal.storage.whole_files import (
    begin_file,
    close_open,
    goes_on,
    is_listed,
    name_file,
    open_either,
    put_part,
    say_status,
    write_whole,
)
from barelm.metal.trust import receipts
from barelm.metal.trust.loaded_files import hash_program, trust_in
from barelm.metal.trust.measured_boot import put_measured
from barelm.metal.uefi.file_protocol import close_file, open_file, read_entry

NO_NAME = "A name has up to 40 characters, none of \" * / : < > ? \\ |, does not begin with a dot and is no device's."
NOT_TO_BE_READ = "The firmware reports an error where the volume is read.  Is the stick still there?"
MOST_UNNAMED = 1000


def named(t: Talk, given: U8, folder: U16, suffix: U16) -> U8:
    """The name somebody gave, or the date and time where they gave none; without a clock the first free number."""
    if len(given) > 0:
        return given
    name = t.conversation.name
    begin_text(t.con, name)
    if put_time(t.con, 45):
        return name[:end_text(t.con)]
    n = 0
    file = 1
    k = 0
    while file > 0 and k < MOST_UNNAMED:
        close_open(file if k > 0 else 0)
        k += 1
        begin_text(t.con, name)
        put(t.con, sentence("unnamed {}", (k,)))
        n = end_text(t.con)
        name_file(t.names, folder, name[:n], suffix)
        file = open_either(t.volume.root, t.names)
    close_open(file)
    return name[:n]


def save_conversation(t: Talk, given: U8) -> None:
    """`/save`: the session first, the larger one: where there is no room for it, the text beside it stays as it was."""
    c = t.conversation
    name = named(t, given, text(FOLDER), text(".session"))
    if not name_file(t.names, text(FOLDER), name, text(".session")):
        say_line(t.con, ALARM, text(NO_NAME))
        return
    if c.n_turns == 0:
        say_line(t.con, ALARM, text("Nothing was said yet."))
        return
    t.names.status = saved_sessions.make_folder(t.volume.root)
    if t.names.status == 0:
        saved_sessions.save_session(t, end_of(c, c.n_turns))
    if t.names.status != 0:
        say_status(t.con, t.names)
        return
    name_file(t.names, text(FOLDER), name, text(".md"))
    write_whole(t.volume.root, t.names, markdown_of(t, name))
    if t.names.status != 0:
        say_status(t.con, t.names)
        say_line(t.con, ALARM, text("That was the text to read; what /load takes is saved."))
    else:
        say(t.con, ACCENT, sentence("Saved.  /load {} goes on with it.", (name,)))


def markdown_of(t: Talk, name: U8) -> U8:
    """The conversation as a text to be read."""
    con = t.con
    c = t.conversation
    begin_text(con, c.file)
    put(con, sentence("# {}\n\n{}, ", (name, t.header.name)))
    put_time(con, 32)
    put_text(con, text("\n"))
    if len(system_of(t)) > 0:
        put(con, sentence("\nSystem: {}\n", (system_of(t),)))
    for k in range(c.n_turns):
        put(con, sentence("\n## You\n\n{}\n\n## {}\n\n", (typed_of(c, k), t.header.name)))
        put_reply(t, k)
        put_text(con, text("\n"))
    return c.file[:end_text(con)]


def put_reply(t: Talk, k: int) -> None:
    """The reply of turn k, without its thoughts."""
    v = vocabulary_of(t)
    tokens = transcript_of(t).tokens
    turn = t.conversation.turns[k]
    n_bytes, n_marks = gather_answer(t, k)
    if n_marks > 0:
        put_bytes(t.con, t.conversation.answer, 0, n_bytes)
    else:
        for i in range(turn.reply, turn.end):
            lo, hi = piece(v, int(tokens[i - 1]), int(tokens[i]))
            put_bytes(t.con, v.pieces, lo, hi)
    end_bytes(t.con)


def load_conversation(t: Talk, given: U8) -> None:
    """`/load NAME`: take it up, and show what was said."""
    if len(given) == 0:
        say_line(t.con, ALARM, text("/load takes a name; /list shows those there are."))
        return
    if not name_file(t.names, text(FOLDER), given, text(".session")):
        say_line(t.con, ALARM, text(NO_NAME))
        return
    verdict = saved_sessions.load_named(t)
    if verdict == LOADED:
        show_conversation(t)
        if t.job.cached == 0:
            say_line(t.con, DIM, text("[its memory could not be read: the text will be read again]"))
    elif verdict == NO_SESSION:
        say_line(t.con, ALARM, text("There is no conversation of that name.  /list shows those there are."))
    elif verdict == NOT_READ:
        say_line(t.con, ALARM, text(NOT_TO_BE_READ))
    elif verdict == OTHER_MODEL:
        say_line(t.con, ALARM, text("That was held with another model; its text is in the .md file beside it."))
    elif verdict == DAMAGED:
        say_line(t.con, ALARM, text("That file is damaged; its text may be whole, in the .md file beside it."))
    else:
        say_line(t.con, ALARM, text("That is longer than this program can take up."))


def show_conversation(t: Talk) -> None:
    """Everything that was said, as it stood on the screen."""
    for k in range(t.conversation.n_turns):
        end_row(t.con)
        say(t.con, PERSON, sentence("> {}", (typed_of(t.conversation, k),)))
        put_reply(t, k)
        end_row(t.con)
    flush(t.con)


def list_sessions(t: Talk) -> None:
    """`/list`: the conversations on the volume, with size and date."""
    con = t.con
    folder = open_file(t.volume.root, text("sessions"))
    n = 0
    if folder > 0:
        block = t.names.info
        info = FileInfo(address_of(block))
        k = 0
        while read_entry(folder, info, len(block), k):
            k += 1
            length = is_listed(info, info.file_name, text(".session"))
            if length > 0:
                n += 1
                put(con, sentence("{}", (info.file_name[:length],)))
                set_colour(con, DIM)
                put(con, sentence("   {:MB}", (info.file_size,)))
                if info.modification_time.year > 1980:
                    put_text(con, text("   "))
                    put_date_and_time(con, info.modification_time, 32)
                say_line(con, DIM, text(""))
        close_file(folder)
    if folder < 0:
        say_line(con, ALARM, text(NOT_TO_BE_READ))
    elif n == 0:
        say_line(con, DIM, text("No conversation is saved here yet.  /save NAME saves this one."))
    flush(con)


def take_picture(t: Talk, given: U8) -> None:
    """`/shot`: the screen as a .bmp file."""
    if not is_on(t.con, SCREEN):
        say_line(t.con, ALARM, text("There is no screen to take a picture of."))
        return
    if not name_file(t.names, text(""), named(t, given, text(""), text(".bmp")), text(".bmp")):
        say_line(t.con, ALARM, text(NO_NAME))
        return
    d = screen_of(t.con)
    block = t.conversation.file
    begin_file(t.volume.root, t.names)
    while goes_on(t.volume.root, t.names):
        put_part(t.names, block[:put_picture_header(d, block)])
        for row in range(d.state.rows, -1, -1):
            put_part(t.names, block[:put_picture_row(d, row, block)])
    say_written(t.con, t.names, picture_bytes(d))


def save_report(t: Talk) -> None:
    """`/report`: measure this machine and write it down."""
    c = t.conversation
    say_line(t.con, DIM, text("Measuring ..."))
    n_bytes = make_report(t.con, t.workspace, under_test(t), t.figures, c.file, end_of(c, c.n_turns))
    n_bytes += put_trust(t, c.file[n_bytes - 2:]) - 2  # in front of its last brace
    name_file(t.names, text(""), saved_sessions.plain_name(c, text("report")), text(".json"))
    write_whole(t.volume.root, t.names, c.file[:n_bytes])
    say_written(t.con, t.names, n_bytes)
    if failed_status() != 0:
        say(t.con, DIM, sentence("(last failed call: {}, status {})", (failed_service(), failed_status())))


def put_trust(t: Talk, out: U8) -> int:
    """The end of the report: what was measured; returns its bytes."""
    begin_text(t.con, out)
    put_measured(t.con, t.workspace)
    put_text(t.con, text("}\n"))
    return end_text(t.con)


def save_receipt(t: Talk, given: U8) -> None:
    """`/receipt`: that of the last answer; where none are made yet, they are from the next answer on."""
    if t.settings.receipt == 0:
        t.settings.receipt = 1
        say_line(t.con, DIM, text("Answers have a receipt from the next one on; /retry makes the last one again."))
    elif not receipts.still_stands(receipts.receipt_in(t.workspace), transcript_of(t).tokens):
        say_line(t.con, ALARM, text("There is no answer here that a receipt was made of."))
    else:
        write_receipt(t, named(t, given, text(""), text(".receipt.json")), text(".receipt.json"))


def write_receipt(t: Talk, name: U8, suffix: U16) -> None:
    """The receipt of the last answer as a file."""
    if not name_file(t.names, text(""), name, suffix):
        say_line(t.con, ALARM, text(NO_NAME))
        return
    block = t.conversation.file
    hash_program(t.con.fw, trust_in(t.workspace), t.volume.root, block)
    begin_text(t.con, block)
    receipts.put_receipt(t.con, t.workspace, t.header, transcript_of(t).tokens)
    n_bytes = end_text(t.con)
    write_whole(t.volume.root, t.names, block[:n_bytes])
    say_written(t.con, t.names, n_bytes)


def say_written(con: Console, names: Names, n_bytes: int) -> None:
    """That a file is there, and its size; or why it is not."""
    if names.status != 0:
        say_status(con, names)
    else:
        say(con, ACCENT, sentence("Written: {}, {} bytes.", (names.path, n_bytes)))
