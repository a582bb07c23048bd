"""A branch of a program: compiled beside the rest, in a process of its own, to an object of its own.

Typing and lowering, most of a build, go one step after the other.  So where the compiler comes to the function a branch
begins with, the process is doubled: the child compiles it, and what it calls that was not compiled until then; the
parent goes on as if that were done.  What both need from then on is compiled twice.  The child tells the parent which
of its functions it calls, so that these are kept, and the linker brings the two together.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from barelm.aot.target import MetalDispatcher, MetalLibrary, promise, with_callees
from barelm.child_python import end_with_parent
from barelm.errors import BarelmError

NODE = "barelm_node"

_HINT = "Is there memory enough to build?  It takes some 2 GB."


@dataclass
class Branch:
    """A function that returns a number, the symbol it gets, and who makes an object of it."""

    function: Any
    symbol: str
    emit: Callable[[list[str], str, Callable[[list[str]], None]], None]
    """Called in the child with modules of IR, the name of the function in them, and what is to be told the symbols that
    the modules leave to the parent."""
    child: int = 0
    wire: int = -1

    def grow(self, dispatcher: Any, signature: tuple[Any, ...]) -> None:
        """Double the process.  The child ends in here; to the parent the function is compiled."""
        self.wire, told = os.pipe()
        self.child = os.fork()
        if self.child:
            os.close(told)
            promise(dispatcher, signature, self.symbol)
            return
        status = 1
        try:
            end_with_parent()
            self._compile(dispatcher, signature, lambda symbols: _tell(told, symbols))
            status = 0
        except BarelmError as error:
            _tell(told, {"message": error.message, "hint": error.hint})
        finally:
            os._exit(status)

    def needs(self) -> list[str]:
        """The symbols of the parent that the child refers to.  Raises BarelmError where it had to give up."""
        if not self.child:
            raise BarelmError(f"the program does not come to {self.function.__name__}", "Leave the branch out.")
        with open(self.wire) as heard:
            said = heard.read()
        needed = json.loads(said) if said else {"message": f"the compiler of {self.symbol} ended", "hint": _HINT}
        if isinstance(needed, dict):
            os.waitpid(self.child, 0)
            raise BarelmError(needed["message"], needed["hint"])
        return list(needed)

    def join(self) -> None:
        """Wait for the child's object.  Raises BarelmError where there is none."""
        if os.waitpid(self.child, 0)[1]:
            raise BarelmError(f"the compiler of {self.symbol} ended", _HINT)

    def _compile(self, dispatcher: Any, signature: tuple[Any, ...], tell: Callable[[list[str]], None]) -> None:
        MetalLibrary.age += 1
        MetalDispatcher.branch = None
        dispatcher.compile(signature)
        result = dispatcher.overloads[signature]
        texts = [text for library in with_callees(result.library, {}) if library.age == MetalLibrary.age
                 for text in library.texts]
        self.emit(texts, result.fndesc.llvm_func_name, tell)


def _tell(wire: int, said: list[str] | dict[str, str]) -> None:
    os.write(wire, json.dumps(said).encode())
    os.close(wire)
