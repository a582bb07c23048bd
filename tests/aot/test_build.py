"""The same sources give the same bytes, and nothing is compiled twice."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from barelm.aot import build
from barelm.aot.linking.link import link
from barelm.child_python import child_command
from barelm.errors import BarelmError
from tests.built import program, seeded_cache

REPOSITORY = Path(__file__).parents[2]

SMALL = r"""
from barelm.dialect.memory import text
from barelm.dialect.processor import N_LEVELS, cpu_level
from barelm.dialect.rooms import metal
from barelm.metal.uefi.boot_services import open_firmware
from barelm.metal.uefi.text_output import output_string
from tests.aot.small import build
import hashlib

@metal
def main(image: int, table: int) -> int:
    output_string(open_firmware(image, table), text("\r\n"))
    return cpu_level(N_LEVELS)

print(hashlib.sha256(build(main)).hexdigest())
"""
WHOLE = "from barelm.aot.build import *; import hashlib; print(hashlib.sha256(compile_and_link()).hexdigest())"


def said_by(code: str, hash_seed: int, folder: Path = REPOSITORY, zone: str = "UTC") -> str:
    """What a fresh Python says that orders its sets by `hash_seed`, of the package in a folder."""
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": str(folder), "TZ": zone}
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=folder, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_small_program_is_the_same_under_any_hash_seed() -> None:
    assert said_by(SMALL, 1) == said_by(SMALL, 2)


def test_the_whole_program_is_the_same_from_another_folder_and_time_zone(tmp_path: Path) -> None:
    key, expected = build.source_key(), hashlib.sha256(program().read_bytes()).hexdigest()
    copy = tmp_path / "a folder" / "deeper"
    shutil.copytree(REPOSITORY / "barelm", copy / "barelm", ignore=shutil.ignore_patterns("__pycache__"))
    said = said_by(WHOLE, 12345, copy, "Pacific/Kiritimati")
    if build.source_key() != key or program().stem != key:
        pytest.skip("somebody changed the sources meanwhile")
    assert said == expected


def test_what_is_cached_starts_no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(seeded_cache(tmp_path)))

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a compiler was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    assert build.is_built()
    assert build.build_program().read_bytes() == program().read_bytes()


def test_fresh_compiles_though_it_is_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(seeded_cache(tmp_path)))
    monkeypatch.setattr(build, "compile_and_link", lambda: b"anew")
    assert build.build_program(fresh=True).read_bytes() == b"anew"
    assert [path.suffix for path in (tmp_path / "barelm" / "programs").iterdir()] == [".efi"]


@pytest.mark.parametrize("damage", [lambda content: content[:100_000], lambda content: content[:-1],
                                    lambda content: content[:5000] + b"\0" + content[5001:],
                                    lambda content: content[:200_000].ljust(len(content), b"\0")])
def test_a_damaged_program_in_the_cache_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                      damage: Callable[[bytes], bytes]) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    good = bytes(range(1, 256)) * 1500
    monkeypatch.setattr(build, "compile_and_link", lambda: good)
    cached = build.build_program()
    assert build.is_built()
    cached.write_bytes(damage(good))
    assert not build.is_built()
    assert build.build_program().read_bytes() == good and build.is_built()


@pytest.mark.parametrize("n_bytes", [0, 2, 1000, 100_000])
def test_a_cut_program_is_noticed_though_nothing_was_noted_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                                 n_bytes: int) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(seeded_cache(tmp_path)))
    cached = build.build_program()
    cached.write_bytes(cached.read_bytes()[:n_bytes])
    assert not build.is_built()


def test_what_was_built_here_is_known_by_its_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(build, "compile_and_link", lambda: b"MZ ours")
    assert not build.was_built_here(b"MZ ours")
    build.build_program()
    assert build.was_built_here(b"MZ ours")
    assert not build.was_built_here(b"MZ ourz") and not build.was_built_here(b"")


@pytest.mark.parametrize("name", ["metal/main.py", "kernels/decoder/blocks.py", "dialect/lowering/memory.py",
                                  "aot/linking/link.py", "contract/layout.py"])
def test_key_changes_with_every_source_that_matters(sources: Path, name: str) -> None:
    before = build.source_key()
    assert build.source_key() == before
    with open(sources / name, "a") as file:
        file.write("\n")
    assert build.source_key() != before


def test_key_does_not_change_with_what_does_not_matter(sources: Path) -> None:
    before = build.source_key()
    (sources / "cli.py").write_text("")
    (sources / "metal" / "notes.txt").write_text("x")
    assert build.source_key() == before


def test_key_changes_with_a_new_or_renamed_file(sources: Path) -> None:
    before = build.source_key()
    (sources / "metal" / "main.py").rename(sources / "metal" / "watch.py")
    assert build.source_key() != before


@pytest.mark.parametrize("words, message, hint", [
    ("main.py:3 allocates\nTake the arena.\n", "main.py:3 allocates", "Take the arena."),
    ("Traceback\n  x\nKeyError: 'x'\n", "compiling the story failed: KeyError: 'x'", "-P -m barelm.aot.object"),
    ("", "compiling the story failed: no reason given", "barelm.aot.object story")])
def test_a_compilers_last_words_are_the_message(monkeypatch: pytest.MonkeyPatch, words: str, message: str,
                                               hint: str) -> None:
    started = []

    def start(command: list[str], **options: Any) -> subprocess.Popen[str]:
        started.append(command)
        return real([sys.executable, "-c", child], **options)

    child = f"import sys; sys.stderr.write({words!r}); sys.exit(1)"
    real = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", start)
    with pytest.raises(BarelmError) as refused:
        build.compile_objects()
    assert refused.value.message == message
    assert re.search(hint, refused.value.hint)
    assert all(command[:-2] == child_command("barelm.aot.object") for command in started)


def test_a_linkers_words_are_the_message() -> None:
    with pytest.raises(BarelmError, match="linking the program failed: .*nonsense"):
        link({"nonsense": b"no object"})


class Compiling:
    """A stand-in for the compilers, that notes how many there are and how they end."""

    made: list[Compiling] = []

    def __init__(self, *how: str) -> None:
        self.how, self.ends = how, 0
        self.made.append(self)

    def objects(self) -> dict[str, bytes]:
        """None that could be linked: that is replaced, too."""
        assert not self.ends
        return {"story": b"MZ begun"}

    def __enter__(self) -> Compiling:
        return self

    def __exit__(self, *_: object) -> None:
        self.ends += 1


@pytest.fixture
def compiling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Compiling]:
    """The compilers that were started; nothing is in the cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(Compiling, "made", [])
    monkeypatch.setattr(build, "Compilers", Compiling)
    monkeypatch.setattr(build, "link", lambda objects: objects["story"])
    monkeypatch.setattr(build, "check_program", lambda program: None)
    return Compiling.made


def test_a_build_begun_early_is_the_one_that_is_waited_for(compiling: list[Compiling]) -> None:
    with build.build_begun():
        assert len(compiling) == 1
        assert build.build_program().read_bytes() == b"MZ begun"
        build.build_program(fresh=True)
    assert [(one.how, one.ends) for one in compiling] == [((), 1), ((), 1)]
    with build.build_begun():
        assert len(compiling) == 2  # it is built


def test_a_checked_program_is_not_the_one_begun(compiling: list[Compiling]) -> None:
    with build.build_begun():
        build.build_program(checked=True)
    assert [(one.how, one.ends) for one in compiling] == [((), 1), (("checked",), 1)]


def test_compilers_end_with_what_needed_the_program(compiling: list[Compiling]) -> None:
    with pytest.raises(BarelmError), build.build_begun():
        raise BarelmError("there is no such model", "")
    assert [one.ends for one in compiling] == [1]
    with build.build_begun():
        assert len(compiling) == 2


def test_compilers_that_are_closed_are_gone() -> None:
    with build.Compilers() as compilers:
        assert Path(compilers.folder.name).is_dir() and len(compilers.children) == len(build.PARTS)
    assert all(child.returncode for child in compilers.children)
    assert not Path(compilers.folder.name).exists()
