"""`barelm run`: the text on stdout, one JSON object where asked for, bad input in a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from barelm.contract.layout import DEFAULT_MAX_CORES
from barelm.machine.machine import host_processors
from barelm.outcome import Outcome
from barelm.pack.reader import read_packed
from tests.commands.conftest import Cli, hosted_only
from tests.worlds import interpreter, tell

pytestmark = hosted_only

ON = ("--machine", "hosted")
KEYS = {"text", "thought", "token_ids", "n_prompt", "n_generated", "n_guessed", "n_right", "prefill_tokens_per_s",
        "decode_tokens_per_s", "load_mb_per_s", "memory_bytes", "efi_bytes", "machine", "status", "cores", "seed"}


def expected(cli: Cli, prompt: str, n_tokens: int, **options: Any) -> tuple[list[int], str]:
    """What the interpreter says to the same."""
    assert cli("pack", "tiny.bin", "-o", cli.folder.parent / "tiny.blm").code == 0
    story = tell(interpreter, read_packed(cli.folder.parent / "tiny.blm"), prompt, n_tokens=n_tokens, **options)
    return story.ids, story.text


def test_stdout_is_the_text_alone_prompt_included(cli: Cli) -> None:
    result = cli("run", "tiny.bin", "to the sun", "-t", "0", "-n", "20", *ON)
    text = expected(cli, "to the sun", 20)[1]
    assert result.code == 0 and text.startswith("to the sun")
    assert result.out == text if text.endswith("\n") else result.out == text + "\n"
    assert "a second; prompt of " in result.err and "seed " in result.err


def test_json_is_one_object_with_the_keys_that_were_agreed(cli: Cli) -> None:
    result = cli("run", "tiny.bin", "to", "--seed", "7", "-n", "20", "--cores", "2", "--json", *ON)
    said = json.loads(result.out)
    assert result.code == 0 and set(said) == KEYS
    ids, text = expected(cli, "to", 20, temperature=1.0, seed=7)
    assert (said["token_ids"], said["text"]) == (ids, text)
    assert (said["seed"], said["cores"], said["machine"], said["status"]) == (7, 2, "hosted", 0)
    assert said["n_prompt"] + said["n_generated"] == len(ids)
    assert said["memory_bytes"] == read_packed(cli.folder.parent / "tiny.blm").memory_bytes
    assert said["efi_bytes"] > 10_000
    assert all(said[key] > 0 for key in KEYS if key.endswith("_per_s"))


def test_no_cores_are_all_of_the_host(cli: Cli) -> None:
    said = json.loads(cli("run", "tiny.bin", "to", "-n", "5", "--cores", "0", "--json", *ON).out)
    assert said["cores"] == min(host_processors(), DEFAULT_MAX_CORES)


def test_outcome_is_where_the_keys_come_from() -> None:
    assert set(Outcome.__dataclass_fields__) | {"efi_bytes"} == KEYS


def test_a_packed_model_runs_as_its_checkpoint_does(cli: Cli) -> None:
    assert cli("pack", "tiny.bin").code == 0
    runs = [cli("run", model, "to", "-s", "3", "-n", "9", "--json", *ON) for model in ("tiny.bin", "tiny.blm")]
    assert json.loads(runs[0].out)["token_ids"] == json.loads(runs[1].out)["token_ids"]


def test_a_second_run_packs_and_compiles_nothing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli("run", "tiny.bin", "-n", "1", *ON).code == 0
    monkeypatch.setattr("barelm.pipeline.write_packed", None)
    monkeypatch.setattr("barelm.aot.build.compile_and_link", None)
    assert cli("run", "tiny.bin", "-n", "1", *ON).code == 0
    assert not list((cli.cache / "barelm" / "runs").iterdir())


def test_the_rope_base_is_part_of_what_is_packed(cli: Cli) -> None:
    for name, options in (("plain", ()), ("usual", ("--rope-theta", "10000")), ("other", ("--rope-theta", "500000"))):
        assert cli("pack", "tiny.bin", "--output", f"{name}.blm", *options).code == 0
    plain, usual, other = ((cli.folder / f"{name}.blm").read_bytes() for name in ("plain", "usual", "other"))
    assert plain == usual != other


def test_a_changed_checkpoint_is_packed_again(cli: Cli) -> None:
    first = cli("run", "tiny.bin", "to", "-t", "0", "-n", "8", "--json", *ON)
    content = bytearray((cli.folder / "tiny.bin").read_bytes())
    content[28:28 + 40000] = content[1028:28 + 40000] + content[28:1028]
    (cli.folder / "tiny.bin").write_bytes(content)
    second = cli("run", "tiny.bin", "to", "-t", "0", "-n", "8", "--json", *ON)
    assert json.loads(first.out)["token_ids"] != json.loads(second.out)["token_ids"]


def test_without_qemu_the_hosted_firmware_is_taken_and_said_so(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(cli.folder))
    result = cli("run", "tiny.bin", "-n", "2")
    assert result.code == 0 and result.err.startswith("Running on the hosted firmware: ")
    assert "qemu" in result.err.splitlines()[0].lower()


def test_without_qemu_asking_for_it_is_refused(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(cli.folder))
    assert "cannot boot on qemu: " in cli.refuses("run", "tiny.bin", "--machine", "qemu")


@pytest.mark.parametrize("arguments, sentence", [
    (("nowhere.bin",), "there is no file nowhere.bin"),
    (("nowhere/",), "there is no file nowhere/"),
    ((".",), "is a folder"),
    (("empty.bin",), "empty"),
    (("text.bin",), "text.bin"),
    (("cut.bin",), "cut.bin"),
    (("tiny.bin", "--tokens", "65"), "65 tokens are more than the 64 the context of tiny holds"),
    (("tiny.bin", "to " * 100), "the prompt is longer than the context of the model"),
    (("tiny.bin", "to", "--tokens", "64"), "prompt and `tokens` are more than the context holds"),
    (("tiny.bin", "--tokens=-1"), "the number of tokens cannot be -1"),
    (("tiny.bin", "--temperature=-0.5"), "temperature cannot be -0.5"),
    (("tiny.bin", "--temperature", "nan"), "temperature cannot be nan"),
    (("tiny.bin", "--top-p", "1.5"), "top-p cannot be 1.5"),
    (("tiny.bin", "--seed=-3"), "the seed cannot be -3"),
    (("tiny.bin", "--seed", str(10**18)), "the seed cannot be 1000000000000000000"),
    (("tiny.bin", "--cores", "257"), "a machine cannot have 257 cores"),
    (("tiny.bin", "--cores=-2"), "a machine cannot have -2 cores"),
    (("tiny.bin", "--memory=-1"), "a machine cannot have -1 MiB of memory"),
    (("tiny.bin", "a\0b"), "the prompt holds the character U+0000"),
    (("tiny.bin", "x" * 70000), "configuration may have"),
    (("tiny.bin", "--tokenizer", "nowhere.bin"), "nowhere.bin"),
    (("tiny.bin", "--tokenizer", "other.bin"), "other.bin"),
    (("tiny.bin", "--context", "65"), "the context of tiny.bin is 64 tokens, not 65"),
    (("tiny.bin", "--rope-theta=-1"), "the RoPE base cannot be -1"),
    (("alone/tiny.bin",), "tokenizer")])
def test_bad_input_ends_in_its_sentence(cli: Cli, arguments: tuple[str, ...], sentence: str) -> None:
    make_bad_files(cli.folder)
    assert sentence in cli.refuses("run", *arguments, *ON)


def make_bad_files(folder: Path) -> None:
    """Files that are no models, and a tokenizer of another vocabulary."""
    good = (folder / "tiny.bin").read_bytes()
    (folder / "empty.bin").write_bytes(b"")
    (folder / "text.bin").write_text("Once upon a time there was no model in this file.\n" * 20)
    (folder / "cut.bin").write_bytes(good[:len(good) // 2])
    (folder / "other.bin").write_bytes((folder / "tokenizer.bin").read_bytes()[:-40])
    (folder / "alone").mkdir()
    (folder / "alone" / "tiny.bin").write_bytes(good)


def test_an_error_asked_for_as_json_is_json_too(cli: Cli) -> None:
    result = cli("run", "nowhere.bin", "--json", *ON)
    said = json.loads(result.out)
    assert result.code == 1 and set(said) == {"error", "hint", "status"} and said["status"] == 1
    assert result.err.startswith(f"barelm: {said['error']}")


def test_a_failure_on_the_metal_names_its_place(cli: Cli) -> None:
    assert "(barelm/metal/" in cli.refuses("run", "tiny.bin", "to " * 100, *ON)


def test_a_machine_too_small_for_the_model(cli: Cli) -> None:
    error = cli.refuses("run", "tiny.bin", "--memory", "1", *ON)
    assert "memory" in error
