"""The program, built or taken from the cache: what was built from the same sources is never built twice."""

import hashlib
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Self

from barelm.aot.linking.link import link
from barelm.aot.pe import check_program
from barelm.child_python import child_command, child_environment
from barelm.errors import BarelmError
from barelm.host_files import cache_folder, replace_file, sources_digest

PARTS = ("story", "engine")
"""Compiled side by side, each in a process of its own."""

CHECKED = "checked"
"""What asks the compiler for a program that looks at every access of memory."""

_DIGESTS = "digests"
_COMPILER = "barelm.aot.object"
_ROOMS = ("aot", "contract", "dialect", "kernels", "metal")
_TOOLS = ("numba", "llvmlite")


def build_program(*, fresh: bool = False, checked: bool = False) -> Path:
    """The `.efi` in the cache, built first where it is not there (or `fresh` asks for it); one whose accesses of memory
    are `checked` looks whether each stays inside its array, and says where one does not.

    Raises BarelmError where the metal code or the tools are at fault.
    """
    how = (CHECKED,) if checked else ()
    cached = _cached(*how)
    if fresh or not _is_whole(cached):
        program = compile_and_link(*how)
        cache_folder(_DIGESTS)
        replace_file(_digest_of(cached), hashlib.sha256(program).hexdigest().encode())
        replace_file(cached, program)
    return cached


def is_built() -> bool:
    """Whether `build_program` would find the program in the cache."""
    return _is_whole(_cached())


def was_built_here(program: bytes) -> bool:
    """Whether a program is, byte for byte, one that this or an earlier barelm of this person has put into the cache."""
    return any(path.stat().st_size == len(program) and path.read_bytes() == program
               for path in _cached().parent.glob("*.efi"))


def _cached(*how: str) -> Path:
    return cache_folder("programs") / f"{'-'.join((source_key(), *how))}.efi"


def _digest_of(cached: Path) -> Path:
    return cached.parent.with_name(_DIGESTS) / f"{cached.stem}.sha256"


def _is_whole(cached: Path) -> bool:
    """Whether what is in the cache is what was written there: a full disk or lost power can leave a part, or zeros."""
    if not cached.is_file():
        return False
    program, noted = cached.read_bytes(), _digest_of(cached)
    if noted.is_file():
        return noted.read_bytes() == hashlib.sha256(program).hexdigest().encode()
    try:
        check_program(program)
    except BarelmError:
        return False
    return True


def compile_and_link(*how: str) -> bytes:
    """The program from its sources: the same sources and tools give the same bytes.  `how` may be CHECKED."""
    program = link(compile_objects(*how))
    check_program(program)
    return program


def compile_objects(*how: str) -> dict[str, bytes]:
    """Every object by its name.  Raises BarelmError with a compiler's words."""
    if _begun and not how:
        return _begun.pop().objects()
    with Compilers(*how) as compilers:
        return compilers.objects()


@contextmanager
def build_begun() -> Iterator[None]:
    """Compile what is not built beside whatever the body does first; `build_program` in it waits for the rest."""
    if is_built() or _begun:
        yield
        return
    with Compilers() as compilers:
        _begun.append(compilers)
        try:
            yield
        finally:
            _begun.clear()


class Compilers:
    """The compilers of all parts at work, each in a process of its own, until they are closed."""

    def __init__(self, *how: str) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="barelm-build-")
        # Names inside the compiler must not depend on the order of sets.
        environment = child_environment(PYTHONHASHSEED="0")
        self.children = [subprocess.Popen(child_command(_COMPILER, part, self.folder.name, *how), env=environment,
                                          text=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                          stderr=subprocess.PIPE) for part in PARTS]

    def objects(self) -> dict[str, bytes]:
        """Every object by its name, once all is done.  Raises BarelmError with a compiler's words."""
        for part, child in zip(PARTS, self.children):
            _, words = child.communicate()
            if child.returncode != 0:
                raise _refused(part, words)
        return {path.stem: path.read_bytes() for path in sorted(Path(self.folder.name).glob("*.obj"))}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self.children:
            child.kill()
            child.wait()
            if child.stderr:
                child.stderr.close()
        self.folder.cleanup()


_begun: list[Compilers] = []


def _refused(part: str, words: str) -> BarelmError:
    lines = [line for line in words.splitlines() if line.strip() and not line.startswith("During: ")]
    lines = lines or ["no reason given"]
    if len(lines) == 2:
        return BarelmError(lines[0], lines[1])
    return BarelmError(f"compiling the {part} failed: {lines[-1]}",
                       f"Run `{shlex.join(child_command(_COMPILER, part, '.'))}` to see all the compiler says.")


def tool_versions() -> dict[str, str]:
    """The versions of what builds the program."""
    return {tool: version(tool) for tool in _TOOLS}


def llvm_version() -> str:
    """That of the LLVM within llvmlite."""
    import llvmlite.binding

    return ".".join(map(str, llvmlite.binding.llvm_version_info))


def source_key() -> str:
    """A name for all that decides the program's bytes: the sources and the versions of the tools."""
    digest = hashlib.sha256(sources_digest(*_ROOMS))
    for tool, told in tool_versions().items():
        digest.update(f"{tool} {told}\n".encode())
    digest.update(f"python {sys.version_info.major}.{sys.version_info.minor}\n".encode())
    return digest.hexdigest()[:32]
