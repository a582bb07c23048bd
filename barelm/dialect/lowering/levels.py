"""The forms of each CPU level, and which of them is taken.

The host's JIT emits the form of this host in place.  The metal's engine is lowered once and compiled for every
level: there a call stands in its place, and `level_module` defines what is called, level by level.
"""

from functools import cache
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

from barelm.dialect.lowering import FAMILY
from barelm.dialect.lowering.emit import call
from barelm.dialect.lowering.forms import GENERIC, SIGNATURES, Form

FORMS: dict[str, dict[str, Form]] = {"generic": GENERIC, **FAMILY.module("vector_forms").FORMS}
"""By level, lowest first, and name."""


def emit_form(builder: Any, name: str, *arguments: Any) -> Any:
    """What `name` of FORMS does: in place for the host, by a call for the metal (see above)."""
    if builder.module.triple == FAMILY.triple:
        return call(builder, "barelm_" + name, SIGNATURES[name][0], *arguments)
    return FORMS[host_level()][name](builder, *arguments)


@cache
def host_levels() -> list[str]:
    """Those the processor this process runs on has, lowest first."""
    here = llvm.get_host_cpu_features()
    return ["generic", *(level.name for level in FAMILY.levels if all(map(here.get, level.forms_need)))]


def host_level() -> str:
    """The highest of them."""
    return host_levels()[-1]


def level_module(level: str) -> str:
    """LLVM IR that defines every form for a level, to be inlined."""
    module = ir.Module("level." + level)
    for name, form in FORMS[level].items():
        result, parameters = SIGNATURES[name]
        function = ir.Function(module, ir.FunctionType(result, parameters), "barelm_" + name)
        function.attributes.add("alwaysinline")
        builder = ir.IRBuilder(function.append_basic_block())
        builder.ret(form(builder, *function.args))
    return str(module)
