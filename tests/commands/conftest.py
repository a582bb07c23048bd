"""The command line for tests: run in this process, with a cache and a folder of the test's own."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from barelm.cli import main
from barelm.machine.hosted import Hosted
from tests.built import seeded_cache
from tests.models import tiny_checkpoint, write_llama2c_v0, write_tokenizer_bin

hosted_only = pytest.mark.skipif(Hosted().why_not() is not None, reason=str(Hosted().why_not()))


@dataclass(frozen=True)
class Result:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


class Cli:
    """`barelm`, as a shell would run it in `folder`."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder, self.cache, self._capture = folder, folder.parent / "cache", capture

    def __call__(self, *arguments: str | Path) -> Result:
        """Run a command to its end; a traceback is never the answer."""
        self._capture.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = self._capture.readouterr()
        assert "Traceback" not in err
        assert isinstance(ended.value.code, int)
        return Result(ended.value.code, out, err)

    def refuses(self, *arguments: str | Path) -> str:
        """Run a command that has to fail as bad input does: code 1, two lines on stderr, nothing left behind."""
        before = self.files()
        result = self(*arguments)
        assert (result.code, result.out) == (1, ""), result
        assert result.err.startswith("barelm: ") and len(result.err.splitlines()) <= 3, result.err
        assert self.files() == before, "something was left behind"
        return result.err

    def files(self) -> list[str]:
        """What is in the folder, and what runs left in the cache."""
        runs = self.cache / "barelm" / "runs"
        parts = [path for path in self.cache.rglob("*") if path.name.endswith(".part")]
        return sorted(map(str, [*self.folder.rglob("*"), *(runs.glob("*") if runs.is_dir() else ()), *parts]))


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    """The command line in a fresh folder that holds tiny.bin and its tokenizer.bin."""
    cache = seeded_cache(tmp_path / "cache")
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("BARELM_MODELS", raising=False)
    monkeypatch.chdir(folder)
    checkpoint = tiny_checkpoint(5)
    write_llama2c_v0(folder / "tiny.bin", checkpoint)
    write_tokenizer_bin(folder / "tokenizer.bin", checkpoint.vocab)
    terminate = signal.getsignal(signal.SIGTERM)
    yield Cli(folder, capsys)
    signal.signal(signal.SIGTERM, terminate)


@pytest.fixture
def image(cli: Cli) -> Path:
    """An image a person would boot, that waits for nobody."""
    assert cli("image", "tiny.bin", "--tokens", "5", "-t", "0", "--prompt", "to", "--wait", "0").code == 0
    return cli.folder / "tiny.img"
