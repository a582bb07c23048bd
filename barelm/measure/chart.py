"""Lines over the number of cores: as text for a terminal, as SVG for a page."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

MARKS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

_HEIGHT, _MARGIN = 13, 9                # lines of a text chart, columns left of its axis
_PANEL_W, _PANEL_H, _LEFT, _TOP, _GAP, _LEGEND_H = 380, 260, 60, 40, 80, 20
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")   # Okabe and Ito


@dataclass(frozen=True)
class Line:
    """One machine in a chart: its mark, its name, its points in the order of the cores."""

    mark: str
    label: str
    points: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Chart:
    """What is on the vertical axis, and the lines."""

    title: str
    lines: tuple[Line, ...]

    @property
    def most_cores(self) -> int:
        """The right end of the horizontal axis."""
        return max((cores for line in self.lines for cores, _ in line.points), default=1)

    @property
    def top(self) -> float:
        """The upper end of the vertical axis: a round number no value exceeds."""
        return round_above(max((value for line in self.lines for _, value in line.points), default=1.0))

    def spot(self, cores: float, value: float) -> tuple[float, float]:
        """How far right and how far down a point is, each from 0 to 1."""
        return (cores - 1) / max(self.most_cores - 1, 1), 1 - value / self.top


def round_above(value: float) -> float:
    """The least of 1, 1.5, 2, 3, 4, 5, 6, 8 times a power of ten that is not below a value."""
    unit = 10.0 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next((step * unit for step in (1, 1.5, 2, 3, 4, 5, 6, 8) if step * unit >= value), 10 * unit)


def mark_of(number: int) -> str:
    """The letter of a machine; behind the alphabet they share one."""
    return MARKS[number] if number < len(MARKS) else "*"


def core_ticks(most: int, room: int) -> list[int]:
    """Numbers of cores to write below an axis with room for so many: 1, the last, and even steps between."""
    steps = (digit * 10**zeros for zeros in itertools.count() for digit in (1, 2, 4, 5))
    step = next(step for step in steps if most <= step * max(room - 1, 1))
    return sorted({1, most, *(n for n in range(step, most, step) if most - n >= step / 2)})


def draw_text(chart: Chart, columns: int) -> list[str]:
    """A chart in letters, `columns` wide: a machine's letter where it was measured, dots between."""
    width = max(columns - _MARGIN - 2, 16)
    cells = [[" "] * width for _ in range(_HEIGHT)]

    def place(cores: float, value: float) -> tuple[float, float]:
        across, down = chart.spot(cores, value)
        return across * (width - 1), down * (_HEIGHT - 1)

    for line in chart.lines:
        spots = [place(*point) for point in line.points]
        for (x0, y0), (x1, y1) in zip(spots, spots[1:]):
            for step in range(steps := max(round(x1 - x0), 1)):
                cells[round(y0 + (y1 - y0) * step / steps)][round(x0 + (x1 - x0) * step / steps)] = "."
    for line in chart.lines:
        for x, y in (place(*point) for point in line.points):
            cells[round(y)][round(x)] = line.mark
    lines = [chart.title]
    for row, cell in enumerate(cells):
        label = _short(chart.top * (1 - row / (_HEIGHT - 1))) if row % 3 == 0 else ""
        lines.append(f"{label:>{_MARGIN}} |{''.join(cell)}".rstrip())
    below = [" "] * (width + 12)
    for cores in core_ticks(chart.most_cores, width // 8):
        text = str(cores)
        at = min(round(place(cores, 0)[0]), max(width - len(text), 0))
        below[at:at + len(text)] = text
    return [*lines, " " * _MARGIN + " +" + "-" * width, " " * (_MARGIN + 2) + "".join(below).rstrip() + " cores"]


def draw_svg(charts: Sequence[Chart]) -> str:
    """Charts side by side with their legend below, as one SVG."""
    lines = charts[0].lines if charts else ()
    width = len(charts) * (_PANEL_W + _GAP) + _LEFT
    height = _TOP + _PANEL_H + 60 + _LEGEND_H * len(lines)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
             f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
             f'<rect width="{width}" height="{height}" fill="white"/>']
    for number, chart in enumerate(charts):
        parts += _panel(chart, _LEFT + number * (_PANEL_W + _GAP))
    for number, line in enumerate(lines):
        y = _TOP + _PANEL_H + 60 + number * _LEGEND_H
        parts += [f'<rect x="{_LEFT}" y="{y - 9}" width="20" height="4" fill="{_colour(number)}"/>',
                  f'<text x="{_LEFT + 28}" y="{y - 2}">{xml(line.label)}</text>']
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(chart: Chart, left: int) -> list[str]:
    def place(cores: float, value: float) -> tuple[float, float]:
        across, down = chart.spot(cores, value)
        return round(left + across * _PANEL_W, 1), round(_TOP + down * _PANEL_H, 1)

    bottom, right = _TOP + _PANEL_H, left + _PANEL_W
    parts = [f'<text x="{left}" y="{_TOP - 16}" font-size="14">{xml(chart.title)}</text>',
             f'<text x="{right}" y="{bottom + 34}" text-anchor="end">cores</text>']
    for step in range(5):
        value = chart.top * step / 4
        _, y = place(1, value)
        parts += [f'<line x1="{left}" y1="{y}" x2="{right}" y2="{y}" stroke="#ddd"/>',
                  f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{_short(value)}</text>']
    for cores in core_ticks(chart.most_cores, 9):
        parts.append(f'<text x="{place(cores, 0)[0]}" y="{bottom + 18}" text-anchor="middle">{cores}</text>')
    for number, line in enumerate(chart.lines):
        spots = [place(*point) for point in line.points]
        joined = " ".join(f"{x},{y}" for x, y in spots)
        parts.append(f'<polyline points="{joined}" fill="none" stroke="{_colour(number)}" stroke-width="2"/>')
        parts += [f'<circle cx="{x}" cy="{y}" r="3.5" fill="{_colour(number)}"/>' for x, y in spots]
    return parts


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _short(value: float) -> str:
    """A value for an axis, short whatever it is."""
    return f"{value:,.0f}" if 100 <= value < 1e6 else f"{value:.3g}"


def xml(text: str) -> str:
    """Text as it may stand in an SVG."""
    return escape("".join(c for c in text if c.isprintable() and c not in "\ufffe\uffff"))
