"""The real program on the hosted firmware: good models tell what the interpreter does, bad ones end in a sentence."""

from __future__ import annotations

import functools
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from barelm.contract import layout, sections, uefi
from barelm.contract.layout import PART_BYTES, Header
from barelm.contract.storage_state import MOST_COMPLAINTS
from barelm.disk import open_volume, write_image
from barelm.host_files import Source
from barelm.machine.hosted import Hosted
from barelm.machine.machine import Spec
from barelm.pack.parts import parts_of
from barelm.pack.reader import Packed, read_packed
from barelm.pack.writer import write_packed
from barelm.settings import Settings
from tests.built import program
from tests.models import tiny_checkpoint
from tests.worlds import interpreter, tell

pytestmark = pytest.mark.skipif(Hosted().why_not() is not None, reason=str(Hosted().why_not()))

ERROR = 1 << 63
PATIENCE_S = 60
MEMORY_MB = 128


@functools.cache
def packed() -> tuple[Packed, bytes]:
    """A tiny model, with query heads in groups and sizes that are no multiples of a vector."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.blm"
        write_packed(tiny_checkpoint(5, dim=48, hidden_dim=40, n_heads=6, n_kv_heads=2, tied=False), path)
        return read_packed(path), path.read_bytes()


@dataclass(frozen=True)
class Ran:
    """A screen, and the status behind it."""

    screen: str
    status: int | None

    @property
    def ids(self) -> list[int]:
        """What a program is told."""
        lines = [line.split() for line in self.screen.splitlines() if line.startswith("BARELM IDS ")]
        return [int(word) for line in lines for word in line[2:]]


def boot(folder: Path, settings: Settings | bytes | None, model: bytes | None = None, *, memory_mb: int = MEMORY_MB,
         cores: int = 1, occupied: tuple[tuple[int, int], ...] = (), part_bytes: int = PART_BYTES) -> Ran:
    """Power on with a model and a configuration; press a key where one is asked for.  All memory has to go back."""
    files: dict[str, Source] = {"EFI/BOOT/BOOTX64.EFI": program()}
    if settings is not None:
        files["barelm.toml"] = settings.toml() if isinstance(settings, Settings) else settings
    if model is not None:
        (folder / "model.blm").write_bytes(model)
        files |= parts_of("model.blm", folder / "model.blm", part_bytes)
    write_image(folder / "test.img", files)
    screen = ""
    with Hosted(occupied=occupied).start(Spec(folder / "test.img", memory_mb, cores)) as session:
        while shown := session.read(PATIENCE_S):
            screen += shown.decode()
            if "Press any key" in shown.decode():
                session.send("x")
        assert session.kept == 0, "all memory was given back"
        return Ran(screen, session.status)


@pytest.mark.parametrize("prompt", ["", "to the sun", "é世🙂\n\x01", "t" * 40])
def test_greedy_ids_are_the_interpreters(tmp_path: Path, prompt: str) -> None:
    ran = boot(tmp_path, Settings(prompt, 0.0, tokens=20, report=True), packed()[1])
    expected = tell(interpreter, packed()[0], prompt, n_tokens=20)
    assert (ran.ids, ran.status) == (expected.ids, 0)
    assert f"BARELM memory_bytes {packed()[0].memory_bytes}\n" in ran.screen


@pytest.mark.parametrize("seed, temperature, top_p", [(1, 1.0, 0.9), (42, 1.0, 0.9), (10**17 + 3, 0.7, 0.5),
                                                      (5, 2.0, 0.0), (6, 0.1, 1.0)])
def test_drawn_ids_are_the_interpreters(tmp_path: Path, seed: int, temperature: float, top_p: float) -> None:
    ran = boot(tmp_path, Settings("to", temperature, top_p, seed, 30, report=True), packed()[1])
    assert ran.ids == tell(interpreter, packed()[0], "to", temperature=temperature, top_p=top_p, seed=seed,
                           n_tokens=30).ids


@pytest.mark.parametrize("cores, limit, used", [(1, 0, 1), (2, 0, 2), (3, 0, 3), (3, 2, 2), (3, 1, 1)])
def test_any_number_of_cores_gives_the_same_ids(tmp_path: Path, cores: int, limit: int, used: int) -> None:
    settings = Settings("to the", 1.0, 0.9, 11, 40, cores=limit, report=True)
    ran = boot(tmp_path, settings, packed()[1], cores=cores)
    assert ran.ids == tell(interpreter, packed()[0], "to the", temperature=1.0, seed=11, n_tokens=40).ids
    assert f"BARELM cores {used}\n" in ran.screen


@pytest.mark.parametrize("at_end", ["return", "shutdown", "restart"])
def test_every_end_is_a_success(tmp_path: Path, at_end: str) -> None:
    ran = boot(tmp_path, Settings("to", 0.0, tokens=3, at_end=at_end, wait=0), packed()[1])
    assert ran.status == 0 and "BARELM DONE 0" in ran.screen.splitlines()


def test_a_person_sees_the_text_and_two_lines_of_figures(tmp_path: Path) -> None:
    ran = boot(tmp_path, Settings("to the sun", 0.0, tokens=25), packed()[1])
    text = tell(interpreter, packed()[0], "to the sun", n_tokens=25).text
    shown = "".join(c for c in text if c >= " ").rstrip("\ufffd")  # a character cut at the very end is not shown
    assert shown in ran.screen.replace("\n", "")
    assert ran.screen.startswith("barelm\n\n")
    assert re.search(r"\ntiny   5 MB of memory, context 64 tokens\n\n", ran.screen)
    assert re.search(r"\n\d+ tokens, [\d.]+ a second; prompt of \d+, [\d.]+ a second; seed \d+\n"
                     r"loaded at [\d.]+ MB/s; memory [\d.]+ MB; cores 1; x86-64-v[234]n?\n"
                     r"Press any key to go on.\nBARELM DONE 0\n", ran.screen)


@pytest.mark.parametrize("configuration", [None, b"", b"\0" * 100, b"\xff" * 3000, b'prompt = "', b"a\nb\n" * 50])
def test_a_missing_empty_or_senseless_configuration_means_the_defaults(tmp_path: Path,
                                                                      configuration: bytes | None) -> None:
    ran = boot(tmp_path, configuration, packed()[1])
    assert ran.status == 0 and " tokens, " in ran.screen
    bad = [line for line in (configuration or b"").split(b"\n") if line]
    assert ran.screen.count("is not understood and passed over.") == min(len(bad), MOST_COMPLAINTS)


def test_a_configuration_longer_than_its_room_is_cut(tmp_path: Path) -> None:
    raw = b"tokens = 2\nseed = 7\ntemperature = 0.0\nwait = 0\n" + b"# filler\n" * 9000 + b"tokens = 5\n"
    assert len(raw) > layout.TEXT_BYTES
    assert "\n2 tokens, " in boot(tmp_path, raw, packed()[1]).screen


def changed(place: int | str, bits: int) -> bytes:
    """The model with bits of a byte flipped, at an offset or in a field of the header."""
    content = bytearray(packed()[1])
    content[Header.offset_of(place) if isinstance(place, str) else place] ^= bits
    return bytes(content)


def section_end(number: int) -> int:
    """The last byte of a section."""
    entry = packed()[0].header.sections[number]
    return int(entry.offset + entry.n_bytes) - 1


@pytest.mark.parametrize("model, status, message, hint", [
    (lambda: None, uefi.EFI_NOT_FOUND, "there is no model on this volume", "Copy a packed model"),
    (lambda: b"", uefi.EFI_VOLUME_CORRUPTED, "the model file is too short to be a model", "Pack the checkpoint"),
    (lambda: packed()[1][:-4096], uefi.EFI_VOLUME_CORRUPTED, "the model file is cut short", "Pack"),
    (lambda: bytes(9999), uefi.EFI_UNSUPPORTED, "the model file is not a packed model", "Pack"),
    (lambda: changed("version", 2), uefi.EFI_INCOMPATIBLE_VERSION, "the model file is packed for another version",
     "Pack"),
    (lambda: changed("dim", 1), uefi.EFI_CRC_ERROR, "the header of the model file is damaged", "Pack"),
    *[(functools.partial(lambda n: changed(section_end(n), 1), n), uefi.EFI_CRC_ERROR,
       "the model file is damaged: a checksum does not match", "Pack")
      for n in (sections.PIECES, sections.WORDS, sections.EMBEDDING, sections.W2, sections.CLASSIFIER)]])
def test_a_bad_model_ends_in_a_screen_and_a_status(tmp_path: Path, model: Callable[[], bytes | None], status: int,
                                                  message: str, hint: str) -> None:
    check_failure(boot(tmp_path, Settings("to", 0.0, report=True), model()), status, message, hint)


def check_failure(ran: Ran, status: int, message: str, hint: str) -> None:
    """Message, hint, place and status, in this order, and the status returned."""
    assert re.search(rf"\nbarelm stopped: {message}[^\n]*\n{hint}[^\n]*\n"
                     rf"\(barelm/metal/[\w/]+\.py:\d+, status {status}\)\n(\(last failed call: [\w.]+, status \d+\)\n)?"
                     r"\(program [0-9a-f]{8}; [^\n]*\)\n(Press any key to go on.\n)?"
                     rf"BARELM DONE {status}\n", ran.screen), ran.screen
    assert ran.status == ERROR | status


@pytest.mark.parametrize("settings, message", [
    (Settings("to " * 200, 0.0), "the prompt is longer than the context of the model"),
    (Settings("to", 0.0, tokens=10**6), "prompt and `tokens` are more than the context holds")])
@pytest.mark.parametrize("cores", [1, 3])
def test_more_than_the_context_holds(tmp_path: Path, settings: Settings, message: str, cores: int) -> None:
    """Other processors work for it by then: they go home, and their memory goes back."""
    ran = boot(tmp_path, settings, packed()[1], cores=cores)
    check_failure(ran, uefi.EFI_INVALID_PARAMETER, message, "")


@pytest.mark.parametrize("pages", [12, 25])
def test_a_model_in_several_files_gives_the_same_ids(tmp_path: Path, pages: int) -> None:
    ran = boot(tmp_path, Settings("to the sun", 0.0, tokens=20, report=True), packed()[1], part_bytes=pages * 4096)
    with open_volume(tmp_path / "test.img") as volume:
        assert volume.lookup("model.blm.2") and volume.lookup("model.blm.3")
    assert (ran.ids, ran.status) == (tell(interpreter, packed()[0], "to the sun", n_tokens=20).ids, 0)


@pytest.mark.parametrize("cores", [1, 3])
def test_memory_in_pieces_gives_the_same_ids(tmp_path: Path, cores: int) -> None:
    """No piece that is free holds the whole file."""
    path = tmp_path / "pieces.blm"
    write_packed(tiny_checkpoint(1, dim=256, hidden_dim=512, n_heads=8, vocab_size=1200, seq_len=1200), path)
    model, ids = path.read_bytes(), []
    every_other = tuple((260 + 4 * k, 1) for k in range(14))
    for occupied in ((), every_other):
        ran = boot(tmp_path, Settings("to", 0.0, tokens=9, report=True), model, memory_mb=60, cores=cores,
                   occupied=occupied)
        assert ran.status == 0
        ids.append(ran.ids)
    assert ids[0] == ids[1] and len(model) > 4 << 20


def test_too_little_memory_says_how_much_it_takes(tmp_path: Path) -> None:
    path = tmp_path / "long.blm"
    write_packed(tiny_checkpoint(1, n_layers=6, n_kv_heads=4, seq_len=100_000), path)
    ran = boot(tmp_path, Settings("to", 0.0), path.read_bytes(), memory_mb=MEMORY_MB)
    needed = -(-read_packed(path).memory_bytes // 1000000)
    assert needed > MEMORY_MB * 1.05
    assert f"This model takes {needed} MB of memory, " in ran.screen
    assert re.search(r"\nThere are \d+ MB free; the largest of \d+ pieces has \d+ MB.\n", ran.screen)
    check_failure(ran, uefi.EFI_OUT_OF_RESOURCES, "the firmware has not enough memory for this model", "Take a")
