"""What a token costs, what share of the machine that is, and the rows, tables and plots made of it."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

import pytest

from barelm.measure.figures_of_speed import DECODE, PREFILL, Figure, Work, report_of, table_of, work_of
from barelm.measure.machine_limits import Limits
from barelm.measure.roofline import draw_roofline
from tests.conftest import Pack
from tests.models import tiny_checkpoint

ONE, TWO = Limits(1, 10e9, 50e9, 100e9), Limits(2, 15e9, 100e9, 200e9)


def figure(program: str = "barelm", what: str = DECODE, cores: int = 1, runs: tuple[float, ...] = (3.0, 1.0, 2.0),
           work: Work | None = None) -> Figure:
    """One of a model that reads as many bytes as it multiplies."""
    return Figure(program, "tiny", what, 192, cores, 64, runs, work or Work(1e9, 1e9, False))


def test_a_token_costs_two_operations_a_weight_and_what_it_looks_at(pack: Pack) -> None:
    packed = pack(tiny_checkpoint(3, dim=64, hidden_dim=96, n_layers=2, n_heads=4, n_kv_heads=2, vocab_size=320))
    weights = 2 * (64 * (64 + 32 + 32) + 64 * 64 + 2 * 64 * 96 + 96 * 64)
    decode, prefill = (work_of(packed.header, what, 10) for what in (DECODE, PREFILL))
    attention, cache = 4 * 2 * 64 * 10, 2 * 2 * 32 * 10 * 4
    assert packed.header.kv_kind == 0 and decode.floats
    assert decode.ops == 2 * (weights + 320 * 64) + attention
    assert decode.n_bytes == 4 * (weights + 320 * 64) + cache
    assert prefill.ops == 2 * weights + attention, "only the last token of a prompt is classified"
    assert prefill.n_bytes == (4 * weights + cache) / packed.header.batch


def test_quantized_weights_are_no_floats(pack: Pack) -> None:
    assert not work_of(pack(tiny_checkpoint(3, dim=64, hidden_dim=64), "q8").header, DECODE, 10).floats


@pytest.mark.parametrize("work, most", [
    (Work(1e9, 1e9, False), 10e9), (Work(1e12, 1e9, False), 100e9), (Work(1e12, 1e9, True), 50e9)])
def test_the_share_is_of_the_nearer_limit(work: Work, most: float) -> None:
    assert figure(runs=(most / work.ops / 2,), work=work).share(ONE) == pytest.approx(0.5)


def test_the_best_of_two_measurements() -> None:
    assert Limits(1, 1, 5, 3).better(Limits(1, 2, 4, 3)) == Limits(1, 2, 5, 3)


def test_a_row_says_everything() -> None:
    report = json.loads(json.dumps(report_of([figure(), figure(cores=2)], [ONE, TWO], "a processor")))
    assert report["format"] == 1 and report["machine"] == "a processor" and len(report["limits"]) == 2
    first, second = report["rows"]
    assert first["tokens_s"] == 2 and first["runs"] == [3, 1, 2] and first["share"] == 0.2
    assert second["share"] == round(2 / 15, 3)


def test_a_table_has_a_row_a_task_and_the_others_beside_it() -> None:
    lines = table_of([figure(), figure("llama.cpp", runs=(1.0,)), figure(what=PREFILL, cores=2)], [ONE, TWO])
    assert lines[2] == "| tiny | decode at 192 | 1 | 2.0 | 20% | llama.cpp 1.0, x2.00 |"
    assert lines[3] == "| tiny | prefill at 192 | 2 | 2.0 | 13% | - |"
    assert "| memory is read at | 2 | 15.0 GB/s |" in lines


@pytest.mark.parametrize("figures", [
    [], [figure()], [figure(runs=(0.0,)), figure("<&>", runs=(1e6,)), figure(cores=2)]])
def test_the_roofline_is_a_picture_with_everything_inside(figures: list[Figure]) -> None:
    root = ElementTree.fromstring(draw_roofline(figures, [TWO, ONE]))
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    circles = [node.attrib for node in root.iter() if node.tag.endswith("circle")]
    spots = [(float(circle["cx"]), float(circle["cy"])) for circle in circles]
    for node in root.iter():
        if node.tag.endswith("polyline"):
            spots += [(float(x), float(y)) for x, y in (pair.split(",") for pair in node.attrib["points"].split())]
    assert len(spots) == 4 * 3 + 2 * sum(each.ops_s > 0 for each in figures)
    assert all(0 <= x <= width and 0 <= y <= height for x, y in spots)
