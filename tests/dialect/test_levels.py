"""What the forms of a level become: the instructions it is there for, seen where this host lacks them too."""

from __future__ import annotations

import re

import llvmlite.binding as llvm
import pytest

from barelm.dialect.lowering import FAMILY, levels


def instructions(level: str, form: str) -> list[str]:
    """The assembly of a form, compiled for a level: instructions with their registers."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    row = next(each for each in FAMILY.levels if each.name == level)
    machine = llvm.Target.from_triple(FAMILY.triple).create_target_machine(cpu=row.cpu, features=row.features, opt=3)
    module = llvm.parse_assembly(levels.level_module(level))
    module.triple, module.data_layout = FAMILY.triple, str(machine.target_data)
    whole = machine.emit_assembly(module)
    return re.findall(rf"^barelm_{form}:(.*?)^\s*retq", whole, re.M | re.S)[0].splitlines()


@pytest.mark.parametrize("level, form, instruction, register, n", [
    ("v2", "dot16_u5", "pmaddubsw", "xmm", 16), ("v3", "dot16_u5", "vpmaddubsw", "ymm", 8),
    ("v3n", "dot16_u5", "vpdpbusd", "ymm", 8), ("v4", "dot16_u5", "vpdpbusd", "zmm", 4),
    ("v2", "dot16_i8", "psignb", "xmm", 16), ("v3", "dot16_i8", "vpsignb", "ymm", 8),
    ("v3n", "dot16_i8", "vpdpbusd", "ymm", 8), ("v4", "dot16_i8", "vpdpbusd", "zmm", 4),
    ("v3n", "dot16_u6", "vpdpbusd", "ymm", 8), ("v4", "dot16_u6", "vpdpbusd", "zmm", 4),
    ("v2", "look_up_i8x64", "pshufb", "xmm", 4), ("v3", "look_up_i8x64", "vpshufb", "ymm", 2),
    ("v4", "look_up_i8x64", "vpshufb", "zmm", 1), ("v3n", "widen_f16", "vcvtph2ps", "ymm", 2),
    ("v4", "widen_f16", "vcvtph2ps", "zmm", 1)])
def test_a_form_is_made_of_the_instructions_of_its_level(level: str, form: str, instruction: str, register: str,
                                                         n: int) -> None:
    code = [line.split("#")[0] for line in instructions(level, form)]
    assert sum(bool(re.search(rf"\b{instruction}\b.*%{register}", line)) for line in code) == n


@pytest.mark.parametrize("level", ["v2", "v3", "v3n"])
def test_no_level_uses_registers_of_a_higher_one(level: str) -> None:
    code = [line for form in levels.FORMS[level] for line in instructions(level, form)]
    assert not any("%zmm" in line or (level == "v2" and "%ymm" in line) for line in code)
    assert not any(re.search(r"%[xy]mm(1[6-9]|2\d|3[01])\b|%k[0-7]", line) for line in code), "AVX-512 in disguise"
