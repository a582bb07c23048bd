"""Models by name: from the user's folder, from the cache, from a network that is not there."""

from __future__ import annotations

import builtins
import hashlib
import io
import sys
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from barelm.checkpoint import hub
from barelm.checkpoint.hub import FILES, NAMES, resolve_model
from barelm.errors import BarelmError
from tests.models import tiny_checkpoint, write_llama2c_v0, write_tokenizer_bin


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no folder of models, and a network that refuses."""
    def refuse(*arguments: Any, **options: Any) -> Any:
        raise OSError("the network is down.\nTry again.")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("BARELM_MODELS", raising=False)
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(
        hf_hub_url=lambda *names: "/".join(names), get_hf_file_metadata=refuse, hf_hub_download=refuse))
    return tmp_path / "cache" / "barelm" / "downloads"


def serve(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A hub whose files hold their own names; returns the list of what is fetched."""
    fetched = []

    def download(repository: str, file: str, *, local_dir: Path, tqdm_class: Any) -> None:
        fetched.append(f"{repository}/{file}")
        (local_dir / file).parent.mkdir(exist_ok=True)
        (local_dir / file).write_text(file)
        for bar in (tqdm_class(total=10, desc="writing"), tqdm_class(total=10)):
            with bar:
                bar.update(4)
                bar.update(6)

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(
        hf_hub_url=lambda *names: "/".join(names), get_hf_file_metadata=lambda url, timeout: None,
        hf_hub_download=download))
    return fetched


def test_a_path_wins_and_brings_its_tokenizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint = tiny_checkpoint()
    write_llama2c_v0(Path("stories15M"), checkpoint)
    with pytest.raises(BarelmError, match="no tokenizer for stories15M"):
        resolve_model("stories15M")
    assert resolve_model("stories15M", Path("mine")) == (Path("stories15M"), Path("mine"))
    write_tokenizer_bin(Path("tokenizer.bin"), checkpoint.vocab)
    assert resolve_model("stories15M") == (Path("stories15M"), Path("tokenizer.bin"))


@pytest.mark.parametrize("model", ["stories15m", "", "no/such.bin", "a\0b", "word " * 200])
def test_an_unknown_name_lists_the_choices(model: str) -> None:
    with pytest.raises(BarelmError, match="no model of that name") as error:
        resolve_model(model)
    assert all(name in error.value.hint for name in NAMES)


def test_the_users_folder_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BARELM_MODELS", str(tmp_path))
    for name in ("stories260K.bin", "tok512.bin", "stories15M.bin", "tokenizer.bin"):
        (tmp_path / name).touch()
    assert resolve_model("stories260K") == (tmp_path / "stories260K.bin", tmp_path / "tok512.bin")
    assert resolve_model("stories15M") == (tmp_path / "stories15M.bin", tmp_path / "tokenizer.bin")
    assert resolve_model("stories15M", Path("mine")) == (tmp_path / "stories15M.bin", Path("mine"))


def test_a_model_is_fetched_once_with_progress(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = serve(monkeypatch)
    seen: list[tuple[int, int]] = []
    files = resolve_model("stories260K", None, lambda done, total: seen.append((done, total)))
    assert files == (cache / "stories260K/stories260K.bin", cache / "stories260K/tok512.bin")
    assert [file.read_text() for file in files if file] == ["stories260K/stories260K.bin", "stories260K/tok512.bin"]
    assert seen == [(4, 10), (10, 10), (10, 10), (10, 10)] * 2
    assert resolve_model("stories260K") == files
    assert fetched == ["karpathy/tinyllamas/stories260K/stories260K.bin", "karpathy/tinyllamas/stories260K/tok512.bin"]


def test_the_large_tokenizer_is_fetched_and_checked(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch)
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: io.BytesIO(b"a page that says no"))
    with pytest.raises(BarelmError, match="its SHA-256 differs"):
        resolve_model("stories15M")
    assert not (cache / "tokenizer.bin").exists()
    monkeypatch.setattr(hub, "TOKENIZER_SHA256", hashlib.sha256(b"a page that says no").hexdigest())
    assert resolve_model("stories15M") == (cache / "stories15M.bin", cache / "tokenizer.bin")
    assert (cache / "tokenizer.bin").read_bytes() == b"a page that says no"


@pytest.mark.parametrize("name", FILES)
def test_without_a_network_one_sentence_says_so(name: str) -> None:
    with pytest.raises(BarelmError, match=f"cannot fetch .*{name}.bin from .*: the network is down$") as error:
        resolve_model(name)
    assert f"put {name}.bin into a folder and set BARELM_MODELS" in error.value.hint


def test_without_a_network_the_tokenizer_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = urllib.request.urlopen
    serve(monkeypatch)
    monkeypatch.setattr(urllib.request, "urlopen", refusal)
    with pytest.raises(BarelmError, match="cannot fetch tokenizer.bin from github.com/karpathy/llama2.c"):
        resolve_model("stories42M")


def test_without_the_package_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_hub(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "huggingface_hub":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without_hub)
    with pytest.raises(BarelmError, match="huggingface_hub is not installed") as error:
        resolve_model("stories260K")
    assert "barelm[hub]" in error.value.hint


def test_a_cache_that_cannot_be_made_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(BarelmError, match="cannot create"):
        resolve_model("stories260K")
