"""Families: each a file that names the decoder's tensors and traits, and known by being there."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from barelm.checkpoint import architectures
from barelm.checkpoint.architectures import FAMILIES
from barelm.checkpoint.checkpoint import PER_LAYER
from barelm.checkpoint.model_family import BIASES, CHANGES, TENSORS, ModelFamily
from barelm.contract import layout, sections
from barelm.contract.sections import SECTIONS

ADDING = Path(__file__).parents[2] / "docs" / "ADDING.md"


def blocks(section: str) -> list[str]:
    """The Python of a section of docs/ADDING.md."""
    text = ADDING.read_text().partition(f"## {section}\n")[2].partition("\n## ")[0]
    return [textwrap.dedent(block) for block in re.findall(r"```python\n(.*?) *```", text, re.DOTALL)]


def test_the_page_shows_what_qwen2_is() -> None:
    """An architecture as docs/ADDING.md writes it is one, and the file that is there."""
    file = Path(architectures.__file__).with_name("qwen2.py").read_text()
    made: dict[str, ModelFamily] = {}
    for block in blocks("An architecture"):
        assert block in file
        exec(block, {"TENSORS": TENSORS, "BIASES": BIASES, "ModelFamily": ModelFamily}, made)
    assert made["FAMILY"] == FAMILIES["qwen2"]


def test_the_page_shows_a_row_that_is_there() -> None:
    """A section as docs/ADDING.md writes it."""
    made = [eval(block.strip().rstrip(","), vars(sections)) for block in blocks("A section")]
    assert made == [SECTIONS[sections.BQKV]]


def test_every_file_is_a_family() -> None:
    names = {path.stem for path in Path(architectures.__file__).parent.glob("*.py")} - {"__init__"}
    assert {family.architecture for family in FAMILIES.values()} == set(FAMILIES)
    assert {architecture.replace("-", "_") for architecture in FAMILIES} == names


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_a_family_speaks_of_the_one_decoder(family: ModelFamily) -> None:
    ours = {name for row in SECTIONS for name in row.tensors}
    named = {*family.tensors, *(name for names in family.fused.values() for name in names)}
    needed = {name for row in SECTIONS if not row.may_be_absent for name in row.tensors} - {"w1"}
    assert needed <= named <= ours and family.may_be_absent <= ours and family.takes <= set(CHANGES)
    assert all(("{}" in stored) == (name in PER_LAYER) for name, stored in family.tensors.items())
    assert family.rotary in layout.ROTARY_NAMES
