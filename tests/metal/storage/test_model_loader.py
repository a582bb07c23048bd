"""Arena and loader against a firmware that refuses: less memory, smaller reads, files that lie."""

from __future__ import annotations

import functools
import itertools
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barelm.contract import layout, sections, uefi
from barelm.contract.board import LoadedModel
from barelm.contract.layout import Header
from barelm.dialect.memory import address_of, memory
from barelm.dialect.rooms import Failure
from barelm.kernels.header import SOUND
from barelm.metal import arena
from barelm.metal.console.sinks import flush, open_console
from barelm.metal.storage import model_loader, model_parts, reads_ahead
from barelm.metal.storage.model_refusals import reason_of, refuse
from barelm.pack.writer import write_packed
from tests.metal.fake import ERROR, PAGE, FakeFirmware, load, store
from tests.metal.storage.test_whole_files import text_of
from tests.metal.volumes import ReadsAhead
from tests.models import BIASES, tiny_checkpoint


@functools.cache
def model() -> bytes:
    """A packed model with every section but the classifier."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.blm"
        write_packed(tiny_checkpoint(1, has=BIASES), path)
        return path.read_bytes()


def header_of(content: bytes) -> Header:
    """Its header."""
    return Header.over(np.frombuffer(content, np.uint8, layout.HEADER_BYTES).copy())


class Loading:
    """One attempt to load a model, from one file or several, step by step."""

    def __init__(self, content: bytes | dict[str, bytes],
                 prepare: Callable[[FakeFirmware], None] = lambda firmware: None) -> None:
        files = {"model.blm": content} if isinstance(content, bytes) else content
        self.firmware = FakeFirmware(dict(files))
        self.fw = self.firmware.fw
        self.workspace = arena.open_workspace(self.fw)
        self.b = self.workspace.board
        self.b.figures.memory = layout.WORKSPACE
        self.b.figures.cycles_per_ms = 10**6
        self.con = open_console(self.fw, self.b.settings, self.b.figures, self.workspace)
        self.root = self.firmware.root()
        self.n_open = self.firmware.n_open
        prepare(self.firmware)

    def load(self) -> Header:
        """All of it; the header is returned."""
        name = np.frombuffer("model.blm\0".encode("utf-16-le"), np.uint16).copy()
        with np.errstate(over="ignore"):
            verdict = model_loader.load_file(self.con, self.b, self.workspace, self.root, name)
        header = model_loader.header_in(self.workspace)
        if verdict != SOUND:
            assert text_of(reason_of(verdict)) in refusal(verdict).message
            refuse(verdict)
        assert self.firmware.n_open == self.n_open, "every file is closed"
        return header

    def section(self, header: Header, number: int) -> bytes:
        """The bytes of a section where they were put."""
        n = int(header.sections[number].n_bytes)
        return memory(int(self.b.model.sections[number]), n).tobytes() if n else b""

    def check(self, content: bytes) -> None:
        """Every section is where the board says, and all memory was counted and goes back."""
        header = self.load()
        for number in range(sections.N_SECTIONS):
            entry = header.sections[number]
            offset, n = int(entry.offset), int(entry.n_bytes)
            assert self.section(header, number) == content[offset:offset + n], sections.SECTIONS[number].name
        assert self.b.figures.memory == sum(self.firmware.pages.values()) * PAGE <= header.memory_bytes
        self.in_one_block = bool(self.b.model.whole != 0)
        self.load_cycles = int(self.b.figures.load_cycles)
        assert self.b.model.header == header.address
        arena.give_back_model(self.fw, self.b.model, self.b.figures, header)
        assert not memory(self.b.model.address, LoadedModel.BYTES).any(), "nothing points to it any more"
        assert self.b.figures.memory == layout.WORKSPACE
        arena.give_back(self.fw, self.workspace)
        assert not self.firmware.pages and not self.firmware.installed, "every page went back"


def refusal(verdict: int) -> Failure:
    """What a program ends with."""
    with pytest.raises(Failure) as failure:
        refuse(verdict)
    return failure.value


def refused(loading: Loading) -> Failure:
    """The failure a loading ends with."""
    with pytest.raises(Failure) as failure:
        loading.load()
    assert failure.value.hint
    return failure.value


def test_one_block_holds_the_whole_file() -> None:
    loading = Loading(model())
    loading.check(model())
    assert loading.firmware.asked[1] == len(model()) // PAGE
    assert loading.in_one_block and loading.load_cycles > 0


def test_offset_and_address_stay_congruent() -> None:
    loading = Loading(model())
    loading.load()
    assert all(offset % PAGE == target % PAGE for offset, _, target in loading.firmware.reads[1:])


def test_a_refused_block_is_taken_section_by_section() -> None:
    loading = Loading(model(), lambda firmware: setattr(firmware, "largest_pages", len(model()) // PAGE - 1))
    loading.check(model())
    assert not loading.in_one_block


def test_state_is_zeroed() -> None:
    loading = Loading(model())
    header = loading.load()
    assert not memory(int(loading.b.model.state), int(header.state_bytes)).any()


@pytest.mark.parametrize("n_left", [0, 3, 40])
@pytest.mark.parametrize("free", [None, [(uefi.CONVENTIONAL_MEMORY, 100), (uefi.LOADER_DATA, 9), (7, 44)]])
def test_too_little_memory_says_what_it_takes_and_what_there_is(n_left: int, free: list[tuple[int, int]] | None
                                                                ) -> None:
    loading = Loading(model(), lambda firmware: setattr(firmware, "n_pages_left", n_left))
    loading.firmware.show_map(free)
    failure = refused(loading)
    assert (failure.status, failure.message) == (uefi.EFI_OUT_OF_RESOURCES,
                                                 "the firmware has not enough memory for this model")
    needed = -(-int(header_of(model()).memory_bytes) // 1000000)
    flush(loading.con)
    says = f"This model takes {needed} MB of memory, 1 MB of it in one piece.\r\n"
    says += "There are 1 MB free; the largest of 2 pieces has 1 MB.\r\n" if free else ""
    assert loading.firmware.screen.endswith(says)
    assert list(loading.firmware.pages) == [loading.workspace.address] and not loading.b.model.whole
    assert loading.b.figures.memory == layout.WORKSPACE


def test_memory_in_pieces_none_of_which_is_large_enough() -> None:
    loading = Loading(model(), lambda firmware: setattr(firmware, "largest_pages", 3))
    failure = refused(loading)
    assert "in one piece" in failure.message and failure.status == uefi.EFI_OUT_OF_RESOURCES
    assert list(loading.firmware.pages) == [loading.workspace.address], "what was taken went back"


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_memory_in_pieces_is_used_where_a_model_fits(data: st.DataObject) -> None:
    """Holes as large as the sections, in any order among smaller ones, and the model is loaded."""
    header = header_of(model())
    sizes = [int(header.sections[k].n_bytes) for k in range(header.n_sections)] + [int(header.state_bytes)]
    holes = [-(-n // PAGE) for n in sizes if n] + data.draw(st.lists(st.integers(1, 3), max_size=5))
    fragmented = data.draw(st.permutations(holes))
    loading = Loading(model())
    fragment(loading.firmware, fragmented)
    loading.check(model())
    assert not loading.in_one_block


def fragment(firmware: FakeFirmware, holes: Sequence[int]) -> None:
    """Leave free but so many pages here and there, each between pages that are taken."""
    memory_of = firmware.machine.memory
    start, end = min(memory_of.free_pieces()), max(memory_of.free_pieces())[1]
    at, taken = start[0], []
    for n in holes:
        taken.append((at, at + PAGE))
        at += (n + 1) * PAGE
    for lo, hi in [*taken, (at, end)]:
        memory_of.occupy(lo, hi)


@pytest.mark.parametrize("how", ["fails and is broken", "gives less", "gives odd numbers"])
def test_firmware_that_cannot_read_much_at_once(how: str) -> None:
    """A file is of no use any more after a read above 1 MiB failed; or such a read gives less, and calls it success."""
    content = large_model()
    loading = Loading(content)
    opened, broken, numbers = loading.firmware.opened, list[int](), itertools.count()

    def limited(content: bytes | None, place: int, path: str = "") -> None:
        opened(content, place, path)
        file, number = loading.firmware.last_file, next(numbers)

        def read(this: int, size: int, target: int) -> int:
            if how == "fails and is broken" and (number in broken or load(size) > 1 << 20):
                broken.append(number)
                return ERROR | uefi.EFI_DEVICE_ERROR
            store(size, min(load(size), 1 << 20 if how == "gives less" else 77_777))
            return file.read(this, size, target)

        if content is not None:
            file.table.serve("read", read)

    loading.firmware.opened = limited  # type: ignore[method-assign]
    loading.check(content)
    assert len(broken) == (how == "fails and is broken"), "what failed once is not asked for again"


def test_no_memory_at_all() -> None:
    firmware = FakeFirmware()
    firmware.n_pages_left = 0
    with pytest.raises(Failure, match="not even four MiB") as failure:
        arena.open_workspace(firmware.fw)
    assert failure.value.status == uefi.EFI_OUT_OF_RESOURCES


def test_workspace_is_zeroed_and_may_lie_high() -> None:
    firmware = FakeFirmware()
    firmware.has_low_memory = False
    workspace = arena.open_workspace(firmware.fw)
    assert firmware.installed == [workspace.address]
    assert not memory(workspace.address, layout.WORKSPACE).any()
    assert firmware.pages == {workspace.address: layout.WORKSPACE // PAGE}


@pytest.mark.parametrize("largest", [model_loader.LEAST_CHUNK, 100_000, 1 << 20])
def test_reads_shrink_until_the_firmware_takes_them(largest: int) -> None:
    content = large_model()
    loading = Loading(content, lambda firmware: setattr(
        firmware, "refuses_read", lambda n_bytes, target: n_bytes > largest))
    loading.check(content)
    assert max(n for _, n, _ in loading.firmware.reads) > largest


def test_at_last_reads_go_through_the_workspace() -> None:
    loading = Loading(model())
    low = range(loading.workspace.address, loading.workspace.address + layout.WORKSPACE)
    loading.firmware.refuses_read = lambda n_bytes, target: target not in low
    loading.check(model())
    assert any(target == address_of(loading.workspace.bounce) for _, _, target in loading.firmware.reads)
    assert all(target + n <= low.stop for _, n, target in loading.firmware.reads if target in low)


def test_a_disk_that_always_fails() -> None:
    loading = Loading(model(), lambda firmware: setattr(
        firmware, "refuses_read", lambda n_bytes, target: len(firmware.reads) > 3))
    failure = refused(loading)
    assert (failure.status, failure.message) == (uefi.EFI_DEVICE_ERROR,
                                                 "the disk reports an error while the model is read")


def test_a_bounce_buffer_that_fails_too_ends() -> None:
    loading = Loading(model())
    loading.firmware.refuses_read = lambda n_bytes, target: n_bytes != layout.HEADER_BYTES
    assert refused(loading).status == uefi.EFI_DEVICE_ERROR


@functools.cache
def large_model() -> bytes:
    """One with sections of more than a megabyte."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.blm"
        write_packed(tiny_checkpoint(2, dim=256, hidden_dim=512, n_heads=8, vocab_size=1200), path)
        return path.read_bytes()


def test_a_file_that_shrinks_while_it_is_read() -> None:
    loading = Loading(model())
    opened = loading.firmware.opened

    def shrinking(content: bytes | None, place: int, path: str = "") -> None:
        opened(content, place, path)
        file = loading.firmware.last_file
        file.table.serve("get_position", lambda this, position: store(position, len(model())) or 0)
        file.content = model()[:-3 * PAGE]

    loading.firmware.opened = shrinking  # type: ignore[method-assign]
    failure = refused(loading)
    assert (failure.status, failure.message) == (uefi.EFI_VOLUME_CORRUPTED,
                                                 "the model file ends before its header says")


@pytest.mark.parametrize("content, status, message", [
    (lambda: b"", uefi.EFI_VOLUME_CORRUPTED, "too short to be a model"),
    (lambda: model()[:100], uefi.EFI_VOLUME_CORRUPTED, "too short to be a model"),
    (lambda: bytes(8192), uefi.EFI_UNSUPPORTED, "not a packed model"),
    (lambda: changed(Header.offset_of("version"), 7)[:layout.HEADER_BYTES - 1], uefi.EFI_INCOMPATIBLE_VERSION,
     "another version"),
    (lambda: model()[:layout.HEADER_BYTES - 1], uefi.EFI_VOLUME_CORRUPTED, "too short to be a model"),
    (lambda: model()[:-1], uefi.EFI_VOLUME_CORRUPTED, "cut short"),
    (lambda: model()[:layout.HEADER_BYTES], uefi.EFI_VOLUME_CORRUPTED, "cut short"),
    (lambda: changed(Header.offset_of("version"), 0xFF), uefi.EFI_INCOMPATIBLE_VERSION, "another version"),
    (lambda: changed(Header.offset_of("dim"), 1), uefi.EFI_CRC_ERROR, "the header of the model file is damaged"),
    (lambda: changed(4000, 1), uefi.EFI_CRC_ERROR, "the header of the model file is damaged")])
def test_a_file_that_is_no_model(content: Callable[[], bytes], status: int, message: str) -> None:
    failure = refused(Loading(content()))
    assert failure.status == status and message in failure.message


def changed(offset: int, bits: int) -> bytes:
    """The model with some bits of a byte flipped."""
    content = bytearray(model())
    content[offset] ^= bits
    return bytes(content)


@pytest.mark.parametrize("number", [n for n in range(sections.N_SECTIONS) if header_of(model()).sections[n].n_bytes],
                         ids=lambda n: sections.SECTIONS[n].name)
@pytest.mark.parametrize("place", ["first", "last"])
def test_one_flipped_bit_in_a_section(number: int, place: str) -> None:
    header = header_of(model())
    entry = header.sections[number]
    failure = refused(Loading(changed(int(entry.offset + (0 if place == "first" else entry.n_bytes - 1)), 0x10)))
    assert (failure.status, failure.message) == (uefi.EFI_CRC_ERROR,
                                                 "the model file is damaged: a checksum does not match")


def progress_of(monkeypatch: pytest.MonkeyPatch, report: int) -> str:
    """The screen of a load during which half a second passes at every look at the clock."""
    now = [0]

    def tick() -> int:
        now[0] += 500 * 1000
        return now[0]

    loading = Loading(model())
    loading.b.figures.cycles_per_ms, loading.b.settings.report = 1000, report
    monkeypatch.setattr(model_loader, "cycles", tick)
    loading.load()
    flush(loading.con)
    return loading.firmware.screen


def test_progress_is_shown_to_a_person_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = progress_of(monkeypatch, 0).partition("tokens\r\n\r\n")[2]
    lines = [line for line in screen.split("Loading ")[1:] if line.strip()]
    shown = [int(line.split()[1]) for line in lines]
    assert "\n" not in screen and shown == sorted(shown) and shown[-1] == 100 and len(shown) > 5
    size = -(-len(model()) // 10**6)
    for line in lines:
        bar, percent, rest = line.partition(" ")[0], int(line.split()[1]), line.partition(" % ")[2]
        assert len(bar) == model_loader.BAR_CELLS and abs(bar.count("█") * 100 / model_loader.BAR_CELLS - percent) < 5
        assert re.fullmatch(rf"of {size} MB, \d+ MB/s, \d+ s left *", rest), rest
    assert screen.endswith(" "), "it is wiped away"


def test_progress_is_not_shown_to_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    assert progress_of(monkeypatch, 1) == ""


def ahead(**ending: int) -> tuple[Loading, ReadsAhead]:
    """A loading on firmware with reads ahead, one of which may end badly."""
    reads = ReadsAhead(**ending)
    return Loading(model(), lambda firmware: setattr(firmware, "reads_ahead", reads)), reads


@pytest.fixture
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sections in several parts."""
    monkeypatch.setattr(model_loader, "AHEAD_CHUNK", PAGE)


@pytest.mark.usefixtures("_small_parts")
@pytest.mark.parametrize("ending", [{}, *({how: k} for how in ("refused", "failed", "short", "spoilt")
                                          for k in (1, 2, 9))], ids=str)
def test_reads_ahead_give_the_same_whatever_becomes_of_one(ending: dict[str, int]) -> None:
    loading, reads = ahead(**ending)
    events = len(loading.firmware.machine.events.events)
    loading.check(model())
    assert reads.started > (20 if not ending else 0)
    assert len(loading.firmware.machine.events.events) == events, "every event is closed"
    if ending and "spoilt" not in ending:
        assert reads.started <= max(ending.values()) + 1, "after one that failed none is asked for"


@pytest.mark.usefixtures("_small_parts")
def test_a_read_that_never_ends_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    loading, _ = ahead(endless=5)
    monkeypatch.setattr(reads_ahead, "PATIENCE_MS", 1)
    events = len(loading.firmware.machine.events.events)
    failure = refused(loading)
    assert failure.status == uefi.EFI_TIMEOUT and "does not answer" in failure.message
    model_parts.close_parts(model_parts.parts_in(loading.workspace))
    model_loader.close_reads(loading.fw, loading.workspace)
    assert len(loading.firmware.machine.events.events) == events


def test_without_events_there_are_no_reads_ahead() -> None:
    loading, reads = ahead()
    loading.firmware.boot.serve("create_event", lambda *_: ERROR | uefi.EFI_OUT_OF_RESOURCES)
    loading.check(model())
    assert reads.started == 0
