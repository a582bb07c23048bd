"""`barelm pack`, `build`, `image`, `show` and `doctor`: files in, files out, nothing else."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from barelm.commands.make import new_file
from barelm.contract.sections import EMBEDDING
from barelm.disk import open_volume
from barelm.pack.reader import read_header, read_packed
from barelm.pack.writer import write_packed
from tests.built import program
from tests.commands.conftest import Cli
from tests.gguf_files import STRING, Value, write_small_gguf
from tests.models import tiny_checkpoint


def test_pack_writes_beside_where_it_is_run(cli: Cli) -> None:
    result = cli("pack", "tiny.bin")
    path = cli.folder / "tiny.blm"
    assert (result.code, result.out) == (0, "")
    assert result.err == (f"tiny.blm: {path.stat().st_size:,} bytes; it takes 5 MB of memory with a context of 64: "
                          "for a machine of 512 MB or more\n")
    assert read_packed(path).name == "tiny"


def test_pack_is_reproducible(cli: Cli) -> None:
    for out in ("a.blm", "b.blm"):
        assert cli("pack", "tiny.bin", "--output", out, "--tokenizer", "tokenizer.bin").code == 0
    assert (cli.folder / "a.blm").read_bytes() == (cli.folder / "b.blm").read_bytes()


def test_build_copies_the_program(cli: Cli) -> None:
    assert cli("build", "-o", "x.efi").code == 0
    assert (cli.folder / "x.efi").read_bytes() == program().read_bytes()
    assert cli("build").code == 0 and (cli.folder / "barelm.efi").is_file()


def test_image_holds_program_model_and_configuration(cli: Cli, image: Path) -> None:
    with open_volume(image) as volume:
        assert {entry.path for entry in volume.files()} == {"EFI/BOOT/BOOTX64.EFI", "model.blm", "barelm.toml",
                                                            "FONT-LICENSE.txt", "MANIFEST.json", "SBOM.cdx.json"}
        entry = volume.lookup("barelm.toml")
        assert entry is not None
        text = volume.read(entry, 0, entry.size).decode()
    lines = text.splitlines()
    assert {'prompt = "to"', "tokens = 5", "wait = 0", 'at_end = "return"', "report = false"} <= set(lines)


def test_image_is_reproducible_and_takes_a_packed_model(cli: Cli) -> None:
    assert cli("pack", "tiny.bin").code == 0
    for model, out in (("tiny.bin", "a.img"), ("tiny.bin", "b.img"), ("tiny.blm", "c.img")):
        assert cli("image", model, "-o", out, "--seed", "5").code == 0
    contents = [(cli.folder / name).read_bytes() for name in ("a.img", "b.img", "c.img")]
    assert contents[0] == contents[1] == contents[2]


def test_plain_image_has_no_partition_table(cli: Cli) -> None:
    assert cli("image", "tiny.bin", "--plain", "--free", "40").code == 0
    facts = json.loads(cli("show", "tiny.img", "--json").out)
    assert facts["what"] == "disk image, plain FAT32" and facts["bytes"] > 40 << 20


WRITERS = pytest.mark.parametrize("command, out", [
    (("pack", "tiny.bin"), "tiny.blm"), (("build",), "barelm.efi"), (("image", "tiny.bin"), "tiny.img")],
    ids=["pack", "build", "image"])


@WRITERS
def test_nothing_is_written_over_that_was_not_named(cli: Cli, command: tuple[str, ...], out: str) -> None:
    (cli.folder / out).write_text("precious")
    error = cli.refuses(*command)
    assert error == f"barelm: {out} is there already.\nGive --output {out} to write over it, or another name.\n"
    assert (cli.folder / out).read_text() == "precious"
    assert cli(*command, "--output", out).code == 0 and (cli.folder / out).read_bytes() != b"precious"


@pytest.mark.parametrize("name, file", [
    ("../../a b/c", "_.._a_b_c"), ("/etc/passwd", "_etc_passwd"), ("..", "model"), ("", "model"), ("-rf", "rf"),
    ("C:\\x\0\n", "C__x__"), ("Ünï-1.5_b", "Ünï-1.5_b")])
def test_a_name_in_a_file_is_never_a_path(name: str, file: str) -> None:
    assert new_file(name, ".none") == Path(f"{file}.none")


def test_packing_says_where_a_chat_template_cannot_be_used(cli: Cli) -> None:
    template = "{% for m in messages %}[{{ m['content'] | upper }}]{% endfor %}"
    write_small_gguf(cli.folder / "odd.gguf", metadata={"tokenizer.chat_template": Value(STRING, template)})
    result = cli("pack", "odd.gguf", "-o", "odd.blm")
    assert result.code == 0 and "does not answer it: its chat template cannot be used:" in result.err


def test_an_image_lands_in_the_folder_whatever_its_model_is_called(cli: Cli) -> None:
    write_packed(tiny_checkpoint(5, name="../up/x"), cli.folder / "evil.blm")
    before = set(cli.folder.parent.rglob("*"))
    assert cli("image", "evil.blm").code == 0
    assert set(cli.folder.parent.rglob("*")) - before == {cli.folder / "_up_x.img"}


@pytest.mark.parametrize("command", [("pack", "tiny.bin"), ("build",), ("image", "tiny.bin")], ids=lambda c: c[0])
@pytest.mark.parametrize("out", ["nowhere/x.out", "folder", "tokenizer.bin/x.out"])
def test_an_output_that_cannot_be_written(cli: Cli, command: tuple[str, ...], out: str) -> None:
    (cli.folder / "folder").mkdir()
    error = cli.refuses(*command, "--output", out)
    assert out in error and ("cannot write" in error or "folder" in error)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(cli: Cli) -> None:
    (cli.folder / "locked").mkdir(mode=0o555)
    assert "Permission denied" in cli.refuses("build", "--output", "locked/x.efi")


@pytest.mark.parametrize("arguments, sentence", [
    (("image", "tiny.bin", "--free=-1"), "cannot leave -1 MiB free"),
    (("image", "tiny.bin", "--wait=-1"), "the wait cannot be -1"),
    (("image", "tiny.bin", "--cores=-1"), "the number of cores cannot be -1"),
    (("image", "tiny.bin", "--tokens", "65"), "65 tokens are more than the 64"),
    (("image", "nowhere.bin"), "there is no file nowhere.bin"),
    (("pack", "nowhere.bin"), "there is no file nowhere.bin"),
    (("pack", "no-such-model"), "no model of that name"),
    (("show", "nowhere.img"), "cannot read nowhere.img: No such file"),
    (("show", "."), "cannot read .: Is a directory"),
    (("show", "empty"), "empty is empty"),
    (("show", "noise"), "noise"),
    (("show", "cut.blm"), "cut.blm is cut short"),
    (("show", "damaged.blm"), "of damaged.blm is damaged"),
    (("show", "cut.efi"), "is not a program for UEFI"),
    (("show", "cut.img"), "cut.img"),
    (("boot", "nowhere.img", "--machine", "hosted"), "nowhere.img"),
    (("boot", "noise", "--machine", "hosted"), "noise"),
    (("boot", "empty", "--machine", "hosted"), "empty")])
def test_bad_input_ends_in_its_sentence(cli: Cli, arguments: tuple[str, ...], sentence: str) -> None:
    make_bad_files(cli)
    assert sentence in cli.refuses(*arguments)


def make_bad_files(cli: Cli) -> None:
    """What `show` and `boot` cannot make sense of."""
    folder = cli.folder
    assert cli("pack", "tiny.bin").code == 0 and cli("image", "tiny.bin").code == 0
    packed, image = (folder / "tiny.blm").read_bytes(), (folder / "tiny.img").read_bytes()
    (folder / "empty").write_bytes(b"")
    (folder / "noise").write_bytes(bytes(range(256)) * 20)
    (folder / "cut.blm").write_bytes(packed[:-5000])
    at = int(read_header(folder / "tiny.blm").sections[EMBEDDING].offset)
    (folder / "damaged.blm").write_bytes(packed[:at] + bytes([packed[at] ^ 1]) + packed[at + 1:])
    (folder / "cut.efi").write_bytes(program().read_bytes()[:100])
    (folder / "cut.img").write_bytes(image[:2000])


def test_show_says_what_each_file_is(cli: Cli, image: Path) -> None:
    assert cli("pack", "tiny.bin").code == 0 and cli("build").code == 0
    for name, what in (("tiny.bin", "llama2.c"), ("tiny.blm", "packed model"), ("barelm.efi", "UEFI program"),
                       ("tiny.img", "disk image, GPT")):
        shown, as_json = cli("show", name), cli("show", name, "--json")
        assert shown.code == as_json.code == 0 and shown.err == ""
        facts = json.loads(as_json.out)
        assert what in facts["what"] and facts["file"] == name
        assert facts["bytes"] == (cli.folder / name).stat().st_size
        assert what in shown.out and "bytes" in shown.out


def test_show_announces_the_memory_a_model_takes(cli: Cli, image: Path) -> None:
    assert cli("pack", "tiny.bin").code == 0
    packed = read_packed(cli.folder / "tiny.blm")
    assert json.loads(cli("show", "tiny.blm", "--json").out)["memory_bytes"] == packed.memory_bytes
    assert json.loads(cli("show", "tiny.img", "--json").out)["model"]["memory_bytes"] == packed.memory_bytes
    assert f"{packed.memory_bytes:,}" in cli("show", "tiny.blm").out
    planned = json.loads(cli("show", "tiny.bin", "--json").out)["packed"]
    assert planned["memory_bytes"] == packed.memory_bytes and planned["least_machine_mb"] == 512
    shorter = json.loads(cli("show", "tiny.bin", "--context", "9", "--quant", "q8", "--json").out)["packed"]
    assert (shorter["seq_len"], shorter["quant"]) == (9, "q8") and shorter["state_bytes"] < planned["state_bytes"]


@pytest.mark.parametrize("name, where", [("tiny.bin", "packed"), ("tiny.blm", ""), ("tiny.img", "model")])
def test_show_says_whether_a_machine_holds_a_model(cli: Cli, image: Path, name: str, where: str) -> None:
    assert cli("pack", "tiny.bin").code == 0
    for megabytes, fits in (("256", "no"), ("512", "yes")):
        facts = json.loads(cli("show", name, "--memory", megabytes, "--json").out)
        assert (facts[where] if where else facts)["fits"] == (fits == "yes")
        assert re.search(rf"\n *fits +{fits}\n", cli("show", name, "--memory", megabytes).out)
    assert "fits" not in cli("show", name).out


def test_show_says_why_a_checkpoint_cannot_be_packed(cli: Cli) -> None:
    (cli.folder / "tokenizer.bin").unlink()
    result = cli("show", "tiny.bin")
    assert result.code == 0 and "cannot be: " in result.out and "tokenizer" in result.out


def test_pack_says_which_context_it_chose(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model's own where its state has room, else as much as has."""
    monkeypatch.setattr("barelm.pack.memory_plan.LEAST_CONTEXT", 16)
    monkeypatch.setattr("barelm.pack.memory_plan.LEAST_SHARE", 150_000)
    result = cli("pack", "tiny.bin")
    assert result.code == 0 and read_header(cli.folder / "tiny.blm").seq_len == 32
    assert result.err.startswith("The context is 32 tokens, with which the model takes 5 MB of memory; its own is 64, ")
    assert cli("pack", "tiny.bin", "--context", "64", "-o", "64.blm").err.startswith("64.blm: ")
    assert read_header(cli.folder / "64.blm").seq_len == 64


def test_doctor_finds_this_host_well(cli: Cli) -> None:
    result = cli("doctor")
    assert result.code == 0 and result.err == ""
    assert {"python", "compiler", "cache", "program", "qemu", "hosted"} <= {
        line.split()[1] for line in result.out.splitlines()}
    assert "MISSING" not in result.out and str(cli.cache) in result.out


def test_doctor_as_json(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(cli.folder))
    findings = {finding["what"]: finding for finding in json.loads(cli("doctor", "--json").out)}
    assert set(findings["qemu"]) == {"what", "good", "says", "needed"}
    assert not findings["qemu"]["good"] and findings["qemu"]["says"]
    assert findings["program"]["says"] == "compiled"


def test_doctor_fails_where_no_machine_is_left(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(cli.folder))
    monkeypatch.setattr("platform.machine", lambda: "sparc64")
    result = cli("doctor")
    assert result.code == 1 and result.out.count("MISSING") >= 2


def test_a_cache_that_cannot_be_made(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cli.folder / "tiny.bin"))
    error = cli.refuses("build")
    assert "cannot create" in error and "XDG_CACHE_HOME" in error
    assert cli("doctor").code == 1


@pytest.mark.parametrize("command", ["show", "boot", "verify", "ls", "pack", "run --machine hosted"])
def test_a_pipe_is_refused_and_not_waited_for(cli: Cli, command: str) -> None:
    os.mkfifo(cli.folder / "pipe")
    name, *options = command.split()
    assert re.search(r"pipe is (a pipe|not a regular file)", cli.refuses(name, "pipe", *options))


@pytest.mark.parametrize("out", ["tiny.bin", "tokenizer.bin", "link"])
def test_an_image_is_not_written_over_what_it_is_made_of(cli: Cli, out: str) -> None:
    (cli.folder / "link").symlink_to("tokenizer.bin")
    before = (cli.folder / "tokenizer.bin").read_bytes()
    assert "would be lost" in cli.refuses("image", "tiny.bin", "-o", out)
    assert (cli.folder / "tokenizer.bin").read_bytes() == before


@pytest.mark.parametrize("context", ["1", "2", "23"])
def test_a_context_too_short_for_an_example_packs_all_the_same(cli: Cli, context: str) -> None:
    assert cli("pack", "tiny.bin", "--context", context, "-o", "short.blm").code == 0
    assert int(read_header(cli.folder / "short.blm").seq_len) == int(context)
