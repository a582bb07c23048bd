"""The roofline (Williams et al. 2009) as SVG: operations a second over operations a byte, with the machine's limits."""

import math
from collections.abc import Iterator

from barelm.measure.chart import COLOURS, xml
from barelm.measure.figures_of_speed import Figure
from barelm.measure.machine_limits import Limits

_WIDTH, _HEIGHT, _LEFT, _TOP, _LEGEND = 720, 380, 70, 40, 18


class Plane:
    """Both axes logarithmic, whole powers of ten at the ends."""

    def __init__(self, figures: list[Figure], limits: list[Limits]) -> None:
        intensities = [figure.work.intensity for figure in figures]
        heights = [figure.ops_s for figure in figures] + [limit.int8_ops_s for limit in limits]
        heights += [limit.float_ops_s for limit in limits]
        self.x = _decades([*intensities, 1.0, 1000.0])
        self.y = _decades(heights)

    def spot(self, intensity: float, ops_s: float) -> tuple[float, float]:
        """Where it is in the picture."""
        (x0, x1), (y0, y1) = self.x, self.y
        across = (math.log10(intensity) - x0) / (x1 - x0)
        down = (y1 - math.log10(ops_s)) / (y1 - y0)
        return round(_LEFT + across * _WIDTH, 1), round(_TOP + down * _HEIGHT, 1)


def draw_roofline(figures: list[Figure], limits: list[Limits]) -> str:
    """The whole picture; the roofs are those of the most cores, fainter those of fewer."""
    figures = [figure for figure in figures if figure.ops_s > 0]
    plane = Plane(figures, limits)
    width, height = _LEFT + _WIDTH + 30, _TOP + _HEIGHT + 60 + _LEGEND * len(figures)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
             f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
             f'<rect width="{width}" height="{height}" fill="white"/>',
             f'<text x="{_LEFT}" y="{_TOP - 16}" font-size="14">operations a second, over operations a byte</text>']
    parts += _grid(plane)
    for number, limit in enumerate(sorted(limits, key=lambda limit: limit.cores)):
        parts += _roofs(plane, limit, "#000" if number == len(limits) - 1 else "#aaa")
    for number, figure in enumerate(figures):
        colour = COLOURS[number % len(COLOURS)]
        x, y = plane.spot(figure.work.intensity, figure.ops_s)
        below = _TOP + _HEIGHT + 54 + number * _LEGEND
        label = f"{figure.program}, {figure.model}, {figure.what} at {figure.context}, {figure.cores} cores"
        parts += [f'<circle cx="{x}" cy="{y}" r="4" fill="{colour}"/>',
                  f'<circle cx="{_LEFT + 6}" cy="{below - 4}" r="4" fill="{colour}"/>',
                  f'<text x="{_LEFT + 18}" y="{below}">{xml(label)}: {figure.tokens_s:,.1f} tokens/s</text>']
    return "\n".join([*parts, "</svg>"]) + "\n"


def _decades(values: list[float]) -> tuple[int, int]:
    """The powers of ten around all values."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def _grid(plane: Plane) -> Iterator[str]:
    for power in range(plane.x[0], plane.x[1] + 1):
        x, _ = plane.spot(10.0**power, 10.0**plane.y[0])
        yield f'<line x1="{x}" y1="{_TOP}" x2="{x}" y2="{_TOP + _HEIGHT}" stroke="#ddd"/>'
        yield f'<text x="{x}" y="{_TOP + _HEIGHT + 18}" text-anchor="middle">{10.0**power:g}</text>'
    for power in range(plane.y[0], plane.y[1] + 1):
        _, y = plane.spot(1.0, 10.0**power)
        yield f'<line x1="{_LEFT}" y1="{y}" x2="{_LEFT + _WIDTH}" y2="{y}" stroke="#ddd"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{10.0**power:.0e}</text>'


def _roofs(plane: Plane, limit: Limits, colour: str) -> Iterator[str]:
    """The slope of the memory up to each of the two peaks, and from there on the peak."""
    for peak, name in ((limit.int8_ops_s, "int8"), (limit.float_ops_s, "float32")):
        ridge = peak / limit.read_bytes_s
        left = max(10.0**plane.x[0], 10.0**plane.y[0] / limit.read_bytes_s)
        corners = [plane.spot(left, left * limit.read_bytes_s), plane.spot(ridge, peak),
                   plane.spot(max(10.0**plane.x[1], ridge), peak)]
        joined = " ".join(f"{x},{y}" for x, y in corners)
        yield f'<polyline points="{joined}" fill="none" stroke="{colour}"/>'
        yield (f'<text x="{corners[2][0]}" y="{corners[2][1] - 5}" text-anchor="end" fill="{colour}">'
               f'{name}, {limit.cores} core{"s" * (limit.cores > 1)}</text>')
