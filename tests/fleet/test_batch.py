"""`barelm batch`: its lines, its journal, and runs on Ray over nodes that are played, some of which end half-way."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from barelm.errors import BarelmError
from barelm.fleet import batch, batch_asking
from barelm.fleet.batch import Crew, run_batch
from barelm.fleet.batch_asking import LOST, ListedNodes, StartedNode, Target, ask_until_answered
from barelm.fleet.batch_journal import Journal
from barelm.fleet.batch_lines import line_of, read_requests, steady
from tests.commands.conftest import Cli, hosted_only
from tests.fleet.nodes import PlayedNode, played_nodes
from tests.fleet.test_fleet_files import free_port
from tests.gguf_files import write_small_gguf

ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")
REPOSITORY = str(Path(__file__).parents[2])
CHAT = "/v1/chat/completions"


def asks(custom_id: Any, **more: Any) -> dict[str, Any]:
    """A row of a batch."""
    body = {"model": "m", "messages": [{"role": "user", "content": f"Say {custom_id}"}]}
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body, **more}


def written(path: Path, rows: list[Any]) -> Path:
    """A file of them."""
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("rows, why", [
    ([], "asks for nothing"), (["{"], "line 1 of"), ([asks("a"), "[1]"], "line 2 of"), ([asks(3)], "custom_id"),
    ([asks("a"), asks("b"), asks("a")], "line 3 of"), ([asks("a", method="GET")], "not a POST"),
    ([asks("a", url="/v1/embeddings")], "not a POST"), ([asks("a", body=[])], "no object"),
    ([asks("a", body={"stream": True})], "stream"), ([asks("a", more=1)], "nothing else"),
    (["[" * 100_000], "line 1 of"), ([asks("")], "custom_id")])
def test_a_wrong_line_is_named_before_anything_is_asked(rows: list[Any], why: str, tmp_path: Path) -> None:
    with pytest.raises(BarelmError, match=why):
        read_requests(written(tmp_path / "in", rows), 1)


def test_a_seed_is_a_requests_own(tmp_path: Path) -> None:
    rows = [asks("a"), asks("b"), asks("c", body={"seed": 7}), asks("d", body={"seed": None})]
    first, again, others = (read_requests(written(tmp_path / "in", given), seed)[0]
                            for given, seed in ((rows, 1), (rows[::-1], 1), (rows, 2)))
    seeds = {request.custom_id: request.body["seed"] for request in first}
    assert len(set(seeds.values())) == 4 and seeds["c"] == 7 and all(0 < seed < 1 << 31 for seed in seeds.values())
    assert seeds == {request.custom_id: request.body["seed"] for request in again}
    assert seeds["a"] != others[0].body["seed"]


def test_a_line_says_nothing_of_the_node(tmp_path: Path) -> None:
    request = read_requests(written(tmp_path / "in", [asks("a")]), 1)[0][0]
    with played_nodes({}, {}) as nodes:
        nodes[1].answer(CHAT, {})
        one, two = (node.answer(CHAT, dict(request.body)) for node in nodes)
    assert one != two and line_of(request, *one) == line_of(request, *two)
    line = json.loads(line_of(request, *one))
    assert line.keys() == {"id", "custom_id", "response", "error"} and line["error"] is None
    assert line["response"].keys() == {"status_code", "request_id", "body"}
    assert line["response"]["body"]["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    called = {"choices": [{"message": {"tool_calls": [{"id": "call_x1"}, {"id": "call_x2"}]}}, 3]}
    calls = steady(called, "d")["choices"][0]["message"]["tool_calls"]
    assert [call["id"] for call in calls] == ["call_d_0", "call_d_1"]


@pytest.mark.parametrize("said, message", [
    ({"error": {"message": "too long"}}, "too long"), ({"error": "x"}, "x"), ([1], "the node gave no reason"),
    ({}, "the node gave no reason")])
def test_an_error_is_an_answer(said: Any, message: str, tmp_path: Path) -> None:
    request = read_requests(written(tmp_path / "in", [asks("a")]), 1)[0][0]
    line = json.loads(line_of(request, 400, said))
    assert line["error"] == {"code": "400", "message": message} and line["response"]["body"] == said


def test_a_journal_goes_on_behind_what_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path, "x") as journal:
        journal.note("a", '{"custom_id": "a"}')
    whole = path.read_bytes()
    for torn in (b"", b'{"custom_id": "b', b"\x00"):
        path.write_bytes(whole + torn)
        with Journal(path, "x") as journal:
            assert journal.done == {"a": '{"custom_id": "a"}'}
        assert path.read_bytes() == whole
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        with Journal(path, "x") as journal:
            assert journal.done == {}
    with pytest.raises(BarelmError, match="of another input"):
        Journal(path, "y")
    path.write_bytes(whole + b"[]\n")
    with pytest.raises(BarelmError, match="cannot go on"):
        Journal(path, "x")


def test_another_node_answers_for_one_that_is_full_or_gone() -> None:
    with played_nodes({"full": True}, {"dies_after": 0}, {}) as nodes:
        targets = [Target("127.0.0.1", port) for port in (free_port(), *(node.port for node in nodes))]
        listed = ListedNodes(targets, 4)
        status, content = ask_until_answered(listed, CHAT, '{"a": 1}')
        assert status == 200 and json.loads(content)["choices"] and listed.current() == targets[3]
        assert ask_until_answered(listed, CHAT, '{"temperature": "hot"}')[0] == 400


def test_a_node_that_was_lost_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    targets = [Target("a", 1), Target("b", 1)]
    listed = ListedNodes(targets, 1)
    listed.lost(targets[0])
    assert listed.current() == targets[1]
    listed.lost(targets[1])
    assert listed.current() == targets[0]
    monkeypatch.setattr(batch_asking, "AWAY_S", 0)
    assert listed.current() == targets[1]


def test_a_request_that_nobody_answers_is_said_to_be_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_asking, "PATIENCE_S", 0)
    port = free_port()
    status, why = ask_until_answered(ListedNodes([Target("127.0.0.1", port)], 0), CHAT, "{}")
    assert status == LOST and f"127.0.0.1:{port}: " in why


def test_a_node_of_its_own_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_asking, "SERVE_CHILD", "tests.fleet.serving_child")
    monkeypatch.setattr(sys, "path", [REPOSITORY, *sys.path])
    node = StartedNode(["tiny"])
    try:
        assert ask_until_answered(node, CHAT, "{}")[0] == 200
        process = node._process
        assert process is not None
        process.kill()
        assert ask_until_answered(node, CHAT, "{}")[0] == 200 and node._process is not process
    finally:
        node.close()
    monkeypatch.setattr(batch_asking, "PATIENCE_S", 0)
    assert ask_until_answered(StartedNode(["refused"]), CHAT, "{}") == (LOST, "barelm: there is no such model")


def inventory(folder: Path, nodes: list[PlayedNode]) -> Path:
    """Of these."""
    return written(folder / f"{len(nodes)}.toml", [
        f'[[node]]\nname = "n{number}"\naddress = "127.0.0.1"\nport = {node.port}\nmodel = "m"\nslots = 2\nkey = "k"'
        for number, node in enumerate(nodes)])


@pytest.fixture
def requests(tmp_path: Path) -> Path:
    """Two hundred, of which one is wrong."""
    rows = [asks(f"id {number}") for number in range(200)]
    rows[50]["body"]["temperature"] = "hot"
    return written(tmp_path / "in.jsonl", rows)


def expected(path: Path) -> str:
    """What the answers are, whatever nodes there are."""
    with played_nodes({}) as nodes:
        return "".join(line_of(request, *nodes[0].answer(request.url, dict(request.body))) + "\n"
                       for request in read_requests(path, 1)[0])


@ray
def test_the_bytes_are_those_of_the_answers_alone_though_a_node_dies(requests: Path, tmp_path: Path,
                                                                     capfd: pytest.CaptureFixture[str]) -> None:
    with played_nodes({}, {"dies_after": 20}, {}) as nodes:
        listed = inventory(tmp_path, nodes)
        assert run_batch(requests, tmp_path / "out", Crew(listed), 1) == 1
        assert min(len(node.asked) for node in nodes) > 10 and set(nodes[0].keys) == {"Bearer k"}
    assert (tmp_path / "out").read_text() == expected(requests)
    lines = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert [line["custom_id"] for line in lines] == [f"id {number}" for number in range(200)]
    assert [line["custom_id"] for line in lines if line["error"]] == ["id 50"]
    assert lines[50]["response"]["status_code"] == 400
    assert capfd.readouterr().err == f"{tmp_path}/out: 200 answers; 1 of them are errors, their lines say which\n"
    assert not list(tmp_path.glob("*.journal"))
    with pytest.raises(BarelmError, match="is there already"):
        run_batch(requests, tmp_path / "out", Crew(listed), 1)


@ray
def test_a_batch_that_was_killed_goes_on_where_it_stopped(requests: Path, tmp_path: Path) -> None:
    out, journal = tmp_path / "out", tmp_path / "out.journal"
    with played_nodes({"delay_s": 0.05}) as nodes:
        listed = inventory(tmp_path, nodes)
        with subprocess.Popen([sys.executable, "-m", "barelm", "batch", requests, out, "--inventory", listed],
                              env={**os.environ, "PYTHONPATH": REPOSITORY}, stderr=subprocess.DEVNULL) as process:
            wait_for(lambda: journal.is_file() and journal.read_bytes().count(b"\n") > 40)
            process.send_signal(signal.SIGKILL)
        n_done = journal.read_bytes().count(b"\n") - 1
        assert not out.exists()
        time.sleep(1)
        before = len(nodes[0].asked)
        with pytest.raises(BarelmError, match="of another input"):
            run_batch(requests, out, Crew(listed), 2)
        assert run_batch(requests, out, Crew(listed), 1) == 1
        assert len(nodes[0].asked) - before <= 200 - n_done < 165
    assert out.read_text() == expected(requests)


@ray
@hosted_only
def test_nodes_that_ray_starts_answer_as_one_alone_though_one_is_killed(cli: Cli, tmp_path: Path) -> None:
    model = write_small_gguf(cli.folder / "small.gguf", seed=3)
    rows = [asks(f"id {number}", body={"prompt": f"one two {number}", "max_tokens": 20}, url="/v1/completions")
            for number in range(60)]
    path, out = written(tmp_path / "in", rows), tmp_path / "out"
    alone = StartedNode([str(model), "--machine", "hosted", "--cores", "1"])
    try:
        lines = [line_of(request, status, json.loads(content)) for request in read_requests(path, 1)[0]
                 for status, content in [ask_until_answered(alone, request.url, json.dumps(request.body))]]
    finally:
        alone.close()
    killed = list[int]()

    def kill_one() -> None:
        journal = tmp_path / "out.journal"
        wait_for(lambda: journal.is_file() and journal.read_bytes().count(b"\n") > 5)
        killed.append(serving(model)[0])
        os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    assert run_batch(path, out, Crew(None, str(model), 2), 1) == 0
    killer.join()
    assert killed and out.read_text() == "".join(f"{line}\n" for line in lines)
    wait_for(lambda: not serving(model))


def serving(model: Path) -> list[int]:
    """The processes that serve a model as somebody's child."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            found += [int(folder.name)] if {batch_asking.SERVE_CHILD.encode(), str(model).encode()} <= {*words} else []
    return found


def wait_for(condition: Callable[[], bool]) -> None:
    """Until it holds."""
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@ray
def test_without_nodes_the_batch_ends_and_can_go_on(requests: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                                    ) -> None:
    monkeypatch.setattr(batch, "Asker", Hopeless)
    with played_nodes({}) as nodes:
        listed = inventory(tmp_path, nodes)
        with pytest.raises(BarelmError, match="no node answers: nobody there"):
            run_batch(requests, tmp_path / "out", Crew(listed), 1)
        assert (tmp_path / "out.journal").is_file() and not (tmp_path / "out").exists()


class Hopeless:
    """In place of `Asker`: nobody answers."""

    def __init__(self, *what: Any) -> None:
        pass

    def __call__(self, rows: Any) -> dict[str, list[Any]]:
        """As that."""
        return {"number": [0], "status": [LOST], "content": ["nobody there"]}


def test_without_ray_a_sentence_says_what_to_install(requests: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                                     ) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with played_nodes({}) as nodes, pytest.raises(BarelmError, match="ray") as refused:
        run_batch(requests, tmp_path / "out", Crew(inventory(tmp_path, nodes)), 1)
    assert "pip install 'barelm[fleet]'" in refused.value.hint


@pytest.mark.parametrize("crew", [Crew(), Crew(Path("x"), "m")])
def test_a_batch_needs_nodes_of_one_kind(crew: Crew, requests: Path, tmp_path: Path) -> None:
    with pytest.raises(BarelmError, match="needs nodes"):
        run_batch(requests, tmp_path / "out", crew, 1)
