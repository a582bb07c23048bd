"""Facts of a machine: the memory map added up, time, sizes; and the report of it, as the host reads it."""

from __future__ import annotations

import numpy as np
import pytest

from barelm.contract.console_state import ConsoleState
from barelm.dialect.types import I64
from barelm.machine_report import parse_report
from barelm.metal import arena
from barelm.metal.console.sinks import Console, flush, plain_console
from barelm.metal.console.writing import put_megabytes
from barelm.metal.conversation.talk import under_test
from barelm.metal.conversation.turns import forget
from barelm.metal.measuring import facts, greeting
from barelm.metal.measuring.facts import memory_facts
from barelm.metal.measuring.measured_report import make_report
from barelm.metal.storage.model_loader import introduce
from tests.metal.fake import FakeFirmware
from tests.metal.talks import Desk

PAGE = 4096
MAP = [(7, 1000), (7, 3000), (3, 10), (4, 20), (5, 30), (6, 40), (1, 50), (2, 60), (0, 7), (8, 5), (9, 6), (10, 8),
       (11, 10**6), (12, 10**6), (14, 500)]


def console(firmware: FakeFirmware, columns: int = 1000) -> Console:
    """A wide console on it."""
    firmware.columns = columns
    return plain_console(firmware.fw, ConsoleState.over(np.zeros(ConsoleState.BYTES, np.uint8)))


def test_the_memory_map_added_up() -> None:
    firmware = FakeFirmware()
    firmware.show_map(MAP)
    m = memory_facts(firmware.fw, arena.open_workspace(firmware.fw))
    assert (m.free, m.largest_free, m.regions) == (4000 * PAGE, 3000 * PAGE, len(MAP))
    assert (m.boot_services, m.runtime, m.loader) == (30 * PAGE, 70 * PAGE, 110 * PAGE)
    assert m.reserved >= 12 * PAGE
    assert m.free + m.boot_services + m.runtime + m.loader <= m.total <= 4241 * PAGE, "devices are no memory"


@pytest.mark.parametrize("given", [None, []])
def test_a_firmware_that_shows_no_map(given: list[tuple[int, int]] | None) -> None:
    firmware = FakeFirmware()
    firmware.show_map(given)
    assert memory_facts(firmware.fw, arena.open_workspace(firmware.fw)) == (0,) * 8


@pytest.mark.parametrize("between, shown", [(32, "2026-11-24 19:31:02"), (84, "2026-11-24T19:31:02"),
                                            (45, "2026-11-24-19.31.02")])
def test_time(between: int, shown: str) -> None:
    firmware = FakeFirmware()
    con = console(firmware)
    assert facts.put_time(con, between)
    firmware.now = None
    assert not facts.put_time(con, between)
    flush(con)
    assert firmware.screen == shown


@pytest.mark.parametrize("n_bytes, shown", [(0, "0 MB"), (1, "1 MB"), (10**6, "1 MB"), (10**6 + 1, "2 MB"),
                                            (10**10 - 1, "10000 MB"), (10**10, "10.0 GB"), (123 * 10**9, "123.0 GB")])
def test_sizes(n_bytes: int, shown: str) -> None:
    firmware = FakeFirmware()
    con = console(firmware)
    put_megabytes(con, n_bytes)
    flush(con)
    assert firmware.screen == shown


@pytest.mark.parametrize("brand, name", [
    (b"   Intel(R)  Core(TM)   i7  CPU\0", "Intel(R) Core(TM) i7 CPU"), (b"x" * 48, "x" * 48), (b" " * 48, ""),
    (b"", "")])
def test_the_processors_name(monkeypatch: pytest.MonkeyPatch, brand: bytes, name: str) -> None:
    def cpu_name(words: I64) -> None:
        words[:] = np.frombuffer(brand.ljust(48, b"\0"), np.int64)

    monkeypatch.setattr(facts, "cpu_name", cpu_name)
    firmware = FakeFirmware()
    con = console(firmware)
    facts.put_cpu_name(con)
    flush(con)
    assert firmware.screen == name


@pytest.mark.parametrize("has_clock", [False, True])
def test_the_report_is_what_the_host_reads(monkeypatch: pytest.MonkeyPatch, has_clock: bool) -> None:
    firmware = FakeFirmware({})
    firmware.show_map(MAP)
    desk = Desk(monkeypatch, firmware=firmware)
    firmware.now = firmware.now if has_clock else None
    forget(desk.conversation)
    content = report_of(desk, 0)
    report = parse_report(content, "report.json")
    assert len(content) < 1 << 14 and report.firmware.vendor == "Fake firmware" and report.firmware.uefi == "2.10"
    assert report.memory.free_bytes == 4000 * PAGE and report.memory.regions == len(MAP)
    assert (report.model.name, report.model.context) == ("small 8", 128)
    assert report.model.bytes == desk.header.file_bytes and report.selftest in (None, "none")
    assert [speed.cores for speed in report.speed] == [1] and report.screen is None
    assert report.cores.answered == 1 and bool(report.time) == has_clock
    assert has_clock or (report.firmware.failed_call, report.firmware.failed_status) == ("RuntimeServices.get_time", 3)
    assert desk.firmware.screen == "" and desk.cached == 0


def test_a_report_where_the_context_has_no_room_to_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    forget(desk.conversation)
    assert parse_report(report_of(desk, 100), "report.json").speed == ()


def report_of(desk: Desk, start: int) -> bytes:
    """The report, measured behind so many ids."""
    out = np.zeros(1 << 16, np.uint8)
    with np.errstate(all="ignore"):
        n = int(make_report(desk.t.con, desk.workspace, under_test(desk.t), desk.t.figures, out, start))
    return out[:n].tobytes()


def test_the_start_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    firmware = FakeFirmware({})
    firmware.show_map(MAP)
    desk = Desk(monkeypatch, firmware=firmware)
    said = desk.heard(lambda: greeting.greet(desk.t.con, desk.b.settings, desk.workspace))
    assert said.startswith("barelm\n\n") and " MB of memory\nFake firmware, UEFI 2.10\n\n" in said
    said = desk.heard(lambda: introduce(desk.t.con, desk.b.settings, desk.header))
    assert said.startswith("small 8   ") and "context 128 tokens" in said
    desk.b.settings.report = 1
    assert desk.heard(lambda: greeting.greet(desk.t.con, desk.b.settings, desk.workspace)) == ""
    assert desk.heard(lambda: introduce(desk.t.con, desk.b.settings, desk.header)) == ""
