"""Reports of machines: read, checked, reckoned with; damaged and hostile ones end in a sentence."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barelm.disk import write_image
from barelm.errors import BarelmError
from barelm.machine_report import MachineReport, parse_report, read_reports, scaling

EXAMPLE: dict[str, Any] = {
    "format": 4, "time": "2026-11-24T19:31:02", "program": {"build": "1a2b3c4d", "layout": 7},
    "firmware": {"vendor": "EDK II", "revision": "0x10000", "uefi": "2.70", "failed_call": "FileProtocol.write",
                 "failed_status": 8},
    "cpu": {"name": "AMD EPYC 7B13", "vendor": "AuthenticAMD", "family": 25, "model": 1, "stepping": 1,
            "level": "x86-64-v3", "clock_khz": 3_500_000, "clock_asked": "CPPC"},
    "cores": {"present": 8, "enabled": 8, "answered": 4},
    "memory": {"total_bytes": 8 << 30, "free_bytes": 7 << 30, "largest_free_bytes": 6 << 30, "regions": 41,
               "loader_bytes": 1, "boot_services_bytes": 2, "runtime_bytes": 3, "reserved_bytes": 4},
    "screen": {"width": 1920, "height": 1080, "columns": 160, "rows": 45},
    "model": {"name": "SmolLM2-135M", "bytes": 100_000_000, "sum": "0123456789abcdef", "context": 2048},
    "load": {"bytes": 100_000_000, "us": 500_000},
    "speed": [
        {"cores": 4, "prefill_tokens": 64, "prefill_us": 32_000, "decode_tokens": 32, "decode_us": 100_000},
        {"cores": 1, "prefill_tokens": 64, "prefill_us": 128_000, "decode_tokens": 32, "decode_us": 320_000}],
    "guesses": {"read": 100, "right": 80}, "selftest": "passed"}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The example with one member another."""
    raw = copy.deepcopy(EXAMPLE)
    *parents, last = path.split(".")
    inner = raw
    for key in parents:
        inner = inner[int(key)] if isinstance(inner, list) else inner[key]      # type: ignore[unreachable]
    inner[last] = value
    return raw


def parsed(raw: Any) -> MachineReport:
    """A report from its members."""
    return parse_report(json.dumps(raw).encode(), "r.json")


def refused(content: bytes) -> BarelmError:
    """The error of a file, fit for a terminal whatever the file holds."""
    with pytest.raises(BarelmError) as error:
        parse_report(content, "r.json")
    assert error.value.message.startswith("r.json") and error.value.hint
    assert (error.value.message + error.value.hint).isprintable()
    return error.value


def members(raw: Any, path: str = "") -> list[str]:
    """Paths of all members, inner ones too."""
    if isinstance(raw, list):
        raw = dict(enumerate(raw))
    if not isinstance(raw, dict):
        return []
    return [name for key, value in raw.items() for name in (f"{path}{key}", *members(value, f"{path}{key}."))]


OBJECTS = ("program", "firmware", "cpu", "cores", "memory", "screen", "model", "load", "guesses", "speed", "speed.0",
           "speed.1")
LEAVES = [name for name in members(EXAMPLE) if name not in (*OBJECTS, "format", "speed.0.cores", "speed.1.cores")]


def test_it_comes_back_as_it_was() -> None:
    as_json = parsed(EXAMPLE).as_json()
    assert {**as_json, "speed": [*reversed(as_json["speed"])]} == EXAMPLE


def test_figures() -> None:
    report = parsed(EXAMPLE)
    figures = report.figures()
    assert figures["load_bytes_s"] == 200e6 and scaling(report) == pytest.approx(3.2)
    assert figures["speed"] == [
        {"cores": 1, "prefill_tokens_s": 500.0, "decode_tokens_s": 100.0, "prefill_scaling": 1.0,
         "decode_scaling": 1.0, "prefill_tokens_s_core": 500.0, "decode_tokens_s_core": 100.0, "decode_bytes_s": 10e9},
        {"cores": 4, "prefill_tokens_s": 2000.0, "decode_tokens_s": 320.0, "prefill_scaling": 4.0,
         "decode_scaling": 3.2, "prefill_tokens_s_core": 500.0, "decode_tokens_s_core": 80.0, "decode_bytes_s": 32e9}]


@pytest.mark.parametrize("leaf", LEAVES)
def test_whatever_was_unknown_is_null(leaf: str) -> None:
    json.dumps(parsed(changed(leaf, None)).figures())


@pytest.mark.parametrize("speed", [[], [{**EXAMPLE["speed"][0], "decode_us": 0, "prefill_us": None}]])
def test_nothing_measured(speed: list[Any]) -> None:
    report = parsed(changed("speed", speed))
    assert report.fastest() is None and scaling(report) is None
    assert all(figure["decode_tokens_s"] is None for figure in report.figures()["speed"])


def test_no_screen_no_names() -> None:
    assert parsed(changed("screen", None)).screen is None
    report = parsed(changed("cpu.name", None))
    assert report.machine == "AuthenticAMD"


@pytest.mark.parametrize("name", [name for name in members(EXAMPLE) if not name[-1].isdigit()])
def test_a_member_that_is_missing_is_named(name: str) -> None:
    raw = copy.deepcopy(EXAMPLE)
    *parents, last = name.split(".")
    inner: Any = raw
    for key in parents:
        inner = inner[int(key)] if isinstance(inner, list) else inner[key]
    del inner[last]
    error = refused(json.dumps(raw).encode())
    assert (f"{last} is missing" if name != "format" else "no report of barelm") in error.message


@pytest.mark.parametrize("value", [True, -1, 1.5, 1 << 63, "8", [], {}])
def test_a_count_is_a_count(value: Any) -> None:
    assert "cores.present is not a count" in refused(json.dumps(changed("cores.present", value)).encode()).message


@pytest.mark.parametrize("path, value, sentence", [
    ("cpu.name", 5, "cpu.name is not a text"), ("cpu", [], "cpu is not an object"), ("memory", None, "memory is not"),
    ("speed", {}, "speed is not a list"), ("speed", [5], "speed[0] is not an object"),
    ("speed", [EXAMPLE["speed"][0]] * 2000, "speed is not a list"), ("speed.0.cores", 0, "on how many cores"),
    ("speed.0.cores", None, "on how many cores"), ("selftest", "maybe", "selftest is none of"),
    ("screen", 5, "screen is not an object"),
    ("format", 2, "format 2, and this barelm reads format 4"), ("format", 0, "format 0"), ("format", True, "True"),
    ("format", "\x1b[2J" * 99, "format"), ("format", None, "format None")])
def test_what_is_wrong_is_named(path: str, value: Any, sentence: str) -> None:
    assert sentence in refused(json.dumps(changed(path, value)).encode()).message


@pytest.mark.parametrize("content, sentence", [
    (b"", "has not measured itself yet"), (b" \0\0\n" * 50, "has not measured itself yet"), (b"{", "is not JSON"),
    (b"[]", "no report of barelm"), (b'{"a": 1}', "no report of barelm"), (b"\xff\xfe{}", "is not JSON"),
    (b'{"format": NaN}', "is not JSON"), (b"[" * 100_000, "is not JSON"), (b'{"format": ' + b"9" * 5000 + b"}", "JSON"),
    (json.dumps(EXAMPLE).encode()[:-20], "is not JSON"), (b'{"format": 1e999}', "format inf")])
def test_damaged_files(content: bytes, sentence: str) -> None:
    assert sentence in refused(content).message


def test_padding_and_a_byte_order_mark() -> None:
    assert parse_report(b"\xef\xbb\xbf" + json.dumps(EXAMPLE).encode() + b"\r\n" + bytes(4096), "r") == parsed(EXAMPLE)


def test_members_of_later_versions_are_let_be() -> None:
    assert parsed({**EXAMPLE, "new": [1]}) == parsed(EXAMPLE)


@given(st.text())
def test_no_text_reaches_a_terminal_as_it_is(text: str) -> None:
    report = parsed(changed("cpu.name", text))
    assert report.cpu.name is not None and report.cpu.name.isprintable() and len(report.cpu.name) <= 200


_ANY = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3))


@given(st.sampled_from([name for name in members(EXAMPLE) if name not in ("speed.0", "speed.1")]), _ANY)
def test_any_member_may_be_anything(name: str, value: Any) -> None:
    content = json.dumps(changed(name, value)).encode()
    try:
        json.dumps(parse_report(content, "r.json").figures())
    except BarelmError as error:
        assert (error.message + error.hint).isprintable()


@given(st.binary(max_size=60), st.integers(0, 900))
def test_any_bytes_in_it(noise: bytes, at: int) -> None:
    content = json.dumps(EXAMPLE).encode()
    try:
        parse_report(content[:at] + noise + content[at + len(noise):], "r.json")
    except BarelmError as error:
        assert (error.message + error.hint).isprintable()


def test_from_a_file_a_folder_and_an_image(tmp_path: Path) -> None:
    content = json.dumps(EXAMPLE).encode()
    sticks = tmp_path / "sticks"
    (sticks / "one").mkdir(parents=True)
    (sticks / "one" / "report.json").write_bytes(content)
    (sticks / "laptop.json").write_bytes(content)
    write_image(tmp_path / "a.img", {"report.json": content})
    write_image(tmp_path / "plain.img", {"report.json": content + bytes(100)}, plain=True)
    assert [Path(where).name for where, _ in read_reports(sticks)] == ["laptop.json", "report.json"]
    for path in (sticks, sticks / "laptop.json", tmp_path / "a.img", tmp_path / "plain.img"):
        assert {report for _, report in read_reports(path)} == {parsed(EXAMPLE)}


def test_where_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "noise").write_bytes(b"MZ" + bytes(900))
    (tmp_path / "huge.json").write_bytes(b"{" + b" " * (2 << 20))
    write_image(tmp_path / "none.img", {"model.blm": b"x"})
    write_image(tmp_path / "huge.img", {"report.json": bytes(2 << 20)})
    write_image(tmp_path / "blank.img", {"report.json": bytes(4096)})
    (tmp_path / "cut.img").write_bytes((tmp_path / "none.img").read_bytes()[:9000])
    for name, sentence in (("nowhere", "cannot read"), ("empty", "there is no report in"), ("noise", "is no report"),
                           ("huge.json", "is no report"), ("none.img", "there is no report.json on"),
                           ("huge.img", "2,097,152 bytes"), ("blank.img", "has not measured itself yet"),
                           ("cut.img", "is not a sound disk image")):
        with pytest.raises(BarelmError) as error:
            read_reports(tmp_path / name)
        assert sentence in error.value.message and name in error.value.message and error.value.hint
