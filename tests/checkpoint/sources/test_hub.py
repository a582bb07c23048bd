"""Downloads from a hub of our own that breaks off, lies, refuses and vanishes."""

from __future__ import annotations

import builtins
import fcntl
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barelm.checkpoint.sources.hub import fetch, look_up
from barelm.errors import BarelmError
from barelm.host_files import no_progress
from tests.hub_server import COMMIT, Hub, serving

CONTENT = bytes(range(256)) * 40
NAME = "owner/Model-GGUF"


@pytest.fixture(autouse=True)
def one_model(request: pytest.FixtureRequest) -> None:
    """The hub, where a test has one, has one repository with one file."""
    if "hub" in request.fixturenames:
        request.getfixturevalue("hub").files = {NAME: {"model.gguf": CONTENT}}


def get(folder: Path, progress: Any = no_progress) -> bytes:
    """Download the model into a folder; what is there then."""
    repository = look_up(NAME)
    fetch(repository, repository.file("model.gguf"), folder / "model.gguf", progress)
    return (folder / "model.gguf").read_bytes()


def parts(folder: Path) -> list[Path]:
    """What a download left unfinished."""
    return list(folder.glob("**/.*.part"))


def test_a_repository_is_looked_up(hub: Hub) -> None:
    hub.architecture = "llama"
    found = look_up(NAME)
    assert (found.commit, found.architecture, list(found.files)) == (COMMIT, "llama", ["model.gguf"])
    assert found.file("MODEL.GGUF") == found.files["model.gguf"] and found.files["model.gguf"].n_bytes == len(CONTENT)
    with pytest.raises(BarelmError, match="has no file modell.gguf") as error:
        found.file("modell.gguf")
    assert error.value.hint == "Did you mean model.gguf?"


def test_a_file_comes_whole_with_progress(hub: Hub, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    assert get(tmp_path / "new", lambda *told: seen.append(told)) == CONTENT
    assert hub.requests == [("model.gguf", None)] and parts(tmp_path) == []
    assert seen[0] == (0, len(CONTENT)) and seen[-1] == (len(CONTENT),) * 2 and seen == sorted(seen)


def test_a_connection_that_breaks_is_taken_up_where_it_stopped(hub: Hub, tmp_path: Path) -> None:
    hub.cuts = [1000, 1]
    assert get(tmp_path) == CONTENT
    assert hub.requests == [("model.gguf", None), ("model.gguf", "bytes=1000-"), ("model.gguf", "bytes=1001-")]


def test_what_has_come_is_kept_for_the_next_attempt(hub: Hub, tmp_path: Path) -> None:
    hub.cuts = [3000, 0]
    with pytest.raises(BarelmError) as error:
        get(tmp_path)
    assert "try again" in error.value.hint
    assert [part.read_bytes() for part in parts(tmp_path)] == [CONTENT[:3000]]
    assert not (tmp_path / "model.gguf").exists()
    hub.requests.clear()
    assert get(tmp_path) == CONTENT and hub.requests == [("model.gguf", "bytes=3000-")] and parts(tmp_path) == []


def test_an_interruption_keeps_what_has_come(hub: Hub, tmp_path: Path) -> None:
    """Ctrl-C in the middle of it."""
    def interrupt(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(tmp_path, interrupt)
    assert not (tmp_path / "model.gguf").exists()
    assert [CONTENT.startswith(part.read_bytes()) and part.stat().st_size > 0 for part in parts(tmp_path)] == [True]
    assert get(tmp_path) == CONTENT


def test_a_server_that_knows_no_ranges_sends_all_again(hub: Hub, tmp_path: Path) -> None:
    hub.cuts, hub.ranges = [2000], False
    assert get(tmp_path) == CONTENT and len(hub.requests) == 2


def test_a_file_that_has_changed_is_begun_anew(hub: Hub, tmp_path: Path) -> None:
    hub.cuts = [3000, 0]
    with pytest.raises(BarelmError):
        get(tmp_path)
    hub.files[NAME]["model.gguf"] = CONTENT[::-1]
    assert get(tmp_path) == CONTENT[::-1]


@given(cuts=st.lists(st.integers(1, 4000), max_size=5), ranges=st.booleans())
@settings(max_examples=15)
def test_breaks_never_change_a_file(cuts: list[int], ranges: bool, tmp_path_factory: pytest.TempPathFactory) -> None:
    pytest.importorskip("huggingface_hub")
    folder = tmp_path_factory.mktemp("breaks")
    with serving() as hub, pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        hub.files, hub.cuts, hub.ranges = {NAME: {"model.gguf": CONTENT}}, list(cuts), ranges
        while not (folder / "model.gguf").exists():
            before = len(hub.cuts)
            try:
                get(folder)
            except BarelmError:
                assert len(hub.cuts) < before
        assert (folder / "model.gguf").read_bytes() == CONTENT and parts(folder) == []


@pytest.mark.parametrize(("said", "why"), [
    (CONTENT[::-1], "has the digest"), (CONTENT[:-1], "is longer than"), (CONTENT + b"!", "breaks off after")])
def test_another_file_than_the_hub_says_is_refused(hub: Hub, tmp_path: Path, said: bytes, why: str) -> None:
    hub.said["model.gguf"] = said
    with pytest.raises(BarelmError, match=why):
        get(tmp_path)
    assert not (tmp_path / "model.gguf").exists()
    assert [part.read_bytes() for part in parts(tmp_path)] == [CONTENT] * (why == "breaks off after")


def test_a_small_file_is_checked_by_gits_digest(hub: Hub, tmp_path: Path) -> None:
    hub.small = {"model.gguf"}
    assert get(tmp_path) == CONTENT
    hub.said["model.gguf"] = CONTENT[::-1]
    with pytest.raises(BarelmError, match="has the digest"):
        get(tmp_path / "again")


@pytest.mark.parametrize("status", [401, 403])
def test_a_gated_repository_says_what_to_do(hub: Hub, tmp_path: Path, status: int,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    hub.gated = status
    with pytest.raises(BarelmError, match=f"{NAME} is given only to who has accepted its licence") as error:
        get(tmp_path)
    assert f"https://huggingface.co/{NAME}" in error.value.hint and "HF_TOKEN" in error.value.hint
    monkeypatch.setenv("HF_TOKEN", "hf_mine")
    assert get(tmp_path) == CONTENT
    assert hub.tokens == {None, "Bearer hf_mine"} and hub.elsewhere == {None}, "the token went to another host"


def test_what_is_not_there_is_said(hub: Hub) -> None:
    with pytest.raises(BarelmError, match=r"has no repository owner/absent, or a private one"):
        look_up("owner/absent")
    with pytest.raises(BarelmError, match="no longer the revision"):
        look_up(NAME, "v9")
    hub.status = 500
    with pytest.raises(BarelmError, match="with the status 500"):
        look_up(NAME)


def test_without_a_network_one_sentence_says_so() -> None:
    pytest.importorskip("huggingface_hub")
    with pytest.raises(BarelmError, match=f"cannot fetch {NAME} from 127.0.0.1:9: ") as error:
        look_up(NAME)
    assert "Is there a network?" in error.value.hint


def test_offline_is_respected(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(BarelmError, match="HF_HUB_OFFLINE forbids"):
        look_up(NAME)


def test_without_the_package_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_hub(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith("huggingface_hub"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without_hub)
    with pytest.raises(BarelmError, match="huggingface_hub is not installed") as error:
        look_up(NAME)
    assert "barelm[hub]" in error.value.hint


def test_two_processes_do_not_write_to_one_file(hub: Hub, tmp_path: Path) -> None:
    hub.cuts = [3000, 0]
    with pytest.raises(BarelmError):
        get(tmp_path)
    with open(parts(tmp_path)[0], "ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(BarelmError, match="another process"):
            get(tmp_path)
    assert get(tmp_path) == CONTENT


def test_what_another_process_has_just_done_is_not_done_again(hub: Hub, tmp_path: Path,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    """It let go of the part between our opening and our taking it."""
    def others(out: Any, part: Path) -> None:
        part.write_bytes(CONTENT)
        part.rename(tmp_path / "model.gguf")

    monkeypatch.setattr("barelm.checkpoint.sources.hub._take", others)
    assert get(tmp_path) == CONTENT and hub.requests == [] and parts(tmp_path) == []


def test_anothers_empty_part_is_let_be(hub: Hub, tmp_path: Path) -> None:
    repository = look_up(NAME)
    part = tmp_path / f".model.gguf.{repository.file('model.gguf').digest[:16]}.part"
    with open(part, "ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(BarelmError, match="another process"):
            get(tmp_path)
        assert part.exists()


@pytest.mark.parametrize("digest", ["../../../x", "", "A" * 64, None])
def test_a_digest_that_is_none_is_no_file(hub: Hub, digest: str | None) -> None:
    """It becomes part of a name."""
    hub.digests["model.gguf"] = digest
    with pytest.raises(BarelmError, match="has no file model.gguf"):
        look_up(NAME).file("model.gguf")


def test_a_disk_without_room_is_said_before(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=100))
    with pytest.raises(BarelmError, match="model.gguf needs 0 MB more"):
        get(tmp_path)
    assert hub.requests == []


def test_a_disk_that_fills_is_no_fault_of_the_network(hub: Hub, tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("/dev/full is not there")
    repository = look_up(NAME)
    target = tmp_path / "model.gguf"
    part = tmp_path / f".model.gguf.{repository.file('model.gguf').digest[:16]}.part"
    part.symlink_to(full)
    with pytest.raises(BarelmError, match="cannot write .*No space left"):
        fetch(repository, repository.file("model.gguf"), target, no_progress)


def test_a_folder_that_cannot_be_made_is_said(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BarelmError, match="cannot write"):
        get(tmp_path / "file")
