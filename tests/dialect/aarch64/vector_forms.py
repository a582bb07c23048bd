"""The generic forms, but for a table of sixteen bytes, which TBL looks up."""

from typing import Any

from barelm.dialect.lowering.emit import call
from barelm.dialect.lowering.forms import GENERIC, in_parts


def _look_up(builder: Any, table: Any, v: Any) -> Any:
    """TBL."""
    return call(builder, "llvm.aarch64.neon.tbl1.v16i8", v.type, table, v)


FORMS = {"neon": {**GENERIC, "look_up_i8x64": in_parts(4, _look_up)}}
