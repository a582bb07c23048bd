"""The machine report: `report.json` on the volume, read on the host by `barelm report`."""

from barelm.contract import layout
from barelm.contract.board import Figures
from barelm.contract.layout import Header
from barelm.contract.regions import Workspace
from barelm.contract.uefi_protocols import SystemTable
from barelm.dialect.memory import address_of, cells, load_u8, memory, text
from barelm.dialect.processor import core_speed, cpu_signature, cpu_vendor, level_name
from barelm.dialect.sentences import sentence
from barelm.dialect.types import U8, U16
from barelm.kernels.text.utf8 import decode_character
from barelm.metal.console.sinks import SCREEN, Console, is_on
from barelm.metal.console.writing import begin_text, end_text, put, put_text
from barelm.metal.measuring import facts, selftest
from barelm.metal.measuring.clock import microseconds
from barelm.metal.measuring.selftest import BENCH_DECODE, BENCH_PREFILL, BENCH_TOKENS, FAILED, PASSED, ModelUnderTest
from barelm.metal.processors.cores import processors_present


def make_report(con: Console, workspace: Workspace, m: ModelUnderTest, figures: Figures, out: U8, start: int) -> int:
    """Measure, and put the report together in `out`; returns its bytes.  Behind `start` ids the context has room."""
    verdict = verdict_name(selftest.self_test(m))
    begin_text(con, out)
    put_text(con, text('{"format": 4, "time": "'))
    facts.put_time(con, 84)
    put_text(con, text('",\n "program": {"build": "'))
    facts.put_program(con)
    put(con, sentence('", "layout": {}}},\n "firmware": {{"vendor": "', (layout.VERSION,)))
    facts.put_firmware_name(con)
    put(con, sentence('", "revision": "0x{:x8}", "uefi": "', (SystemTable(con.fw.table).firmware_revision,)))
    facts.put_uefi_revision(con)
    put(con, sentence('", "failed_call": "{}", "failed_status": {}}},\n "cpu": {{"name": "', (
        facts.failed_service(), facts.failed_status())))
    facts.put_cpu_name(con)
    put_cpu_numbers(con, m.job.level, figures)
    put_cores_and_memory(con, workspace, m.job.team)
    put_screen(con)
    put_model(con, m.header)
    put(con, sentence(',\n "load": {{"bytes": {}, "us": {}}},\n "speed": [', (
        m.header.file_bytes, microseconds(figures.load_cycles, figures.cycles_per_ms))))
    put_speeds(con, m, figures.cycles_per_ms, start)
    put(con, sentence('],\n "guesses": {{"read": {}, "right": {}}}, "selftest": "{}"}}\n', (
        figures.n_guessed, figures.n_right, verdict)))
    return end_text(con)


def verdict_name(verdict: int) -> U16:
    """What a self-test said, as the report has it."""
    if verdict == PASSED:
        return text("passed")
    if verdict == FAILED:
        return text("failed")
    return text("none")


def put_cpu_numbers(con: Console, level: int, figures: Figures) -> None:
    """Vendor, family, model and stepping, the level computed at, and the clock."""
    put_text(con, text('", "vendor": "'))
    vendor = cells(2)
    cpu_vendor(vendor)
    for i in range(16):
        facts.put_plain(con, load_u8(address_of(vendor) + i))
    family, model, stepping = cpu_signature()
    put(con, sentence('", "family": {}, "model": {}, "stepping": {}, "level": "{}", "clock_khz": {}, ', (
        family, model, stepping, level_name(level), figures.cycles_per_ms * core_speed() // 1000)))
    put_text(con, text('"clock_asked": "'))
    facts.put_clock_asked(con, figures.clock)


def put_cores_and_memory(con: Console, workspace: Workspace, team: int) -> None:
    """How many processors there are, and what the memory map says."""
    present, enabled = processors_present(con.fw)
    put(con, sentence('"}},\n "cores": {{"present": {}, "enabled": {}, "answered": {}}}', (present, enabled, team)))
    m = facts.memory_facts(con.fw, workspace)
    put(con, sentence(
        ',\n "memory": {{"total_bytes": {}, "free_bytes": {}, "largest_free_bytes": {}, "regions": {}, '
        '"loader_bytes": {}, "boot_services_bytes": {}, "runtime_bytes": {}, "reserved_bytes": {}}}',
        (m.total, m.free, m.largest_free, m.regions, m.loader, m.boot_services, m.runtime, m.reserved)))


def put_screen(con: Console) -> None:
    """The screen's size, where there is one."""
    if not is_on(con, SCREEN):
        put_text(con, text(',\n "screen": null'))
        return
    state = con.state.display
    put(con, sentence(',\n "screen": {{"width": {}, "height": {}, "columns": {}, "rows": {}}}', (
        state.width, state.height, state.columns, state.rows)))


def put_model(con: Console, header: Header) -> None:
    """The model's name, as far as it breaks no text in quotes, and its size."""
    put_text(con, text(',\n "model": {"name": "'))
    name = memory(address_of(header.name), 8 * layout.NAME_WORDS)
    at = 0
    while at < len(name) and name[at] != 0:
        code_point, length = decode_character(name, at, len(name))
        facts.put_plain(con, code_point)
        at += length
    put(con, sentence('", "bytes": {}, "sum": "{:x16}", "context": {}}}', (
        header.file_bytes, header.sum, header.seq_len)))


def put_speeds(con: Console, m: ModelUnderTest, per_ms: int, start: int) -> None:
    """What each number of cores takes; nothing where the context has no room to measure in."""
    if start + BENCH_TOKENS > m.header.seq_len:
        return
    n_cores = 1
    while n_cores > 0:
        read, made = selftest.measure(m, n_cores, start)
        if n_cores > 1:
            put_text(con, text(",\n   "))
        put(con, sentence(
            '{{"cores": {}, "prefill_tokens": {}, "prefill_us": {}, "decode_tokens": {}, "decode_us": {}}}',
            (n_cores, BENCH_PREFILL, microseconds(read, per_ms), BENCH_DECODE, microseconds(made, per_ms))))
        n_cores = selftest.next_count(n_cores, selftest.most_cores(m))
