"""The configuration: what `settings` writes is what the metal reads, and a hostile file does no harm."""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barelm.contract.console_state import ConsoleState
from barelm.contract.layout import KEYBOARDS, TEXT_BYTES
from barelm.contract.settings import AT_END, FLAG, NAME, REAL, ROWS, TEXT, TEXTS, WHOLE, SettingsView
from barelm.contract.storage_state import MOST_COMPLAINTS, Complaints
from barelm.dialect.memory import float_of_bits, load_i64, memory, text
from barelm.dialect.rooms import Failure
from barelm.metal import arena
from barelm.metal.console.sinks import plain_console
from barelm.metal.storage import toml_values
from barelm.metal.storage.configuration import complain, read_configuration, read_settings
from barelm.settings import Settings
from tests.metal.fake import FakeFirmware
from tests.metal.volumes import ERROR, FakeFile, load, store
from tests.worlds import World, both_worlds, interpreter, jit

GUARD = 64
LEAST_REAL = 2.0**-26  # below it the eighteen decimals of the file cannot hold every digit


def texts(most: int) -> st.SearchStrategy[str]:
    """Texts without a zero."""
    return st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=most)


SETTINGS = st.fixed_dictionaries({name: {
    TEXT: texts(80), TEXTS: st.lists(texts(12), max_size=8).map(tuple), WHOLE: st.integers(0, int(row.most)),
    REAL: st.just(0.0) | st.floats(LEAST_REAL, row.most, width=32) if row.kind == REAL else st.nothing(),
    FLAG: st.booleans(), NAME: st.sampled_from(row.names or ("",))}[row.kind] for name, row in ROWS.items()
}).map(lambda values: Settings(**values))


@dataclass
class Read:
    """The settings after a configuration was read."""

    view: SettingsView
    texts: dict[str, bytes]
    screen: str = ""

    @property
    def stops(self) -> list[bytes]:
        """Each has a zero behind it."""
        *stops, rest = self.texts["stop"].split(b"\0")
        assert rest == b""
        return stops

    def words(self) -> dict[str, int]:
        """Everything but the texts, 64 bits each."""
        return {name: load_i64(self.view.address + SettingsView.offset_of(name)) for name in ROWS
                if name not in self.texts}


def read(world: World, raw: bytes, firmware: FakeFirmware | None = None) -> Read:
    """Read a configuration between guards."""
    block = np.full(len(raw) + 2 * GUARD, 0xA5, np.uint8)
    data = block[GUARD:GUARD + len(raw)]
    data[:] = np.frombuffer(raw, np.uint8)
    view = SettingsView.over(np.full(SettingsView.BYTES, 0xA5, np.uint8))
    complaints = Complaints.over(np.zeros(Complaints.BYTES, np.uint8))
    world(read_settings)(view, complaints, data, len(raw))
    assert (block[:GUARD] == 0xA5).all() and (block[GUARD + len(raw):] == 0xA5).all(), "it wrote outside the file"
    found = {}
    for name in (name for name, row in ROWS.items() if row.kind in (TEXT, TEXTS)):
        at, n_bytes = int(getattr(view, name).address) - data.ctypes.data, int(getattr(view, name).n_bytes)
        assert 0 <= at <= at + n_bytes <= len(raw)
        found[name] = data[at:at + n_bytes].tobytes()
    return Read(view, found, said(complaints, firmware) if firmware else "")


def said(complaints: Complaints, firmware: FakeFirmware) -> str:
    """What a person is told."""
    firmware.columns = 1000
    workspace = arena.open_workspace(firmware.fw)
    memory(workspace.complaints.address, Complaints.BYTES)[:] = memory(complaints.address, Complaints.BYTES)
    complain(plain_console(firmware.fw, ConsoleState.over(np.zeros(ConsoleState.BYTES, np.uint8))), workspace)
    return firmware.screen


@both_worlds
@settings(max_examples=100, deadline=None)
@given(wanted=SETTINGS)
def test_what_is_written_is_read(world: World, wanted: Settings) -> None:
    got = read(world, wanted.toml())
    assert got.texts == {name: getattr(wanted, name).encode() for name, row in ROWS.items() if row.kind == TEXT} | {
        "stop": b"".join(stop.encode() + b"\0" for stop in wanted.stop if stop)}
    assert got.words() == {name: row.word(getattr(wanted, name)) for name, row in ROWS.items()
                           if row.kind not in (TEXT, TEXTS)}
    assert got.view.temperature == np.float32(wanted.temperature or 0) and got.view.seed == wanted.seed
    assert AT_END[got.view.at_end] == wanted.at_end
    assert KEYBOARDS[got.view.keyboard] == wanted.keyboard


def shown(raw: bytes) -> Read:
    """Read in the interpreter, with a screen."""
    return read(interpreter, raw, FakeFirmware())


def test_our_own_file_is_read_without_a_word() -> None:
    assert shown(Settings("a \"b\"\n\u0007é").toml()).screen == ""


@pytest.mark.parametrize("raw", [b"", b"\n", b"\r\n\t \r\n", b"# nothing\r\n  # here\n", b"#"])
def test_nothing_said_means_the_defaults(raw: bytes) -> None:
    got, usual = shown(raw), Settings()
    assert got.screen == "" and not any(got.texts.values())
    assert got.view.temperature == np.float32(1)
    ours = shown(usual.toml())
    assert (got.words(), got.texts) == (ours.words(), ours.texts)


@pytest.mark.parametrize("raw, name, value", [
    (b"seed=7", "seed", 7), (b"  seed\t = 7  # lucky\r\n", "seed", 7), (b"tokens = 0012", "tokens", 12),
    (b'at_end = "shutdown"', "at_end", 1), (b'at_end="restart" # again', "at_end", 2),
    (b'at_end = "restart" # not "return"', "at_end", 2),
    (b"report = true", "report", 1), (b"report=true#x", "report", 1),
    (b"report = true\nreport = false\n", "report", 0), (b"seed = 1\nseed = 2", "seed", 2),
    (b"wait = 999999999999999999", "wait", 10**6), (b"top_k = 40", "top_k", 40),
    (b"countdown = 100000000000000000", "countdown", 10**6), (b"cores = 99999", "cores", 4096),
    (b"seed = 999999999999999999", "seed", 10**18 - 1), (b"\xef\xbb\xbfseed = 7", "seed", 7),
    (b"tokens = 4\rseed = 7\r", "seed", 7), (b"tokens = 4\r\nseed = 7\r\n", "seed", 7),
    (b"countdown = 0", "countdown", 0), (b"selftest = true", "selftest", 1),
    (b"screen = false # dark", "screen", 0), (b'keyboard = "us"', "keyboard", 0),
    (b'keyboard = "de"# QWERTZ', "keyboard", KEYBOARDS.index("de"))])
def test_forms_a_person_may_write(raw: bytes, name: str, value: int) -> None:
    got = shown(raw)
    assert (getattr(got.view, name), got.screen) == (value, "")


@pytest.mark.parametrize("raw, value", [
    (b"0", 0), (b"1", 1), (b"0.5", 0.5), (b".5", 0.5), (b"2.", 2), (b"0.1", 0.1), (b"0.30000000000000", 0.3),
    (b"0.000000059604645", 2**-24), (b"00000000000000000001", 1), (b"0.000000000000000001", 1e-18)])
def test_decimals_are_the_nearest_float32(raw: bytes, value: float) -> None:
    got = shown(b"temperature = " + raw)
    assert (got.view.temperature, got.screen) == (np.float32(value), "")


@pytest.mark.parametrize("line", [
    b"sed = 7", b"seed", b"seed 7", b"seed =", b"seed = -7", b"seed = 7 8", b"seed = 7.5", b"seed = 0x7",
    b"seed = 1000000000000000000", b"=", b"= 7", b"temperature = x", b"temperature = .", b"temperature = 1e3",
    b"temperature = 1.2.3", b"temperature = -1", b"temperature = 0.1234567890123456",
    b"top_p = 0.0000000000000000001", b"top_p = 1234567890123456", b"[section]", b"{}", b"\xff\xfe",
    b"report = maybe", b"report = xxxxx", b"report = truefalse", b"report = 1", b"report =", b"report = tru",
    b'at_end = "sleep"', b"at_end = return", b'at_end = "return', b'at_end = "return" now', b"at_end =",
    b"prompt = once", b'prompt = "once', b'prompt = "once" more', b'prompt = "\\', b'prompt = "\\"', b"prompt =",
    b'prompt = "\\u12', b'prompt = "\\u"', b'keyboard = "xx"', b"keyboard = us", b'keyboard = "us', b'keyboard = ""',
    b'keyboard = "us uk"', b'keyboard = " "', b'at_end = "return shutdown"', b"top_k = 0.5", b"min_p = -1",
    b"repeat = one", b"screen = 1", b"selftest = True", b"model = 7", b'model = ["a"]', b'prompt = ["a"]', b"stop =",
    b"stop = x", b"stop = [", b"stop = ]", b'stop = ["a"', b'stop = ["a",', b'stop = ["a" "b"]', b'stop = [,]',
    b'stop = ["a",,"b"]', b'stop = ["a", 7]', b'stop = "a", "b"', b'stop = "a" "b"', b'stop = "a"]', b'stop = ["a"] b',
    b'stop = ["a]', b'stop = ["a\\', b"stop = [[]]", b'stop = ["a", "b"', b"stop = [" + b'"a",' * 9 + b"]",
    b'stop = "' + b"x" * 257 + b'"'])
def test_a_line_that_is_not_understood_is_named_and_changes_nothing(line: bytes) -> None:
    before = b'prompt = "kept"\nseed = 3\ntemperature = 0.25\nat_end = "shutdown"\nreport = true\n'
    before += b'stop = ["one", "two"]\n'
    good, got = shown(before), shown(before + line + b"\ntokens = 9\n")
    assert got.screen == "barelm.toml: line 7 is not understood and passed over.\r\n"
    assert got.view.tokens == 9 and got.texts == good.texts and got.stops == [b"one", b"two"]
    assert got.words() == good.words() | {"tokens": 9}


def test_every_bad_line_is_named_by_its_number() -> None:
    screen = shown(b"\n".join([b"what"] * 3 + [b"seed = 1", b"else"])).screen
    assert [line.split()[2] for line in screen.splitlines()] == ["1", "2", "3", "5"]


def test_many_bad_lines_leave_room_on_the_screen() -> None:
    screen = shown(b"what\n" * 100).screen
    assert screen.count("not understood") == MOST_COMPLAINTS
    assert screen.endswith(f"barelm.toml: so are {100 - MOST_COMPLAINTS} more lines.\r\n")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_named(encoding: str) -> None:
    got = shown("seed = 7\n# 世\n".encode(encoding))
    assert got.screen == "barelm.toml is UTF-16 and passed over: save it as UTF-8.\r\n" and got.view.seed == 0


class OnVolume:
    """A machine with a barelm.toml."""

    def __init__(self, raw: bytes) -> None:
        self.firmware = FakeFirmware({"barelm.toml": raw})
        self.firmware.columns = 1000
        self.workspace = arena.open_workspace(self.firmware.fw)
        self.settings = self.workspace.board.settings
        self.root = self.firmware.root()

    def read(self) -> str:
        """Read it; returns what is said."""
        read_configuration(self.settings, self.workspace, self.root)
        complain(plain_console(self.firmware.fw, ConsoleState.over(np.zeros(ConsoleState.BYTES, np.uint8))),
                 self.workspace)
        assert self.firmware.n_open == 1, "only the root is open"
        return self.firmware.screen


def test_a_file_that_is_too_long_is_told_and_cut_at_a_line() -> None:
    head = b"wait = 1\n#"
    volume = OnVolume(head + b"x" * (TEXT_BYTES - len(head) - 11) + b"\ntokens = 12\n")
    assert "too long" in volume.read() and (volume.settings.tokens, volume.settings.wait) == (0, 1)


def test_a_file_that_comes_in_pieces_is_read_whole() -> None:
    volume = OnVolume(b"# " + b"x" * 3000 + b"\nseed = 7\n")
    plain = FakeFile.read

    def read(file: FakeFile, this: int, size: int, target: int) -> int:
        store(size, min(load(size), 1000))
        return plain(file, this, size, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeFile, "read", read)
        assert volume.read() == "" and volume.settings.seed == 7


@pytest.mark.parametrize("service", ["open", "read", "set_position"])
def test_a_disk_that_fails_is_never_the_defaults(service: str) -> None:
    volume = OnVolume(b"seed = 7\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeFile, service, lambda *_: ERROR | 7)
        volume.firmware.last_file.table.serve("open", volume.firmware.last_file.open)
        with pytest.raises(Failure, match="while barelm.toml is read"):
            read_configuration(volume.settings, volume.workspace, volume.root)


@pytest.mark.parametrize("escaped, plain", [
    (b"\\n\\t\\r", b"\n\t\r"), (b'\\"\\\\', b'"\\'), (b"\\u0041", b"A"), (b"\\u00e9", "é".encode()),
    (b"\\u4E16", "世".encode()), (b"\\uFFFD|", "\ufffd|".encode()), (b"\\b\\f", b"\b\f"),
    (b"\\U0001F600", "😀".encode()), ("é世🙂".encode(), "é世🙂".encode())])
def test_escapes_of_a_prompt(escaped: bytes, plain: bytes) -> None:
    got = shown(b'prompt = "<' + escaped + b'>" # said')
    assert (got.texts["prompt"], got.screen) == (b"<" + plain + b">", "")


@pytest.mark.parametrize("escaped", [b"\\x", b"\\e", b"\\uZZZZ", b"\\u\x10041", b"\\u12", b"\\ud83d\\ude00", b"\\u0000",
                                     b"\\U00110000", b"\\U0001F60", b"\\'"])
def test_an_escape_that_is_none_is_not_guessed(escaped: bytes) -> None:
    got = shown(b'prompt = "<' + escaped + b'>" # said')
    assert (got.texts["prompt"], got.screen) == (b"", "barelm.toml: line 1 is not understood and passed over.\r\n")


@pytest.mark.parametrize("value, stops", [
    (b'"a"', [b"a"]), (b'["a"]', [b"a"]), (b'["a", "b c"]', [b"a", b"b c"]), (b"[]", []), (b'""', []),
    (b"[ ] # none", []), (b'[ "a" ,"b", ]#c', [b"a", b"b"]), (b'["", "a", "", "b", ""]', [b"a", b"b"]),
    (b'["\\n", "\\"]\\""]', [b"\n", b'"]"']),
    (b'["\\u00e9\\u4e16"]', ["é世".encode()]), (b"[" + b'"abc",' * 8 + b"]", [b"abc"] * 8),
    (b'"' + b"x" * 256 + b'"', [b"x" * 256])])
@both_worlds
def test_stops(world: World, value: bytes, stops: list[bytes]) -> None:
    got = read(world, b"stop = " + value + b"\r\nseed = 7")
    assert got.stops == stops and got.view.seed == 7


@both_worlds
def test_numbers_in_any_buffer(world: World) -> None:
    line = np.frombuffer(b"/top_k 40 /temperature 0.25x 7", np.uint8).copy()
    whole, real = world(toml_values.parse_whole), world(toml_values.parse_real)
    assert [whole(line, 7, 9), whole(line, 7, 10), whole(line, 7, 11), whole(line, 7, 7)] == [40, 40, -1, -1]
    assert [whole(line, 29, 30), whole(line, 28, 30), whole(line, 30, 30)] == [7, -1, -1]
    assert [float_of_bits(real(line, 23, n)) for n in (24, 25, 26, 27)] == [0, 0, 0.2, 0.25]
    assert real(line, 23, 28) == real(line, 23, 23) == real(line, 24, 25) == -1


@pytest.mark.parametrize("word, number", [(b"a", 0), (b"bcd", 1), (b"e", 2), (b"bc", -1), (b"", -1), (b"a bcd", -1),
                                          (b"e\0", -1), (b"bcde", -1), (b"bce", -1), (b"f", -1)])
def test_a_word_has_the_number_of_its_place(word: bytes, number: int) -> None:
    data = np.frombuffer(b"<" + word + b">", np.uint8).copy()
    assert toml_values.word_number(data, 1, 1 + len(word), text("a bcd e")) == number


PIECES: Any = st.one_of(
    st.binary(max_size=12), st.sampled_from([*map(str.encode, ROWS), b" = ", b"=", b'"', b"\\u", b"\\", b"\n", b"true",
                                             b"false", b"#", b"[", b"]", b", ", b'"a"', b"stop = ["]),
    st.text(string.digits + ".", max_size=25).map(str.encode))


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=20).map(b"".join))
def test_any_bytes_do_no_harm_and_mean_the_same_in_both_worlds(raw: bytes) -> None:
    a, b = read(interpreter, raw), read(jit, raw)
    assert (a.words(), a.texts) == (b.words(), b.texts)
