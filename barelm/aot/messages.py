"""Exceptions as constants: what `raise` becomes on the metal.

A failure is a constant, `contract.failure_record`.  The place is the file inside the package and the line, never a path
of the machine that compiled.
"""

import hashlib
import inspect
from pathlib import Path
from typing import Any

import numba
from llvmlite import ir
from numba.core import ir as numba_ir

import barelm
from barelm.dialect.lowering.memory import utf16_constant
from barelm.dialect.rooms import Failure

EFI_ERROR = 1 << 63
EFI_ABORTED = 21

_NUMBA_FOLDER = str(Path(numba.__file__).parent)
_ROOT = Path(barelm.__file__).parent.parent
BUG_HINT = "This is a bug in barelm: please report it with the line above."


def place_failure(module: Any, exception: Any, arguments: tuple[Any, ...], location: Any) -> Any:
    """A pointer to the constant that describes `raise exception(*arguments)` at `location`."""
    status, message, hint = describe(exception, arguments)
    texts = [utf16_constant(module, text) for text in (message, hint, place(location))]
    fields = [ir.Constant(ir.IntType(64), status), *(text.bitcast(ir.IntType(8).as_pointer()) for text in texts)]
    constant = ir.Constant.literal_struct(fields)
    name = "failure." + hashlib.sha256(str(fields).encode()).hexdigest()[:16]
    if name not in module.globals:
        variable = ir.GlobalVariable(module, constant.type, name)
        variable.global_constant, variable.linkage, variable.initializer = True, "internal", constant
    return module.globals[name]


def describe(exception: Any, arguments: tuple[Any, ...]) -> tuple[int, str, str]:
    """Status, message and hint; anything but a `Failure` is a defect of the program itself."""
    if exception is Failure:
        status, message, hint = (*arguments, "")[:3]
        return (int(status) | EFI_ERROR) - (1 << 64), str(message), str(hint)
    name = exception.__name__ if exception is not None else "exception"
    text = ", ".join(str(argument) for argument in arguments)
    return (EFI_ABORTED | EFI_ERROR) - (1 << 64), f"{name}: {text}", BUG_HINT


def place(location: Any) -> str:
    """file:line, the file relative to the package where it is inside, its bare name elsewhere."""
    if location is None:
        return "?"
    path = Path(location.filename).resolve()
    shown = path.relative_to(_ROOT).as_posix() if path.is_relative_to(_ROOT) else Path(location.filename).name
    return f"{shown}:{location.line}"


def line_being_compiled() -> Any:
    """Where in code that is not Numba's own the compiler is: its passes keep the location they are at."""
    frame = inspect.currentframe()
    while frame is not None:
        owner = frame.f_locals.get("self")
        location = vars(owner).get("loc") if hasattr(owner, "__dict__") else None
        if isinstance(location, numba_ir.Loc) and not location.filename.startswith(_NUMBA_FOLDER):
            return location
        frame = frame.f_back
    return None
