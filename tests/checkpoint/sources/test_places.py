"""Models that are on this computer already: where other programs keep them, and what is no model after all."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barelm.checkpoint.sources.places import OLLAMA_MODEL, Found, downloads, files_at_hand, find_file, model_folders

REPOSITORY, FILE = "owner/Model-GGUF", "model-Q4_K_M.gguf"
CONTENT = b"GGUF and so on"
COMMIT = "0" * 40


def put(path: Path, content: bytes = CONTENT) -> Path:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def ollama_keeps(root: Path, name: str, **changed: Any) -> Path:
    """What Ollama writes when it fetches a model; the path of the weights."""
    digest = hashlib.sha256(CONTENT).hexdigest()
    layer = {"mediaType": OLLAMA_MODEL, "digest": f"sha256:{digest}", "size": len(CONTENT), **changed}
    manifest = {"schemaVersion": 2, "layers": [{"mediaType": "application/vnd.ollama.image.license",
                                                "digest": "sha256:" + "f" * 64, "size": 1}, layer]}
    put(root / "manifests" / name, json.dumps(manifest).encode())
    return put(root / "blobs" / f"sha256-{digest}")


def test_nothing_is_found_in_an_empty_home() -> None:
    assert find_file(REPOSITORY, FILE, "model:1b") is None and files_at_hand(REPOSITORY) == []


def test_every_place_is_looked_into_in_order(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last one first: each that is added then wins over those below it."""
    cache = home / ".cache"
    places = [
        ("Ollama", ollama_keeps(home / ".ollama/models", "registry.ollama.ai/library/model/1b")),
        ("LM Studio", put(cache / "lm-studio/models" / "else" / "Model" / FILE)),
        ("LM Studio", put(home / ".lmstudio/models" / REPOSITORY / FILE)),
        ("llama.cpp", put(cache / "llama.cpp" / FILE)),
        ("llama.cpp", put(cache / "llama.cpp" / f"owner_Model-GGUF_{FILE}")),
        ("Hugging Face", put(cache / "huggingface/hub/models--owner--Model-GGUF/snapshots" / COMMIT / FILE)),
        ("fetched", put(downloads() / REPOSITORY / FILE)),
        ("BARELM_MODELS", put(home / "second" / FILE)), ("BARELM_MODELS", put(home / "first" / FILE))]
    monkeypatch.setenv("BARELM_MODELS", os.pathsep.join(map(str, [home / "first", home / "second", ""])))
    assert model_folders() == [home / "first", home / "second"]
    for where, path in reversed(places):
        assert find_file(REPOSITORY, FILE, "model:1b") == Found(path, where)
        path.unlink()
    assert find_file(REPOSITORY, FILE, "model:1b") is None


@pytest.mark.parametrize(("variable", "below"), [
    ("HF_HUB_CACHE", f"models--owner--Model-GGUF/snapshots/{COMMIT}"),
    ("HF_HOME", f"hub/models--owner--Model-GGUF/snapshots/{COMMIT}"), ("LLAMA_CACHE", ""),
    ("XDG_CACHE_HOME", f"huggingface/hub/models--owner--Model-GGUF/snapshots/{COMMIT}")])
def test_variables_move_the_caches(home: Path, variable: str, below: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(home / "moved" / below / FILE)
    assert find_file(REPOSITORY, FILE) is None
    monkeypatch.setenv(variable, str(home / "moved"))
    assert (found := find_file(REPOSITORY, FILE)) and found.path == path


def test_the_main_revision_comes_before_others(home: Path) -> None:
    hub = home / ".cache/huggingface/hub/models--owner--Model-GGUF"
    old, new = (put(hub / "snapshots" / commit / "sub" / FILE) for commit in ("a" * 40, "b" * 40))
    assert (found := find_file(REPOSITORY, f"sub/{FILE}")) and found.path == old
    put(hub / "refs/main", b"b" * 40 + b"\n")
    assert (found := find_file(REPOSITORY, f"sub/{FILE}")) and found.path == new
    assert files_at_hand(REPOSITORY) == [f"sub/{FILE}"]


def test_ollama_is_asked_by_its_names_and_by_the_hubs(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_MODELS", str(home / "moved"))
    blob = ollama_keeps(home / "moved", "hf.co/owner/Model-GGUF/Q4_K_M")
    assert find_file(REPOSITORY, FILE) == Found(blob, "Ollama")
    assert find_file("owner/Other-GGUF", FILE, "model:1b") is None


@pytest.mark.parametrize("changed", [
    {"digest": "sha256:../../../../secret"}, {"digest": "sha256:" + "A" * 64}, {"digest": "sha256:" + "a" * 64},
    {"digest": 7}, {"digest": "sha256-" + "a" * 64}, {"size": 5}, {"size": None}, {"mediaType": "application/json"}])
def test_of_a_manifest_only_a_sound_digest_counts(home: Path, changed: dict[str, Any]) -> None:
    """No name in it is a path; what does not have the size it should have is not taken."""
    put(home / "secret")
    ollama_keeps(home / ".ollama/models", "registry.ollama.ai/library/model/1b", **changed)
    assert find_file(REPOSITORY, FILE, "model:1b") is None


@given(content=st.binary(max_size=40) | st.sampled_from([
    b"{}", b"[]", b"null", b'{"layers": 3}', b'{"layers": [3]}', b'{"layers": [{}]}', b'{"layers": [[]]}', b"\xff",
    b'{"layers": null}', b'{"layers": {"a": 1}}', b'{"layers": [{"digest": null, "mediaType": 1}]}', b"[" * 5000]))
def test_any_manifest_is_survived(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        root = tmp_path_factory.mktemp("ollama")
        monkeypatch.setenv("OLLAMA_MODELS", str(root))
        put(root / "manifests/registry.ollama.ai/library/model/1b", content)
        assert find_file(REPOSITORY, FILE, "model:1b") is None


@pytest.mark.parametrize("content", [b"", b"GGU", b"<!DOCTYPE html>"])
def test_what_does_not_begin_like_a_model_is_passed_over(home: Path, content: bytes) -> None:
    put(home / ".lmstudio/models" / REPOSITORY / FILE, content)
    assert find_file(REPOSITORY, FILE) is None and files_at_hand(REPOSITORY) == []


def test_a_file_of_another_size_is_passed_over(home: Path) -> None:
    path = put(home / ".lmstudio/models" / REPOSITORY / FILE)
    assert find_file(REPOSITORY, FILE, n_bytes=len(CONTENT) + 1) is None
    assert (found := find_file(REPOSITORY, FILE, n_bytes=len(CONTENT))) and found.path == path


def test_a_split_model_is_there_when_all_its_parts_are() -> None:
    first, second = (f"m-0000{number}-of-00002.gguf" for number in (1, 2))
    path = put(downloads() / REPOSITORY / first)
    assert find_file(REPOSITORY, first) is None
    put(downloads() / REPOSITORY / second)
    assert find_file(REPOSITORY, first) == Found(path, "fetched")


def test_a_name_with_the_letters_of_a_pattern_is_only_itself(home: Path) -> None:
    put(home / ".lmstudio/models/o/r/mXmodel.gguf")
    assert find_file(REPOSITORY, "m*model.gguf") is None and find_file(REPOSITORY, "m[X]model.gguf") is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_passed_over(home: Path) -> None:
    (home / ".lmstudio/models/o").mkdir(parents=True)
    (home / ".lmstudio").chmod(0)
    try:
        assert find_file(REPOSITORY, FILE) is None
    finally:
        (home / ".lmstudio").chmod(0o700)
