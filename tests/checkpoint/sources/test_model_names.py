"""What a person calls a model: a path, a name, a repository; found here, or fetched from a hub of our own."""

from __future__ import annotations

import hashlib
import io
import urllib.request
from pathlib import Path

import pytest

from barelm.checkpoint.architectures import FAMILIES
from barelm.checkpoint.sources import model_names
from barelm.checkpoint.sources.catalogue import CATALOGUE, ROWS, KnownModel
from barelm.checkpoint.sources.model_names import (
    fetched_by_repository,
    find_known,
    is_model,
    near_names,
    resolve_model,
)
from barelm.checkpoint.sources.places import downloads
from barelm.errors import BarelmError
from tests.hub_server import Hub
from tests.models import tiny_checkpoint, write_llama2c_v0, write_tokenizer_bin

GGUF = b"GGUF" + bytes(range(256))
ROW = CATALOGUE["llama-3.2-1b"]
STORIES = {"stories260K/stories260K.bin": b"a checkpoint", "stories260K/tok512.bin": b"a tokenizer"}


@pytest.fixture(autouse=True)
def no_web(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not the hub refuses."""
    def refuse(url: str, timeout: int) -> None:
        raise OSError("the network is down.\nTry again.")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


def test_a_path_wins_and_brings_its_tokenizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint = tiny_checkpoint()
    write_llama2c_v0(Path("stories15M"), checkpoint)
    with pytest.raises(BarelmError, match="no tokenizer for stories15M"):
        resolve_model("stories15M")
    assert resolve_model("stories15M", Path("mine")) == (Path("stories15M"), Path("mine"))
    write_tokenizer_bin(Path("tokenizer.bin"), checkpoint.vocab)
    assert resolve_model("stories15M") == (Path("stories15M"), Path("tokenizer.bin"))


def test_a_folder_with_the_name_of_a_model_is_not_the_model(hub: Hub, tmp_path: Path,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(ROW.name).mkdir()
    hub.files = {ROW.repository: {ROW.file: GGUF}}
    assert resolve_model(ROW.name)[0].read_bytes() == GGUF


@pytest.mark.parametrize("model", ["", "no/such.bin", "a\0b", "word " * 200])
def test_an_unknown_name_says_where_names_are(model: str) -> None:
    with pytest.raises(BarelmError, match="no model of that name") as error:
        resolve_model(model)
    assert "`barelm models`" in error.value.hint


@pytest.mark.parametrize(("model", "meant"), [
    ("stories15m", "stories15M"), ("lama-3.2-1b", "llama-3.2-1b"), ("Llama3.2:1b", "llama-3.2-1b"),
    ("qwen2.5-05b", "qwen2.5-0.5b"), ("smollm2-360", "smollm2-360m")])
def test_a_misspelt_name_is_told_the_right_one(model: str, meant: str) -> None:
    assert near_names(model)[0] == meant and is_model(model)
    with pytest.raises(BarelmError, match="no model of that name") as error:
        resolve_model(model)
    assert f"Did you mean {meant}" in error.value.hint


@pytest.mark.parametrize(("word", "named"), [
    ("smollm2", True), ("hf:a/b", True), ("hf:a", True), ("Hello", False), ("stories", False),
    ("hf: this/that?", False), ("What are llama-3.2-1b and smollm2?", False), ("2+2", False), ("x.gguf", True),
    ("a/b", True), ("say x.gguf", False), ("/", True), *((row.name, True) for row in ROWS)])
def test_names_are_told_from_prompts(word: str, named: bool) -> None:
    assert is_model(word) == named


@pytest.mark.parametrize("row", [row for row in ROWS if row.name not in CATALOGUE], ids=lambda row: row.name)
def test_a_name_of_a_family_that_is_not_run_says_so(row: KnownModel) -> None:
    with pytest.raises(BarelmError, match=f"{row.name} is a model of the architecture '{row.architecture}'"):
        resolve_model(row.name)


def test_the_users_folder_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BARELM_MODELS", str(tmp_path))
    for name in ("stories260K.bin", "tok512.bin", "stories15M.bin", "tokenizer.bin"):
        (tmp_path / name).touch()
    assert resolve_model("stories260K") == (tmp_path / "stories260K.bin", tmp_path / "tok512.bin")
    assert resolve_model("stories15M") == (tmp_path / "stories15M.bin", tmp_path / "tokenizer.bin")
    assert resolve_model("stories15M", Path("mine")) == (tmp_path / "stories15M.bin", Path("mine"))


def test_any_file_of_the_users_folders_is_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BARELM_MODELS", f"{tmp_path / 'absent'}:{tmp_path}")
    (tmp_path / "mine-q4_k_m.gguf").write_bytes(GGUF)
    for model in ("mine-q4_k_m.gguf", "mine-q4_k_m"):
        assert resolve_model(model) == (tmp_path / "mine-q4_k_m.gguf", None) and is_model(model)
    (tmp_path / "sub").mkdir()
    for model in ("../mine-q4_k_m.gguf", "sub", "mine"):
        with pytest.raises(BarelmError, match="no model of that name"):
            resolve_model(model)


def test_a_model_is_fetched_once_with_progress(hub: Hub) -> None:
    hub.files = {"karpathy/tinyllamas": STORIES}
    seen: list[tuple[int, int]] = []
    files = resolve_model("stories260K", None, lambda done, total: seen.append((done, total)))
    assert files == tuple(downloads() / "karpathy/tinyllamas" / name for name in STORIES)
    assert [file.read_bytes() for file in files if file] == list(STORIES.values())
    assert seen[0] == (0, 12) and (12, 12) in seen and seen[-1] == (11, 11)
    assert resolve_model("stories260K") == files and len(hub.requests) == 2


def test_a_gguf_model_is_fetched_under_the_name_it_is_looked_for(hub: Hub) -> None:
    """Whatever the hub makes of its letters by now."""
    hub.files = {ROW.repository: {ROW.file.upper(): GGUF, "README.md": b""}}
    assert find_known(ROW) is None
    path, tokenizer = resolve_model(ROW.name)
    assert tokenizer is None and path == downloads() / ROW.repository / ROW.file and path.read_bytes() == GGUF
    assert (found := find_known(ROW)) and (found.path, found.where) == (path, "fetched")
    assert resolve_model(ROW.name) == (path, None) and len(hub.requests) == 1


def test_a_file_the_repository_has_no_longer_is_said(hub: Hub) -> None:
    hub.files = {ROW.repository: {"Llama-3.2-1B-Instruct-Q4_K_L.gguf": GGUF}}
    with pytest.raises(BarelmError, match=f"has no file {ROW.file}") as error:
        resolve_model(ROW.name)
    assert "Llama-3.2-1B-Instruct-Q4_K_L.gguf" in error.value.hint


def test_any_repository_can_be_named(hub: Hub) -> None:
    """Its best file, a file, an encoding; what is here is not fetched again, and needs no hub."""
    hub.files = {"o/r-GGUF": {"m-Q8_0.gguf": GGUF * 2, "m-Q4_K_M.gguf": GGUF, "README.md": b""}}
    best, folder = resolve_model("hf:o/r-GGUF")[0], downloads() / "o/r-GGUF"
    assert best == folder / "m-Q4_K_M.gguf" and best.read_bytes() == GGUF
    assert resolve_model("hf:o/r-GGUF:q8_0")[0] == folder / "m-Q8_0.gguf"
    hub.status = 500
    assert resolve_model("hf:o/r-GGUF")[0] == best
    assert resolve_model("hf:o/r-GGUF:m-Q8_0.gguf", Path("mine")) == (folder / "m-Q8_0.gguf", Path("mine"))
    assert fetched_by_repository() == [("hf:o/r-GGUF:m-Q4_K_M.gguf", best), ("hf:o/r-GGUF:m-Q8_0.gguf",
                                                                             folder / "m-Q8_0.gguf")]
    with pytest.raises(BarelmError, match="status 500"):
        resolve_model("hf:o/r-GGUF:Q6_K")


def test_all_parts_of_a_split_model_are_fetched(hub: Hub) -> None:
    parts = {f"Q4_K_M/m-Q4_K_M-{number:05}-of-00003.gguf": GGUF[:100 * number] for number in (1, 2, 3)}
    hub.files, seen = {"o/r": parts}, list[tuple[int, int]]()
    path, _ = resolve_model("hf:o/r", None, lambda done, total: seen.append((done, total)))
    total = sum(map(len, parts.values()))
    assert path == downloads() / "o/r" / next(iter(parts)) and seen == sorted(seen) and seen[-1] == (total, total)
    assert [(downloads() / "o/r" / name).read_bytes() for name in parts] == list(parts.values())
    assert resolve_model("hf:o/r") == (path, None) and len(hub.requests) == 3
    assert [name for name, _ in fetched_by_repository()] == [f"hf:o/r:{next(iter(parts))}"]


def test_what_cannot_be_run_is_not_fetched(hub: Hub) -> None:
    hub.files, hub.architecture = {"o/r": {"m-Q4_K_M.gguf": GGUF}}, "mamba"
    assert "mamba" not in FAMILIES
    with pytest.raises(BarelmError, match="o/r is a model of the architecture 'mamba'"):
        resolve_model("hf:o/r")
    assert hub.requests == []
    hub.architecture = "clip"
    assert resolve_model("hf:o/r")[0].read_bytes() == GGUF


def test_names_of_a_repository_that_would_leave_the_folder_are_no_choice(hub: Hub) -> None:
    hub.files = {"o/r": {"../../x-Q4_K_M.gguf": GGUF, "/etc/y-Q4_K_M.gguf": GGUF}}
    with pytest.raises(BarelmError, match="has no GGUF model"):
        resolve_model("hf:o/r")
    assert hub.requests == []


def test_the_large_tokenizer_is_fetched_and_checked(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.files = {"karpathy/tinyllamas": {"stories15M.bin": b"a checkpoint"}}
    folder = downloads() / "karpathy/tinyllamas"
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: io.BytesIO(b"a page that says no"))
    with pytest.raises(BarelmError, match="its SHA-256 differs"):
        resolve_model("stories15M")
    assert not (folder / "tokenizer.bin").exists()
    monkeypatch.setattr(model_names, "TOKENIZER_SHA256", hashlib.sha256(b"a page that says no").hexdigest())
    assert resolve_model("stories15M") == (folder / "stories15M.bin", folder / "tokenizer.bin")
    assert (folder / "tokenizer.bin").read_bytes() == b"a page that says no"


def test_without_a_network_the_tokenizer_says_so(hub: Hub) -> None:
    hub.files = {"karpathy/tinyllamas": {"stories42M.bin": b"a checkpoint"}}
    with pytest.raises(BarelmError, match="tokenizer.bin from github.com/karpathy/llama2.c: the network is down$"):
        resolve_model("stories42M")


@pytest.mark.parametrize("name", ["stories260K", "llama-3.2-1b", "hf:o/r"])
def test_without_a_network_one_sentence_says_so(name: str) -> None:
    pytest.importorskip("huggingface_hub")
    with pytest.raises(BarelmError, match="cannot fetch .* from 127.0.0.1:9: ") as error:
        resolve_model(name)
    assert "Is there a network?" in error.value.hint


def test_a_cache_that_cannot_be_made_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(BarelmError, match="cannot create"):
        resolve_model("stories260K")
