"""`barelm models` and `barelm pull`, with a hub of our own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from barelm.checkpoint.sources.catalogue import CATALOGUE
from barelm.checkpoint.sources.places import OLLAMA_MODEL
from tests.commands.conftest import Cli
from tests.gguf_files import write_small_gguf
from tests.hub_server import Hub, serving

GGUF = b"GGUF and so on"
ROW = CATALOGUE["qwen2.5-0.5b"]


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with one model, and a home with nothing in it."""
    pytest.importorskip("huggingface_hub")
    for variable in ("HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN", "LLAMA_CACHE", "OLLAMA_MODELS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with serving() as served:
        served.files = {ROW.repository: {ROW.file: GGUF}, "o/r": {"m-Q8_0.gguf": GGUF}}
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        yield served


def test_the_table_has_a_line_for_each_and_says_where_it_is(cli: Cli) -> None:
    before = cli("models")
    assert before.code == 0 and before.err == ""
    lines = before.out.splitlines()
    assert [line.split()[0] for line in lines] == ["NAME", *CATALOGUE] and lines[1].split()[1:3] == ["llama", "98"]
    pulled = cli("pull", ROW.name)
    assert pulled.code == 0 and pulled.err == "" and Path(pulled.out.strip()).read_bytes() == GGUF
    assert cli("pull", "hf:o/r").code == 0
    after = cli("models").out.splitlines()
    changed = [line.split() for line in after if line not in lines]
    assert [(words[0], words[-1]) for words in changed] == [(ROW.name, "fetched"), ("hf:o/r:m-Q8_0.gguf", "fetched")]


def test_the_same_for_programs(cli: Cli) -> None:
    path = cli("pull", "hf:o/r:Q8_0").out.strip()
    rows = {row["name"]: row for row in json.loads(cli("models", "--json").out)}
    assert [*rows] == [*CATALOGUE, "hf:o/r:m-Q8_0.gguf"] and rows["hf:o/r:m-Q8_0.gguf"]["path"] == path
    assert rows[ROW.name]["repository"] == ROW.repository and rows[ROW.name]["where"] is None
    assert all(row["memory_mb"] > row["megabytes"] for name, row in rows.items() if name in CATALOGUE)


def test_pull_says_what_is_wrong(cli: Cli, hub: Hub) -> None:
    assert "Did you mean qwen2.5-0.5b" in cli.refuses("pull", "qwen2.5-05b")
    assert "names no repository" in cli.refuses("pull", "hf:../x")
    hub.gated = 403
    assert "accepted its licence" in cli.refuses("pull", "hf:o/r")
    hub.gated, hub.said = 0, {"m-Q8_0.gguf": GGUF[::-1]}
    assert "not the hub's" in cli.refuses("pull", "hf:o/r")


def test_a_blob_is_packed_under_the_name_of_its_model(cli: Cli, tmp_path: Path) -> None:
    """Ollama's files are named by their digests."""
    content = write_small_gguf(tmp_path / "small.gguf").read_bytes()
    digest, models = hashlib.sha256(content).hexdigest(), tmp_path / "home/.ollama/models"
    manifest = models / "manifests/registry.ollama.ai/library" / ROW.ollama.replace(":", "/")
    layer = {"mediaType": OLLAMA_MODEL, "digest": f"sha256:{digest}", "size": len(content)}
    for path, text in ((manifest, json.dumps({"layers": [layer]}).encode()),
                       (models / f"blobs/sha256-{digest}", content)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
    rows = {row["name"]: row["where"] for row in json.loads(cli("models", "--json").out)}
    assert rows[ROW.name] == "Ollama"
    assert cli("pack", ROW.name).err.startswith(f"{ROW.name}.blm: ") and (cli.folder / f"{ROW.name}.blm").is_file()


def test_ctrl_c_is_code_130_and_the_next_pull_goes_on(cli: Cli, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("barelm.checkpoint.sources.hub._check_digest", interrupted)
        assert cli("pull", "hf:o/r").code == 130
    assert cli("models").out.count("fetched") == 0
    assert cli("pull", "hf:o/r").code == 0 and len(hub.requests) == 1


def test_a_misspelt_name_is_no_prompt(cli: Cli) -> None:
    assert "Did you mean llama-3.2-1b" in cli.refuses("run", "lama-3.2-1b", "--machine", "hosted")
