"""Files written whole or not at all: the power goes at any step, the volume is full or read-only, names are odd."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
import pytest

from barelm.contract import uefi
from barelm.contract.console_state import ConsoleState
from barelm.dialect.memory import memory
from barelm.metal import arena
from barelm.metal.console.sinks import plain_console
from barelm.metal.storage import whole_files
from barelm.metal.storage.whole_files import is_called, name_file, names_in, open_either, write_whole
from barelm.metal.uefi.file_protocol import close_file, flush_file, open_file, read_file, write_file
from tests.metal.fake import FakeFirmware
from tests.metal.talks import array
from tests.metal.volumes import ERROR

OLD, NEW = b"the old one" * 50, b"another" * 900


class Volume:
    """A volume, and one name on it."""

    def __init__(self, content: dict[str, bytes], name: bytes = b"my file", folder: str = "") -> None:
        self.firmware = FakeFirmware(content)
        self.files = content
        self.firmware.changes.flushed = dict(content)
        self.root = self.firmware.root()
        self.workspace = arena.open_workspace(self.firmware.fw)
        self.names = names_in(self.workspace)
        assert name_file(self.names, units(folder), array(name), units(".txt"))

    def write(self, content: bytes) -> int:
        """Write a file; returns the status without the error bit."""
        return int(write_whole(self.root, self.names, array(content))) & 0xFFFF

    def read(self) -> bytes | None:
        """What a reader finds."""
        file = open_either(self.root, self.names)
        assert file >= 0
        if file == 0:
            return None
        buffer = np.zeros(1 << 16, np.uint8)
        n = read_file(file, int(buffer.ctypes.data), len(buffer))
        close_file(file)
        return buffer[:n].tobytes()


def units(text: str) -> np.ndarray[tuple[int], np.dtype[np.uint16]]:
    """A constant text of the program."""
    return np.frombuffer((text + "\0").encode("utf-16-le"), np.uint16)


def changes_of(content: dict[str, bytes]) -> list[str]:
    """What writing does to a volume, step by step."""
    volume = Volume(dict(content))
    assert volume.write(NEW) == 0 and volume.firmware.n_open == 1
    return volume.firmware.changes.done


def cut(content: dict[str, bytes], k: int, lazy: bool) -> dict[str, bytes]:
    """The files of a volume whose power went at change k; `lazy`: what was not flushed is not on the medium."""
    volume = Volume(dict(content))
    volume.firmware.changes.fault = lambda number, what: uefi.EFI_DEVICE_ERROR if number >= k else 0
    volume.write(NEW)
    assert volume.firmware.n_open == 1
    if lazy:
        return {name: volume.firmware.changes.flushed.get(name, b"") for name in volume.files}
    return dict(volume.files)


STATES = [{"my file.txt": OLD}, {"my file.txt": OLD, "my file.txt~": b"half"}, {"my file.txt~": OLD}]


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("state", range(len(STATES)))
def test_whenever_the_power_goes_the_old_or_the_new_one_is_there(state: int, lazy: bool) -> None:
    content = STATES[state]
    n = len(changes_of(content))
    assert n >= 5
    for k in range(n + 1):
        survivors = Volume(cut(content, k, lazy))
        assert survivors.read() in (OLD, NEW), k
        assert survivors.write(b"and once more") == 0 and survivors.read() == b"and once more"
        assert survivors.files == {"my file.txt": b"and once more"}, "nothing is left behind"


def test_power_that_goes_twice() -> None:
    for k in range(len(changes_of(STATES[0])) + 1):
        once = cut(STATES[0], k, True)
        for j in range(len(changes_of(once)) + 1):
            assert Volume(cut(once, j, True)).read() in (OLD, NEW), (k, j)


def renaming_refused(number: int, what: str, until: int = 1 << 30) -> int:
    """A firmware that cannot rename, until the power goes."""
    return uefi.EFI_DEVICE_ERROR if number >= until else uefi.EFI_ACCESS_DENIED if what == "rename" else 0


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("state", range(len(STATES)))
def test_where_renaming_is_refused_the_power_may_go_at_any_time(state: int, lazy: bool) -> None:
    whole = Volume(dict(STATES[state]))
    whole.firmware.changes.fault = renaming_refused
    assert whole.write(NEW) == 0 and whole.files == {"my file.txt": NEW}
    for k in range(len(whole.firmware.changes.done) + 1):
        volume = Volume(dict(STATES[state]))
        volume.firmware.changes.fault = functools.partial(renaming_refused, until=k)
        volume.write(NEW)
        left = {name: volume.firmware.changes.flushed.get(name, b"") if lazy else content
                for name, content in volume.files.items()}
        survivors = Volume(left)
        survivors.firmware.changes.fault = renaming_refused
        assert survivors.read() in (OLD, NEW), k
        assert survivors.write(b"and once more") == 0 and survivors.files == {"my file.txt": b"and once more"}, k


def test_a_rename_that_fails_once_is_made_good() -> None:
    volume = Volume({"my file.txt": OLD})
    volume.firmware.changes.fault = lambda number, what: (
        uefi.EFI_DEVICE_ERROR if what == "rename" and "rename" not in volume.firmware.changes.done else 0)
    assert volume.write(NEW) == 0 and volume.files == {"my file.txt": NEW}


def test_a_file_that_gets_no_name_is_whole_and_said(firmware: FakeFirmware) -> None:
    volume = Volume({"my file.txt": OLD})
    volume.firmware.changes.fault = lambda number, what: (
        uefi.EFI_DEVICE_ERROR if what == "rename" or "rename" in volume.firmware.changes.done else 0)
    assert volume.write(NEW) == uefi.EFI_DEVICE_ERROR and volume.files["my file.txt~"] == NEW
    con = plain_console(firmware.fw, ConsoleState.over(np.zeros(ConsoleState.BYTES, np.uint8)))
    whole_files.say_status(con, volume.names)
    assert "it is whole as my file.txt~." in firmware.screen


def test_information_that_is_none_changes_no_file() -> None:
    volume = Volume({"my file.txt": OLD})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.metal.volumes.FakeFile.get_info", lambda *_: 0)
        assert volume.write(NEW) == 0 and volume.read() == NEW


@pytest.mark.parametrize("spoils", [0, 4000, len(NEW) - 1])
def test_what_is_not_read_back_was_not_written(spoils: int) -> None:
    volume = Volume({"my file.txt": OLD})
    writing = write_file

    def write(file: int, at: int, n: int) -> int:
        memory(at, n)[spoils] ^= 1
        status = writing(file, at, n)
        memory(at, n)[spoils] ^= 1
        return status

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("barelm.metal.uefi.file_protocol.write_file", write)
        assert volume.write(NEW) == uefi.EFI_CRC_ERROR and volume.files == {"my file.txt": OLD}


def test_a_left_over_that_cannot_be_deleted_leaves_no_tail() -> None:
    volume = Volume({"my file.txt": OLD, "my file.txt~": b"x" * 20_000})
    volume.firmware.changes.fault = lambda number, what: int(what == "delete" and number == 0)
    status = volume.write(NEW)
    assert (status == 0 and volume.read() == NEW) or (status != 0 and volume.read() == OLD)


@pytest.mark.parametrize("opened", [0, ERROR | uefi.EFI_DEVICE_ERROR])
def test_a_file_that_is_gone_when_it_is_to_be_compared(opened: int) -> None:
    volume = Volume({"my file.txt": OLD})
    opening, flushing = open_file, flush_file
    flushed = []

    def flush(file: int) -> int:
        flushed.append(file)
        return flushing(file)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("barelm.metal.uefi.file_protocol.flush_file", flush)
        patch.setattr("barelm.metal.uefi.file_protocol.open_file",
                      lambda root, name: opened if flushed else opening(root, name))
        assert volume.write(NEW) == (uefi.EFI_CRC_ERROR if opened == 0 else uefi.EFI_DEVICE_ERROR)
    assert volume.files["my file.txt"] == OLD and volume.firmware.n_open == 1


@pytest.mark.parametrize("what", ["create", "write", "flush"])
@pytest.mark.parametrize("status", [uefi.EFI_VOLUME_FULL, uefi.EFI_DEVICE_ERROR, uefi.EFI_WRITE_PROTECTED])
def test_what_fails_leaves_the_old_one_and_nothing_else(what: str, status: int) -> None:
    for content in (STATES[0], {}):
        volume = Volume(dict(content))
        volume.firmware.changes.fault = lambda number, change: status if change == what else 0
        assert volume.write(NEW) == status
        assert volume.files == content and volume.firmware.n_open == 1


@pytest.mark.parametrize("room", [0, 1, len(NEW) - 1])
def test_a_volume_that_is_full(room: int) -> None:
    volume = Volume({"my file.txt": OLD})
    volume.firmware.room = room
    assert volume.write(NEW) == uefi.EFI_VOLUME_FULL and volume.files == {"my file.txt": OLD}


def test_a_volume_that_says_nothing_but_writes_less() -> None:
    volume = Volume({"my file.txt": OLD})
    writing = write_file
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("barelm.metal.uefi.file_protocol.write_file",
                      lambda file, at, n: writing(file, at, n - 1) or ERROR | uefi.EFI_VOLUME_FULL)
        assert volume.write(NEW) == uefi.EFI_VOLUME_FULL and volume.files == {"my file.txt": OLD}


def test_a_volume_that_is_read_only() -> None:
    volume = Volume({"my file.txt": OLD})
    volume.firmware.is_read_only = True
    assert volume.write(NEW) == uefi.EFI_WRITE_PROTECTED and volume.read() == OLD


def test_a_file_of_nothing() -> None:
    volume = Volume({"my file.txt": OLD})
    assert volume.write(b"") == 0 and volume.files == {"my file.txt": b""} and volume.read() == b""


@pytest.mark.parametrize("name, good", [
    (b"a", True), ("Größe 世".encode(), True), (b"a.b c", True), (b"x" * 40, True), ("é".encode() * 40, True),
    (b"", False), (b".hidden", False), (b" blank", False), (b"x" * 41, False), (b"a/b", False), (b"a\\b", False),
    (b"a:b", False), (b'a"b', False), (b"a*", False), (b"a?", False), (b"<a>", False), (b"a|b", False),
    (b"con", False), (b"Aux", False), (b"lpt9.x", False), (b"NUL .a", False), (b"com", True), (b"com10", True),
    (b"console", True),
    (b"a\x00b", False), (b"a\nb", False), (b"a\x7f", False), ("🙂".encode(), False), (b"\xff", False),
    (b"\xed\xa0\x80", False)])
def test_names(name: bytes, good: bool) -> None:
    names = Volume({}).names
    assert name_file(names, units("in\\"), array(name), units(".txt")) == good
    if good:
        path = "in\\" + name.decode() + ".txt"
        assert text_of(names.path) == path and text_of(names.beside) == path + "~"
        assert text_of(names.name) == name.decode() + ".txt"


def text_of(words: np.ndarray[tuple[int], np.dtype[np.uint16]]) -> str:
    """Up to the zero."""
    raw: str = words.tobytes().decode("utf-16-le", "replace")
    return raw.split("\0")[0]


@pytest.mark.parametrize("name, n", [("a.blm", 1), ("A.BLM", 1), ("abc.Blm", 3), (".blm", 0), ("a.blm~", 0), ("blm", 0),
                                     ("a.blmx", 0), ("", 0), ("世.blm", 1)])
def test_suffixes(name: str, n: int) -> None:
    assert is_called(units(name), units(".blm")) == n


@pytest.fixture
def firmware() -> Iterator[FakeFirmware]:
    """One with a wide console."""
    firmware = FakeFirmware()
    firmware.columns = 1000
    yield firmware


@pytest.mark.parametrize("status, said", [
    (uefi.EFI_VOLUME_FULL, "full"), (uefi.EFI_WRITE_PROTECTED, "read-only"),
    (uefi.EFI_OUT_OF_RESOURCES, "longer"), (uefi.EFI_DEVICE_ERROR, "error 7"), (0, "error 0")])
def test_every_failure_is_a_line(firmware: FakeFirmware, status: int, said: str) -> None:
    con = plain_console(firmware.fw, ConsoleState.over(np.zeros(ConsoleState.BYTES, np.uint8)))
    names = Volume({}).names
    names.status = ERROR | status
    whole_files.say_status(con, names)
    assert said in firmware.screen and firmware.screen.count("\n") == 1 and firmware.screen.startswith("Not written: ")
