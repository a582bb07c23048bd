"""The start: who is here, on what machine; and the end of a story that failed."""

from __future__ import annotations

from barelm.contract.board import Board
from barelm.contract.layout import Header
from barelm.contract.regions import Workspace
from barelm.contract.uefi_protocols import SystemTable
from barelm.dialect.memory import load_i64, load_u16, text
from barelm.dialect.rooms import metal
from barelm.metal.console.sinks import ACCENT, ALARM, DIM, TEXT, Console, flush
from barelm.metal.console.stream import put_code_point, set_colour
from barelm.metal.console.writing import end_row, put_megabytes, put_number, put_text, put_words, say_line
from barelm.metal.measuring.facts import memory_facts, put_cpu_name, put_firmware_name
from barelm.metal.processors.cores import processors_present


@metal
def greet(con: Console, b: Board, workspace: Workspace) -> None:
    """The start screen, as far as it does not depend on the model."""
    if b.settings.report != 0:
        return
    set_colour(con, ACCENT)
    put_text(con, text("barelm\n\n"))
    set_colour(con, DIM)
    put_cpu_name(con)
    put_text(con, text(", "))
    n_processors = processors_present(con.fw)[1]
    put_number(con, n_processors)
    if n_processors == 1:
        put_text(con, text(" processor, "))
    else:
        put_text(con, text(" processors, "))
    put_megabytes(con, memory_facts(con.fw, workspace).total)
    put_text(con, text(" of memory\n"))
    put_firmware_name(con)
    revision = SystemTable(con.fw.table).revision
    put_text(con, text(", UEFI "))
    put_number(con, revision >> 16)
    put_text(con, text("."))
    put_number(con, (revision & 0xFFFF) // 10)
    put_text(con, text("\n\n"))
    set_colour(con, TEXT)
    flush(con)


@metal
def introduce(con: Console, b: Board, header: Header) -> None:
    """The model, before it is loaded."""
    if b.settings.report != 0:
        return
    put_words(con, header.name)
    set_colour(con, DIM)
    put_text(con, text("   "))
    put_megabytes(con, header.memory_bytes)
    put_text(con, text(" of memory, context "))
    put_number(con, header.seq_len)
    put_text(con, text(" tokens"))
    end_row(con)
    end_row(con)
    set_colour(con, TEXT)
    flush(con)


@metal
def say_failure(con: Console, failure: int) -> int:
    """What went wrong, what to do, where; returns the status.  See `aot.messages`."""
    status = load_i64(failure)
    set_colour(con, ALARM)
    end_row(con)
    put_text(con, text("barelm stopped: "))
    put_constant(con, load_i64(failure + 8))
    end_row(con)
    set_colour(con, TEXT)
    put_constant(con, load_i64(failure + 16))
    end_row(con)
    set_colour(con, DIM)
    put_text(con, text("("))
    put_constant(con, load_i64(failure + 24))
    put_text(con, text(", status "))
    put_number(con, status & 0xFFFF)
    say_line(con, DIM, text(")"))
    return status


@metal
def put_constant(con: Console, address: int) -> None:
    """A text placed in the program, up to its zero."""
    i = 0
    while load_u16(address + 2 * i) != 0:
        put_code_point(con, load_u16(address + 2 * i))
        i += 1
