"""Families: each a file that names the decoder's tensors and traits, and known by being there."""

from __future__ import annotations

from pathlib import Path

import pytest

from barelm.checkpoint import architectures
from barelm.checkpoint.architectures import FAMILIES
from barelm.checkpoint.architectures.family import TENSORS, Family
from barelm.checkpoint.checkpoint import PER_LAYER
from barelm.contract import layout
from barelm.contract.sections import SECTIONS


def test_every_file_is_a_family() -> None:
    names = {path.stem for path in Path(architectures.__file__).parent.glob("*.py")} - {"__init__", "family"}
    assert {family.architecture for family in FAMILIES.values()} == names == set(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_a_family_speaks_of_the_one_decoder(family: Family) -> None:
    ours = {name for row in SECTIONS for name in row.tensors}
    assert set(TENSORS) <= set(family.tensors) <= ours and family.may_be_absent <= ours
    assert all(("{}" in stored) == (name in PER_LAYER) for name, stored in family.tensors.items())
    assert family.rotary in layout.ROTARY_NAMES
