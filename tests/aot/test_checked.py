"""Programs compiled with checks: what uses memory outside of an array says so, and where."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from barelm.aot.build import source_key
from barelm.machine.hosted import Hosted
from tests.aot import small

REPOSITORY = Path(__file__).parents[2]

PRIMITIVES = """
import numpy as np
from barelm.contract.conversation_state import Conversation
from barelm.dialect.lowering.emit import check_accesses
from barelm.dialect.lowering.install import jit
from barelm.dialect.memory import atomic_load, i32_array, prefetch
from barelm.dialect.vectors import load_f32x16, store_f32x16
from barelm.dialect.quants import load_i8x16
check_accesses()

def view(x, i: int): return i32_array(x, i, 4)[0]
def store(x, i: int):
    store_f32x16(x, i, load_f32x16(x, i))
    return x
def narrow(x, i: int):
    load_i8x16(x, i)
    return i
def atomic(x, i: int): return atomic_load(x, i)
def turn(address: int, i: int): return Conversation(address).turns[i].address
def ahead(x, i: int):
    prefetch(x, i)
    return i

block = np.zeros(Conversation.BYTES, np.uint8)
for function, given, fits, beyond in (
        (view, np.zeros(32, np.uint8), (0, 16), (-1, 17, 1 << 40)), (store, np.zeros(20, np.float32), (0, 4), (-1, 5)),
        (narrow, np.zeros(20, np.uint8), (0, 4), (-1, 5)), (atomic, np.zeros(3, np.int64), (0, 2), (3, -1)),
        (turn, block.ctypes.data, (0, 637), (638, -1)), (ahead, np.zeros(3, np.uint8), (0, 1 << 20), ())):
    compiled = jit(function)
    for i in fits:
        compiled(given, i)
    for i in beyond:
        try:
            compiled(given, i)
        except IndexError:
            continue
        raise SystemExit(f"{function.__name__}({i}) is not noticed")
print("noticed")
"""

PROGRAM = """
import sys
from pathlib import Path
from barelm.dialect.lowering.emit import check_accesses
from barelm.dialect.memory import cells
from barelm.dialect.rooms import metal
from tests.aot.small import build

@metal
def beyond(image: int, table: int) -> int:
    words = cells(4)
    return words[4 + (image - image)]  # this line

if len(sys.argv) > 2:
    check_accesses()
Path(sys.argv[1]).write_bytes(build(beyond))
"""


def python(*arguments: str) -> str:
    """What a fresh Python says, of whose compiler nobody else makes use."""
    done = subprocess.run([sys.executable, *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False,
                          env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_every_primitive_that_takes_a_place_looks_at_it() -> None:
    assert python("-c", PRIMITIVES) == "noticed"


@pytest.mark.skipif(Hosted().why_not() is not None, reason="the hosted machine does not run here")
def test_a_program_says_where(tmp_path: Path) -> None:
    (tmp_path / "beyond.py").write_text(PROGRAM)
    python(str(tmp_path / "beyond.py"), str(tmp_path / "checked.efi"), "checked")
    ran = small.run((tmp_path / "checked.efi").read_bytes(), tmp_path / "checked.img")
    line = next(n for n, text in enumerate(PROGRAM.splitlines(), 1) if "this line" in text)
    assert "IndexError: memory outside of an array is used" in ran.screen and f"(beyond.py:{line}, " in ran.screen
    assert ran.status != 0


def test_a_checked_program_has_a_name_of_its_own_in_the_cache() -> None:
    from barelm.aot import build
    assert build._cached("checked").name == f"{source_key()}-checked.efi" != build._cached().name
