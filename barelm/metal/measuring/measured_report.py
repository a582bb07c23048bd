"""The machine report: `report.json` on the volume, read on the host by `barelm report`."""

from __future__ import annotations

from barelm.contract import layout
from barelm.contract.uefi_protocols import SystemTable
from barelm.dialect.memory import address_of, memory, text
from barelm.dialect.processor import cpuid
from barelm.dialect.rooms import metal
from barelm.dialect.types import U16
from barelm.kernels.text.utf8 import decode_character
from barelm.metal import arena
from barelm.metal.console import screen_mode
from barelm.metal.console.sinks import SCREEN, is_on, screen_of
from barelm.metal.console.writing import begin_text, end_text, put_hex, put_number, put_text
from barelm.metal.conversation.talk import Talk
from barelm.metal.measuring.clock import microseconds
from barelm.metal.measuring.facts import (
    memory_facts,
    put_characters,
    put_cpu_name,
    put_firmware_name,
    put_plain,
    put_time,
)
from barelm.metal.measuring.selftest import (
    BENCH_DECODE,
    BENCH_PREFILL,
    BENCH_TOKENS,
    FAILED,
    PASSED,
    measure,
    next_count,
    self_test,
)
from barelm.metal.processors.cores import processors_present

REPORT_AT = 1 << 17
"""Where in the scratch it is put together: behind what the memory map takes."""
REPORT_BYTES = 1 << 16


@metal
def make_report(t: Talk, start: int) -> int:
    """Measure, and put the report together; returns its bytes.  `start` is where in the context there is room."""
    con = t.con
    b = t.b
    verdict = self_test(t)
    m = memory_facts(con.fw, t.workspace)
    begin_text(con, memory(t.workspace.address + arena.SCRATCH + REPORT_AT, REPORT_BYTES))
    put_text(con, text('{"format": 1, "time": "'))
    put_time(con, 84)
    put_text(con, text('",\n "firmware": {"vendor": "'))
    put_firmware_name(con)
    put_text(con, text('", "revision": "0x'))
    put_hex(con, SystemTable(con.fw.table).firmware_revision, 8)
    put_text(con, text('", "uefi": "'))
    revision = SystemTable(con.fw.table).revision
    put_number(con, revision >> 16)
    put_text(con, text("."))
    put_number(con, (revision & 0xFFFF) // 10)
    put_text(con, text('"},\n "cpu": {"name": "'))
    put_cpu_name(con)
    put_cpu_numbers(t)
    present, enabled = processors_present(con.fw)
    put_text(con, text('},\n "cores": {'))
    put_member(t, text('"present": '), present)
    put_member(t, text(', "enabled": '), enabled)
    put_member(t, text(', "answered": '), b.job.team)
    put_text(con, text('},\n "memory": {'))
    put_member(t, text('"total_bytes": '), m.total)
    put_member(t, text(', "free_bytes": '), m.free)
    put_member(t, text(', "largest_free_bytes": '), m.largest_free)
    put_member(t, text(', "regions": '), m.regions)
    put_member(t, text(', "loader_bytes": '), m.loader)
    put_member(t, text(', "boot_services_bytes": '), m.boot_services)
    put_member(t, text(', "runtime_bytes": '), m.runtime)
    put_member(t, text(', "reserved_bytes": '), m.reserved)
    put_text(con, text('},\n "screen": '))
    put_screen(t)
    put_text(con, text(',\n "model": {"name": "'))
    put_model_name(t)
    put_member(t, text('", "bytes": '), t.header.file_bytes)
    put_text(con, text(', "sum": "'))
    put_hex(con, t.header.sum_a, 16)
    put_member(t, text('", "context": '), t.header.seq_len)
    put_member(t, text('},\n "load": {"bytes": '), t.header.file_bytes)
    put_member(t, text(', "us": '), microseconds(b.figures.load_cycles, b.figures.cycles_per_ms))
    put_text(con, text('},\n "speed": ['))
    put_speeds(t, start)
    put_text(con, text('],\n "selftest": "'))
    if verdict == PASSED:
        put_text(con, text("passed"))
    elif verdict == FAILED:
        put_text(con, text("failed"))
    else:
        put_text(con, text("none"))
    put_text(con, text('"}\n'))
    return end_text(con)


@metal
def put_model_name(t: Talk) -> None:
    """The model's name, as far as it breaks no text in quotes."""
    name = memory(address_of(t.header.name), 8 * layout.NAME_WORDS)
    at = 0
    while at < len(name) and name[at] != 0:
        code_point, length = decode_character(name, at, len(name))
        put_plain(t.con, code_point)
        at += length


@metal
def put_member(t: Talk, key: U16, value: int) -> None:
    """A key as it stands in the text, and a number."""
    put_text(t.con, key)
    put_number(t.con, value)


@metal
def put_cpu_numbers(t: Talk) -> None:
    """Vendor, family, model and stepping (CPUID leaf 0 and 1), and the level computed at."""
    con = t.con
    put_text(con, text('", "vendor": "'))
    put_characters(con, cpuid(0, 0)[1], 4)
    put_characters(con, cpuid(0, 0)[3], 4)
    put_characters(con, cpuid(0, 0)[2], 4)
    signature = cpuid(1, 0)[0]
    family = signature >> 8 & 15
    model = signature >> 4 & 15
    if family == 6 or family == 15:
        model += (signature >> 16 & 15) << 4
    if family == 15:
        family += signature >> 20 & 255
    put_member(t, text('", "family": '), family)
    put_member(t, text(', "model": '), model)
    put_member(t, text(', "stepping": '), signature & 15)
    put_member(t, text(', "level": "x86-64-v'), t.b.job.level + 2)
    put_text(con, text('"'))


@metal
def put_screen(t: Talk) -> None:
    """The screen's size, where there is one."""
    if not is_on(t.con, SCREEN):
        put_text(t.con, text("null"))
        return
    state = screen_of(t.con).state
    put_member(t, text('{"width": '), state[screen_mode.WIDTH])
    put_member(t, text(', "height": '), state[screen_mode.HEIGHT])
    put_member(t, text(', "columns": '), state[screen_mode.COLUMNS])
    put_member(t, text(', "rows": '), state[screen_mode.ROWS])
    put_text(t.con, text("}"))


@metal
def put_speeds(t: Talk, start: int) -> None:
    """What each number of cores takes; nothing where the context has no room to measure in."""
    if start + BENCH_TOKENS > t.header.seq_len:
        return
    per_ms = t.b.figures.cycles_per_ms
    n_cores = 1
    while n_cores > 0:
        read, made = measure(t, n_cores, start)
        if n_cores > 1:
            put_text(t.con, text(",\n   "))
        put_member(t, text('{"cores": '), n_cores)
        put_member(t, text(', "prefill_tokens": '), BENCH_PREFILL)
        put_member(t, text(', "prefill_us": '), microseconds(read, per_ms))
        put_member(t, text(', "decode_tokens": '), BENCH_DECODE)
        put_member(t, text(', "decode_us": '), microseconds(made, per_ms))
        put_text(t.con, text("}"))
        n_cores = next_count(n_cores, t.b.job.team)
