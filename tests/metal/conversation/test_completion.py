"""The whole boot story in the interpreter, on a firmware of callbacks: what is said, and that all is given back."""

from __future__ import annotations

import functools
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest

from barelm.contract import uefi
from barelm.contract.settings import SettingsView
from barelm.dialect.processor import N_LEVELS, NO_LEVEL
from barelm.dialect.rooms import Failure
from barelm.kernels.session import sum_with
from barelm.metal import main
from barelm.metal.conversation.reply import LINE_COLUMNS
from barelm.metal.processors import cores
from barelm.metal.processors.engine import engine
from barelm.pack.reader import Packed, read_packed
from barelm.pack.writer import write_packed
from barelm.settings import Settings
from tests.metal.fake import ERROR, FakeFirmware
from tests.models import tiny_checkpoint
from tests.worlds import interpreter, tell

QUIET = "wait = 0\n"


@functools.cache
def model() -> tuple[Packed, bytes]:
    """A tiny model, for the host and for the volume."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.blm"
        write_packed(tiny_checkpoint(4), path)
        return read_packed(path), path.read_bytes()


@pytest.fixture(autouse=True)
def processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor of the second level, whose engine is the interpreter."""
    monkeypatch.setattr(main, "cpu_level", lambda most: 1)
    monkeypatch.setattr(cores, "call_engine", lambda level, job, core: engine(job, core))


def boot(settings: Settings | str | None, **files: bytes) -> FakeFirmware:
    """Power on with this configuration; the firmware remembers."""
    configuration = settings.toml() if isinstance(settings, Settings) else (settings or "").encode()
    firmware = FakeFirmware({"model.blm": model()[1], "barelm.toml": configuration, **files})
    if settings is None:
        assert firmware.files is not None
        del firmware.files["barelm.toml"]
    run(firmware)
    return firmware


def run(firmware: FakeFirmware) -> None:
    """The program, to its end."""
    assert interpreter(main.efi_main)(*firmware.fw[:2]) == 0
    assert firmware.watchdog == [0] and not firmware.pages and firmware.n_open == 0 and firmware.timers == 0
    assert not firmware.installed


def ids_of(screen: str) -> list[int]:
    """The ids a program is told."""
    return [int(word) for line in screen.splitlines() if line.startswith("BARELM IDS") for word in line.split()[2:]]


@pytest.mark.parametrize("prompt", ["", "to", "the 世 sun"])
def test_ids_are_those_of_the_kernels_alone(prompt: str) -> None:
    firmware = boot(Settings(prompt, 0.0, tokens=20, report=True))
    expected = tell(interpreter, model()[0], prompt, n_tokens=20)
    assert ids_of(firmware.screen) == expected.ids
    assert f"BARELM n_prompt {expected.n_prompt}\r\n" in firmware.screen
    assert f"\r\nBARELM n_generated {len(expected.ids) - expected.n_prompt}\r\n" in firmware.screen


@pytest.mark.parametrize("seed", [1, 7, 10**17])
def test_drawn_ids_are_too(seed: int) -> None:
    firmware = boot(Settings("to", 0.8, 0.7, seed, 20, report=True))
    assert ids_of(firmware.screen) == tell(interpreter, model()[0], "to", temperature=0.8, top_p=0.7, seed=seed,
                                           n_tokens=20).ids
    assert f"BARELM seed {seed}\r\n" in firmware.screen


def test_lines_for_a_program() -> None:
    lines = boot(Settings("to the sun", 0.0, tokens=40, report=True)).screen.split("\r\n")
    assert all(re.fullmatch(r"BARELM [a-z_A-Z]+( \d+)+|", line) for line in lines), "nothing else is said"
    assert max(map(len, lines)) <= LINE_COLUMNS + len("BARELM IDS")
    names = [line.split()[1] for line in lines if line]
    assert names[0] == "n_prompt" and names.count("IDS") > 1
    assert names[-13:] == ["n_generated", "n_guessed", "n_right", "prefill_us", "decode_us", "load_us", "load_bytes",
                           "memory_bytes", "cores", "cpu_level", "seed", "ids_sum", "DONE"]
    measured = {line.split()[1]: int(line.split()[2]) for line in lines if line and "IDS" not in line}
    packed, raw = model()
    assert measured["memory_bytes"] == packed.memory_bytes and measured["load_bytes"] == len(raw)
    assert (measured["cores"], measured["cpu_level"], measured["DONE"]) == (1, 1, 0)
    assert measured["ids_sum"] == functools.reduce(sum_with, ids_of("\r\n".join(lines)), 0)


def test_what_a_person_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("barelm.metal.storage.model_loader.PROGRESS_MS", 1 << 40)
    packed, _ = model()
    screen = boot(Settings("to the sun", 0.0, tokens=30, wait=0)).screen.replace("\r\n", "\n")
    text = tell(interpreter, packed, "to the sun", n_tokens=30).text
    shown = "".join(c for c in text if c >= " " or c in "\n\t")
    assert screen.startswith("barelm\n\n")
    assert f"\n{packed.name}   5 MB of memory, context {packed.config.seq_len} tokens\n\n" in screen
    assert shown.replace("\n", "") in screen.replace("\n", "")
    summary = screen.splitlines()[-3:]
    assert re.fullmatch(r"\d+ tokens, [\d.]+ a second; prompt of \d+, [\d.]+ a second; seed \d+", summary[0])
    assert re.fullmatch(r"loaded at [\d.]+ MB/s; memory [\d.]+ MB; cores 1; x86-64-v3", summary[1])
    assert summary[2] == "BARELM DONE 0"


def test_without_a_configuration_the_defaults_hold() -> None:
    firmware = FakeFirmware({"model.blm": model()[1]})
    firmware.keys = [None] * 3 + [uefi.SCAN_ESC << 16] * 99
    run(firmware)
    assert firmware.screen.endswith("Press any key to go on.\r\nBARELM DONE 0\r\n")
    assert " MB; cores 1; " in firmware.screen.replace("\r\n", " ")


def test_a_seed_of_zero_is_a_fresh_one() -> None:
    screens = [boot(Settings("", 1.0, tokens=3, report=True)).screen for _ in range(2)]
    seeds = {re.findall(r"BARELM seed (\d+)", screen)[0] for screen in screens}
    assert len(seeds) == 2 and "0" not in seeds


@pytest.mark.parametrize("key", [uefi.SCAN_ESC << 16, 3], ids=["Esc", "Ctrl-C"])
def test_a_key_ends_the_story_early(key: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("barelm.metal.conversation.reply.SHOW_EVERY_MS", -1)
    firmware = FakeFirmware({"model.blm": model()[1], "barelm.toml": Settings("to", 0, tokens=50, report=True).toml()})
    firmware.keys = [None] * 4 + [key]  # each look is one at both protocols
    run(firmware)
    assert "BARELM n_generated 3\r\n" in firmware.screen


@pytest.mark.parametrize("at_end, resets", [
    ("return", []), ("shutdown", [uefi.RESET_SHUTDOWN]), ("restart", [uefi.RESET_COLD])])
def test_the_end_is_as_configured(at_end: str, resets: list[int]) -> None:
    assert boot(Settings("to", 0, tokens=2, at_end=at_end, wait=0)).resets == resets


def test_every_token_the_context_has_room_for() -> None:
    seq_len = model()[0].config.seq_len
    firmware = boot(Settings("to", 0.0, report=True))
    expected = tell(interpreter, model()[0], "to", n_tokens=1)
    assert seq_len < 256 and ids_of(firmware.screen)[:expected.n_prompt + 1] == expected.ids
    assert len(ids_of(firmware.screen)) == seq_len + 1, "the last token made is never read"


def failure_of(settings: Settings | str) -> Failure:
    """What the story fails with."""
    with pytest.raises(Failure) as failure:
        boot(settings)
    assert failure.value.hint.endswith(".") and not failure.value.message.endswith(".")
    return failure.value


@pytest.mark.parametrize("settings, message", [
    (Settings("to " * 100, 0), "the prompt is longer than the context of the model"),
    (Settings("to", 0, tokens=10**6), "prompt and `tokens` are more than the context holds"),
    (f"tokens = {10**18 - 1}\n{QUIET}", "prompt and `tokens` are more than the context holds")])
def test_what_the_model_has_no_room_for(settings: Settings | str, message: str) -> None:
    failure = failure_of(settings)
    assert (failure.status, failure.message) == (uefi.EFI_INVALID_PARAMETER, message)


@pytest.mark.parametrize("files, status, message", [
    (None, uefi.EFI_UNSUPPORTED, "the firmware shows no file system"),
    ({}, uefi.EFI_NOT_FOUND, "there is no model on this volume"),
    ({"model.blm": b""}, uefi.EFI_VOLUME_CORRUPTED, "too short"),
    ({"model.blm": bytes(5000)}, uefi.EFI_UNSUPPORTED, "not a packed model")])
def test_a_volume_without_a_model(files: dict[str, bytes] | None, status: int, message: str) -> None:
    firmware = FakeFirmware(files)
    with pytest.raises(Failure, match=message) as failure:
        main.efi_main(*firmware.fw[:2])
    assert failure.value.status == status


def test_screen_of_a_failure() -> None:
    firmware, parts = FakeFirmware(), [np.frombuffer(f"{text}\0".encode("utf-16-le"), np.uint16)
                                       for text in ("it broke", "Mend it.", "file.py:3")]
    firmware.keys = [ord("x")]
    words = np.array([ERROR | 7, *[part.ctypes.data for part in parts]], np.int64)
    assert main.report_failure(*firmware.fw[:2], int(words.ctypes.data)) == ERROR | 7
    before, _, after = firmware.screen.partition("(program ")
    assert before == "\r\nbarelm stopped: it broke\r\nMend it.\r\n(file.py:3, status 7)\r\n"
    assert after[8:] == "; Fake firmware 0x00000001, UEFI 2.10)\r\nBARELM DONE 7\r\n"


def test_a_processor_too_old_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "cpu_level", lambda most: NO_LEVEL)
    with pytest.raises(Failure, match="lacks SSE4.2 or POPCNT"):
        main.find_level(SettingsView.over(np.zeros(SettingsView.BYTES, np.uint8)))


@pytest.mark.parametrize("held, most", [(0, N_LEVELS), (1, 0), (2, 1), (4, 3)])
def test_the_configuration_holds_the_level_down(held: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = SettingsView.over(np.zeros(SettingsView.BYTES, np.uint8))
    settings.cpu = held
    monkeypatch.setattr(main, "cpu_level", lambda most: most)
    assert main.find_level(settings) == most
