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
    wire: Any = None

    def grow(self, dispatcher: Any, signature: tuple[Any, ...]) -> None:
        """Double the process.  The child ends in here; to the parent the function is compiled."""
        heard, told = os.pipe()
        self.child = os.fork()
        if self.child:
            os.close(told)
            self.wire = os.fdopen(heard)
            promise(dispatcher, signature, self.symbol)
            return
        try:
            end_with_parent()
            self._compile(dispatcher, signature, lambda symbols: _tell(told, symbols))
            _tell(told, [])
        except BarelmError as error:
            _tell(told, {"message": error.message, "hint": error.hint})
        except Exception as error:
            words = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
            _tell(told, {"message": f"compiling {self.symbol} failed: {words[0]}", "hint": " ".join(words[1:])})
        finally:
            os._exit(0)

    def needs(self) -> list[str]:
        """The symbols of the parent that the child refers to.  Raises BarelmError where it had to give up."""
        if not self.child:
            raise BarelmError(f"the program does not come to {self.function.__name__}", "Leave the branch out.")
        return self._hear()

    def join(self) -> None:
        """Wait for the child's object.  Raises BarelmError where there is none."""
        self._hear()
        os.waitpid(self.child, 0)
        self.wire.close()

    def _hear(self) -> list[str]:
        line = self.wire.readline()
        said = json.loads(line) if line else {"message": f"the compiler of {self.symbol} ended", "hint": _HINT}
        if isinstance(said, dict):
            os.waitpid(self.child, 0)
            self.wire.close()
            raise BarelmError(said["message"], said["hint"])
        return list(said)

    def _compile(self, dispatcher: Any, signature: tuple[Any, ...], tell: Callable[[list[str]], None]) -> None:
        MetalLibrary.age += 1
        MetalDispatcher.branch = None
        dispatcher.compile(signature)
        result = dispatcher.overloads[signature]
        texts = [text for library in with_callees(result.library, {}) if library.age == MetalLibrary.age
                 for text in library.texts]
        self.emit(texts, result.fndesc.llvm_func_name, tell)


def _tell(wire: int, said: list[str] | dict[str, str]) -> None:
    os.write(wire, json.dumps(said).encode() + b"\n")
