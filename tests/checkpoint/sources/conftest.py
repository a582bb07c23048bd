"""A home with nothing in it, and a hub that is not there unless a test starts one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub_server import Hub, serving

NOWHERE = "http://127.0.0.1:9"  # the port that discards: nobody listens
VARIABLES = ("BARELM_MODELS", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN", "LLAMA_CACHE", "OLLAMA_MODELS",
             "XDG_CACHE_HOME")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder; nothing of this machine's is found, nothing is asked of the network."""
    folder = tmp_path / "home"
    folder.mkdir()
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("HF_ENDPOINT", NOWHERE)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    return folder


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub, and the package that asks it."""
    pytest.importorskip("huggingface_hub")
    with serving() as served:
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        yield served
