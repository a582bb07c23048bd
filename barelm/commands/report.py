"""`barelm report`: what machines measured of themselves, as a table and a plot."""

import json
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from barelm.disk.devices import human_bytes
from barelm.errors import BarelmError
from barelm.host_files import replace_file
from barelm.machine_report import MachineReport, Speed, read_reports, scaling
from barelm.measure.chart import Chart, Line, draw_svg, draw_text, mark_of
from barelm.printed import printable

NARROWEST, WIDEST = 40, 100     # columns of a plot
PIPE_COLUMNS = 200              # of a table nobody watches
HEADINGS = ("", "machine", "firmware", "level", "cores", "memory", "model", "load", "prefill/s", "decode/s", "on cores",
            "scaling", "reads", "self-test", "file")
ESSENTIAL = ("", "machine", "cores", "prefill/s", "decode/s", "on cores", "scaling")

Found = list[tuple[str, MachineReport]]


def show_reports(paths: list[Path], output: Path | None, as_json: bool) -> int:
    """Read reports, print a table and a plot, or JSON; draw the plot into a file where one is named."""
    if output is not None and output.suffix.lower() != ".svg":
        raise BarelmError(f"cannot draw into {output}: only SVG is written", "Give a name that ends in .svg.")
    found = [pair for path in paths for pair in read_reports(path)]
    if output is not None:
        replace_file(output, draw_svg(charts_of(found)).encode("utf-8", "replace"))
    if as_json:
        print(json.dumps([{"file": where, **report.as_json(), "figures": report.figures()} for where, report in found]))
    else:
        _print_table(found)
        _print_plots(charts_of(found))
    if output is not None:
        print(f"{output}: {output.stat().st_size:,} bytes", file=sys.stderr)
    return 0


def charts_of(found: Found) -> list[Chart]:
    """Decode and prefill by the number of cores, one line a machine."""
    return [_chart("decode, tokens/s", found, lambda speed: speed.decode_tokens_s),
            _chart("prefill, tokens/s", found, lambda speed: speed.prefill_tokens_s)]


def _chart(title: str, found: Found, value_of: Callable[[Speed], float | None]) -> Chart:
    return Chart(title, tuple(
        Line(mark_of(number), f"{report.machine}, {printable(where)}",
             tuple((speed.cores, value) for speed in report.speed if (value := value_of(speed)) is not None))
        for number, (where, report) in enumerate(found)))


def row_of(number: int, where: str, report: MachineReport) -> tuple[str, ...]:
    """A machine in one row; its speeds are those of the fastest measurement."""
    fastest = report.fastest()
    cores = (report.cores.answered, report.cores.present)
    return (mark_of(number), report.machine, _joined(report.firmware.vendor, report.firmware.uefi),
            report.cpu.level or "-", "/".join(str(n) for n in cores if n is not None) or "-",
            _bytes(report.memory.total_bytes), report.model.name or "-", _bytes(report.load_bytes_s, "/s"),
            _rate(fastest.prefill_tokens_s if fastest else None), _rate(fastest.decode_tokens_s if fastest else None),
            str(fastest.cores) if fastest else "-", _rate(scaling(report)),
            _bytes(report.decode_bytes_s(fastest) if fastest else None, "/s"), report.selftest or "-", printable(where))


def _print_table(found: Found) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    known = sys.stdout.isatty() or "COLUMNS" in os.environ
    console = Console(file=sys.stdout, width=None if known else PIPE_COLUMNS, highlight=False, markup=False,
                      emoji=False)
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1), collapse_padding=True)
    rows = [row_of(number, *pair) for number, pair in enumerate(found)]
    columns = list(zip(HEADINGS, *rows))
    if _width(zip(*columns)) > console.width:
        # Too narrow for a row a machine: a column each, or, where they are many, only what matters most.
        turned = _width(columns) <= console.width
        columns = list(zip(*columns)) if turned else [column for column in columns if column[0] in ESSENTIAL]
    for heading, *_ in columns:
        table.add_column(heading, overflow="fold")
    for row in zip(*(cells for _, *cells in columns)):
        table.add_row(*map(Text, row))
    console.print(table)
    for number, (_, report) in enumerate(found):
        if call := report.firmware.failed_call:
            console.print(f"{mark_of(number)}: last failed call {call}, status {report.firmware.failed_status}")
    print()


def _width(rows: Iterable[tuple[str, ...]]) -> int:
    """Characters these rows are wide as a table."""
    return sum(max(map(len, cells)) + 2 for cells in zip(*rows))


def _print_plots(charts: list[Chart]) -> None:
    from rich.console import Console

    columns = min(max(Console(file=sys.stdout).width, NARROWEST), WIDEST)
    for chart in charts:
        if any(line.points for line in chart.lines):
            print("\n".join(draw_text(chart, columns)) + "\n")


def _joined(*words: str | None) -> str:
    return " ".join(filter(None, words)) or "-"


def _bytes(value: float | None, unit: str = "") -> str:
    return "-" if value is None else human_bytes(round(value)) + unit


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}" if value < 1000 else f"{value:,.0f}"
