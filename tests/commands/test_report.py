"""`barelm report`: tables, plots as text and as SVG, JSON; hostile reports too."""

from __future__ import annotations

import json
import signal
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barelm.disk import write_image
from barelm.measure.chart import Chart, Line, core_ticks, draw_svg, draw_text, mark_of, round_above
from tests.commands.conftest import Cli
from tests.test_machine_report import EXAMPLE

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    """The command line in a folder that holds two reports."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "200")
    write(folder / "a.json")
    write(folder / "b.json", cpu={**EXAMPLE["cpu"], "name": "Other <&> [red]CPU"}, speed=EXAMPLE["speed"][1:])
    terminate = signal.getsignal(signal.SIGTERM)
    yield Cli(folder, capsys)
    signal.signal(signal.SIGTERM, terminate)


def write(path: Path, **changes: Any) -> None:
    """The example with some members others."""
    path.write_text(json.dumps({**EXAMPLE, **changes}))


def test_help_has_examples(here: Cli) -> None:
    result = here("report", "--help")
    assert result.code == 0 and result.out.startswith("Usage: barelm report") and "\n    barelm report " in result.out


def test_a_row_a_machine(here: Cli) -> None:
    result = here("report", "a.json", "b.json")
    assert result.code == 0 and result.err == ""
    headings, _, first, second, *_ = result.out.splitlines()
    assert headings.split() == ["machine", "firmware", "level", "cores", "memory", "model", "load", "prefill/s",
                                "decode/s", "on", "cores", "scaling", "reads", "self-test", "file"]
    assert first.split() == ["A", "AMD", "EPYC", "7B13", "EDK", "II", "2.70", "x86-64-v3", "4/8", "8.6", "GB",
                             "SmolLM2-135M", "200.0", "MB/s", "2,000", "320.0", "4", "3.2", "32.0", "GB/s", "passed",
                             "a.json"]
    assert second.startswith("B  Other <&> [red]CPU")
    assert "decode, tokens/s" in result.out and "prefill, tokens/s" in result.out


@pytest.mark.parametrize("columns", ["80", "60", "20"])
@pytest.mark.parametrize("times", [1, 20])
def test_a_narrow_terminal(here: Cli, monkeypatch: pytest.MonkeyPatch, columns: str, times: int) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    result = here("report", *["a.json", "b.json"] * times)
    table = result.out.split("decode, tokens/s")[0]
    assert result.code == 0 and max(map(len, table.splitlines())) <= int(columns)
    assert columns == "20" or ("320.0" in table and "Other" in table)


def test_json(here: Cli) -> None:
    listed = json.loads(here("report", "a.json", "b.json", "--json").out)
    assert [one["file"] for one in listed] == ["a.json", "b.json"]
    assert set(listed[0]) == {"file", "figures", *EXAMPLE}
    assert listed[0]["figures"]["speed"][1]["decode_scaling"] == 3.2


def test_svg(here: Cli) -> None:
    result = here("report", "a.json", "b.json", "--output", "plot.svg")
    assert result.code == 0 and result.err.startswith("plot.svg: ")
    root = ElementTree.parse(here.folder / "plot.svg").getroot()
    assert root.tag == SVG + "svg" and len(root.findall(SVG + "polyline")) == 4
    assert len(root.findall(SVG + "circle")) == 6
    texts = [text.text for text in root.iter(SVG + "text")]
    assert "Other <&> [red]CPU, b.json" in texts and "decode, tokens/s" in texts and "400" in texts


def test_an_image_and_a_folder(here: Cli) -> None:
    write_image(here.folder / "stick.img", {"report.json": (here.folder / "a.json").read_bytes()})
    assert "stick.img" in here("report", "stick.img").out
    assert len(json.loads(here("report", ".", "stick.img", "--json").out)) == 3


@pytest.mark.parametrize("arguments, sentence", [
    (("nowhere.json",), "cannot read nowhere.json"), (("a.json", "bad.json"), "bad.json is a damaged report"),
    (("a.json", "--output", "plot.png"), "only SVG is written"),
    (("a.json", "--output", "nowhere/plot.svg"), "cannot write nowhere/plot.svg")])
def test_refusals(here: Cli, arguments: tuple[str, ...], sentence: str) -> None:
    write(here.folder / "bad.json", cores=5)
    assert sentence in here.refuses("report", *arguments)


def test_no_arguments_is_usage(here: Cli) -> None:
    assert here("report").code == 2


def test_a_hostile_report_reaches_neither_terminal_nor_svg(here: Cli) -> None:
    evil = "\x1b[2J\x1b]0;owned\x07\u202e</text><script>[link=file:///]\ud800\ufffe"
    write(here.folder / "evil.json", cpu={**EXAMPLE["cpu"], "name": evil, "level": evil}, time=evil,
          firmware={"vendor": evil, "revision": evil, "uefi": evil, "failed_call": evil, "failed_status": 7},
          model={**EXAMPLE["model"], "name": evil})
    shown = here("report", "evil.json", "--output", "x.svg")
    assert shown.code == 0 and all(line.isprintable() for line in shown.out.splitlines())
    texts = [text.text for text in ElementTree.parse(here.folder / "x.svg").getroot().iter(SVG + "text")]
    assert any(text and "</text><script>" in text for text in texts)
    assert here("report", "evil.json", "--json").code == 0


@pytest.mark.parametrize("speed", [
    [], [{"cores": 1, "prefill_tokens": None, "prefill_us": None, "decode_tokens": None, "decode_us": None}],
    [{"cores": n, "prefill_tokens": 0, "prefill_us": 0, "decode_tokens": (1 << 63) - 1, "decode_us": 1}
     for n in (1, (1 << 63) - 1)]])
def test_odd_measurements(here: Cli, speed: list[Any]) -> None:
    nulls = {key: dict.fromkeys(EXAMPLE[key]) for key in ("firmware", "cpu", "cores", "memory", "model", "load",
                                                        "guesses")}
    write(here.folder / "odd.json", speed=speed, screen=None, time=None, selftest=None, **nulls)
    assert here("report", "odd.json", "--output", "x.svg").code == 0
    ElementTree.parse(here.folder / "x.svg")
    assert "unknown machine" in here("report", "odd.json").out


_POINTS = st.lists(st.tuples(st.integers(1, 1 << 62), st.floats(1e-9, 1e25)), max_size=6).map(sorted).map(tuple)


@given(st.lists(_POINTS, max_size=4), st.integers(0, 120))
def test_any_points_fit_into_the_chart(points: list[Any], columns: int) -> None:
    chart = Chart("t", tuple(Line(mark_of(n), f"m{n}", each) for n, each in enumerate(points)))
    lines = draw_text(chart, columns)
    assert len({line.index("|") for line in lines[1:14]}) == 1
    assert max(map(len, lines[:15])) <= max(columns, 28)
    for n, each in enumerate(points):
        assert not each or n < len(points) - 1 or any(mark_of(n) in line[11:] for line in lines)
    ElementTree.fromstring(draw_svg([chart, chart]))


@given(st.floats(1e-9, 1e25))
def test_the_axis_ends_at_a_round_number_above(value: float) -> None:
    assert value <= round_above(value) * (1 + 1e-9) and round_above(value) <= value * 2 + 1e-12


@given(st.integers(1, 1 << 62), st.integers(1, 12))
def test_ticks_of_cores(most: int, room: int) -> None:
    ticks = core_ticks(most, room)
    assert ticks[0] == 1 and ticks[-1] == most and ticks == sorted(set(ticks)) and len(ticks) <= room + 2
