"""The start screen: program, processor, memory, firmware; and the screen of a run that failed."""

from barelm.contract.failure_record import FailureRecord
from barelm.contract.regions import Workspace
from barelm.contract.settings import SettingsView
from barelm.contract.uefi_protocols import SystemTable
from barelm.dialect.memory import text
from barelm.dialect.sentences import sentence
from barelm.metal.console.sinks import ACCENT, ALARM, DIM, TEXT, Console
from barelm.metal.console.stream import set_colour
from barelm.metal.console.writing import put, put_text, say, say_line
from barelm.metal.measuring.facts import (
    constant,
    failed_service,
    failed_status,
    memory_facts,
    put_cpu_name,
    put_firmware_name,
    put_program,
    put_uefi_revision,
)
from barelm.metal.processors.cores import processors_present


def greet(con: Console, settings: SettingsView, workspace: Workspace) -> None:
    """The start screen, as far as it does not depend on the model."""
    if settings.report != 0:
        return
    say_line(con, ACCENT, text("barelm\n"))
    set_colour(con, DIM)
    put_cpu_name(con)
    _, n = processors_present(con.fw)
    plural = text("") if n == 1 else text("s")
    put(con, sentence(", {} processor{}, {:MB} of memory\n", (n, plural, memory_facts(con.fw, workspace).total)))
    put_firmware_name(con)
    put_text(con, text(", UEFI "))
    put_uefi_revision(con)
    say_line(con, DIM, text("\n"))


def say_failure(con: Console, failure: FailureRecord) -> int:
    """What went wrong, what to do, where, and what whoever mends it has to know; returns the status."""
    say(con, ALARM, sentence("\nbarelm stopped: {}", (constant(failure.message),)))
    say(con, TEXT, sentence("{}", (constant(failure.hint),)))
    say(con, DIM, sentence("({}, status {})", (constant(failure.place), failure.status & 0xFFFF)))
    if failed_status() != 0:
        say(con, DIM, sentence("(last failed call: {}, status {})", (failed_service(), failed_status())))
    set_colour(con, DIM)
    put_text(con, text("(program "))
    put_program(con)
    put_text(con, text("; "))
    put_firmware_name(con)
    put(con, sentence(" 0x{:x8}, UEFI ", (SystemTable(con.fw.table).firmware_revision,)))
    put_uefi_revision(con)
    say_line(con, DIM, text(")"))
    return failure.status
