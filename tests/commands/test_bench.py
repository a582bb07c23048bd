"""`barelm bench`: a table on stdout, files where asked for, and refusals in a sentence."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from barelm.measure import machine_limits, rivals
from tests.commands.conftest import Cli, hosted_only

pytestmark = hosted_only


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that are found at once."""
    monkeypatch.setattr(machine_limits, "READ_BYTES", 1 << 20)
    monkeypatch.setattr(machine_limits, "LOOP_S", 0.002)


def test_a_table_and_the_files(cli: Cli) -> None:
    result = cli("bench", "tiny.bin", "--cores", "1,2", "--context", "30,48", "--rounds", "2", "--json", "b.json",
                 "--plot", "b.svg")
    assert result.code == 0, result
    assert "llama.cpp is left out" in result.err and "b.svg: " in result.err
    rows = [line for line in result.out.splitlines() if line.startswith("| tiny")]
    report = json.loads(Path("b.json").read_text())
    assert len(rows) == len(report["rows"]) == 8
    assert {(row["what"], row["context"], row["cores"]) for row in report["rows"]} == {
        (what, context, n) for what in ("prefill", "decode") for context in (30, 48) for n in (1, 2)}
    assert all(len(row["runs"]) == 2 and row["tokens_s"] > 0 and row["share"] >= 0 for row in report["rows"])
    ElementTree.parse("b.svg")


def test_beside_llama2c(cli: Cli) -> None:
    run = cli.folder / "run"
    run.write_text("#!/bin/sh\necho achieved tok/s: 7\n")
    run.chmod(0o755)
    result = cli("bench", "tiny.bin", "--cores", "1", "--rounds", "1", "--against", "llama2.c", "--run-c", run)
    assert result.code == 0 and "llama2.c 7.0, x" in result.out


def test_what_is_not_there_is_left_out(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rivals, "llama_cpp", lambda: None)
    result = cli("bench", "tiny.bin", "--cores", "1", "--rounds", "1", "--against", "llama.cpp,llama2.c")
    assert result.code == 0 and "this Python has none" in result.err and "--run-c says where" in result.err


@pytest.mark.parametrize("arguments, sentence", [
    (("--cores", "1,x"), "--cores takes whole numbers"), (("--cores", "0"), "--cores takes whole numbers"),
    (("--context", ","), "--context takes whole numbers"), (("--sizes", "7B"), "--sizes does not know '7B'"),
    (("--sizes", "260K", "--encodings", "Q9"), "--encodings does not know 'Q9'"),
    (("--against", "vllm"), "--against does not know 'vllm'"), (("--plot", "b.png"), "only SVG"),
    (("--rounds", "0"), "0 rounds"), (("--context", "65"), "the context of tiny.bin is 64 tokens")])
def test_bad_input_ends_in_its_sentence(cli: Cli, arguments: tuple[str, ...], sentence: str) -> None:
    assert sentence in cli.refuses("bench", "tiny.bin", *arguments)
