"""Conversations kept: nothing is read twice, the bits are those of a fresh one, and a power cut loses none whole."""

from __future__ import annotations

import functools
import shutil
import tempfile
from pathlib import Path

import pytest

from barelm import pipeline
from barelm.disk import open_editor, open_volume
from barelm.machine.hosted import Hosted
from barelm.machine.qemu import Qemu
from barelm.pack.reader import Packed, read_packed
from barelm.settings import Settings
from tests.appliance.chatty import Chatty, volume_of
from tests.appliance.kept import Kept, check_last_reply, kept_in, read_kept
from tests.appliance.talk import talk
from tests.built import program
from tests.quiet import Quiet

pytestmark = pytest.mark.skipif(Hosted().why_not() is not None, reason=str(Hosted().why_not()))

N_TOKENS = 6
SYSTEM = "the world and hello to the world " * 20
INTERRUPT = "\x03"  # not Esc: with the Enter behind it, that would be Alt-Enter
FIRST, SECOND, THIRD = "hello world", "and what else", "to the end"


@functools.cache
def folder() -> tempfile.TemporaryDirectory[str]:
    """Where the models lie; gone with the process."""
    return tempfile.TemporaryDirectory(prefix="sessions-")


@functools.cache
def model(seq_len: int = 512, kv: str = "f16") -> Packed:
    """A chat model."""
    path = Path(folder().name) / f"{seq_len}.{kv}.blm"
    Chatty(5, seq_len).write(path, kv=kv)
    return read_packed(path)


def image_of(place: Path, packed: Packed | None = None, *, system: str = "", prefix: bool = False,
             name: str = "talk.img") -> Path:
    """An image that talks, greedily."""
    packed = packed or model()
    settings = Settings("", 0.0, tokens=N_TOKENS, chat=True, wait=0, system=system)
    found = pipeline.prefix_of(packed, settings, program(), Quiet()) if prefix else None
    return volume_of(place / name, settings, {"model.blm": packed.path}, prefix=found)


def test_a_turn_reads_no_id_of_the_one_before(tmp_path: Path) -> None:
    spoken = talk(image_of(tmp_path), FIRST, "/stats", SECOND, "/stats", "/save t")
    first, second = spoken.stats
    kept = kept_in(tmp_path / "talk.img", "t")
    reply, end = kept.turns[0].reply, kept.turns[0].end
    assert (first.last_read, first.cached, first.tokens) == (reply, end - 1, end)
    # What the second turn reads: its own ids, and the last of the reply before, which was chosen but never read.
    assert second.last_read == kept.turns[1].reply - kept.turns[0].end + 1
    assert second.read == first.read + second.last_read and second.made == 2 * N_TOKENS


def test_a_system_text_read_on_the_host_is_not_read_again(tmp_path: Path) -> None:
    plain, slow, fast = (image_of(tmp_path, system=system, prefix=prefix, name=f"{prefix}{len(system)}.img")
                         for system, prefix in (("", False), (SYSTEM, False), (SYSTEM, True)))
    reads = [talk(image, FIRST, "/stats", "/save t").stats[0].last_read for image in (plain, slow, fast)]
    assert reads[1] > 200 and reads[2] <= reads[0]
    with open_volume(fast) as volume:
        entry = volume.lookup("prefix.session")
        assert entry is not None
        prefix = read_kept(volume.read(entry, 0, entry.size))
    kept = kept_in(fast, "t")
    assert prefix.ids == kept.ids[:len(prefix.ids)] and reads[2] == reads[1] - len(prefix.ids)
    assert kept.same_text(kept_in(slow, "t"))
    check_last_reply(model(), kept)


@pytest.mark.parametrize("kv", ["f32", "f16", "q8"])
def test_loaded_goes_on_as_if_never_switched_off(tmp_path: Path, kv: str) -> None:
    packed = model(512, kv)
    whole, parts = image_of(tmp_path, packed, name="whole.img"), image_of(tmp_path, packed, name="parts.img")
    talk(whole, FIRST, SECOND, THIRD, "/save t")
    talk(parts, FIRST, SECOND, "/save t")
    before = kept_in(parts, "t")
    went_on = talk(parts, "/load t", "/stats", THIRD, "/stats", "/save t")
    kept = kept_in(parts, "t")
    assert kept.same_text(kept_in(whole, "t")) and kept.ids[:len(before.ids)] == before.ids
    assert went_on.stats[0].read == 0 and went_on.stats[0].cached == before.cached
    assert went_on.stats[1].read == kept.turns[2].reply - before.cached
    check_last_reply(packed, kept)


def test_with_turns_dropped_the_bits_are_those_of_a_fresh_conversation(tmp_path: Path) -> None:
    packed = model(128)
    spoken = talk(image_of(tmp_path, packed, system="be kind"), *(f"hello {k}" for k in range(8)), "/save t")
    assert "The context is full.  Turns forgotten, the oldest first: " in spoken.shown
    kept = kept_in(tmp_path / "talk.img", "t")
    assert len(kept.turns) < 8 and kept.turns[-1].typed == "hello 7" and kept.system == "be kind"
    check_last_reply(packed, kept)


def test_with_another_system_text_too(tmp_path: Path) -> None:
    image = image_of(tmp_path)
    talk(image, FIRST, "/system the world is 123", SECOND, "/save t", "/undo", "/undo", "/system", FIRST, "/save u")
    kept, other = kept_in(image, "t"), kept_in(image, "u")
    assert kept.system == "the world is 123" and [turn.typed for turn in kept.turns] == [FIRST, SECOND]
    for one in (kept, other):
        check_last_reply(model(), one)


def test_taken_back_retried_and_interrupted(tmp_path: Path) -> None:
    packed = model(8192)  # an answer of so many takes long enough to be stopped
    image = image_of(tmp_path, packed)
    spoken = talk(image, FIRST, SECOND, "/retry", "/save a", "/undo", THIRD, "/save b", "/tokens 0",
                  f"{THIRD}\n{INTERRUPT}", "/save c", "/tokens 6", "/retry", "/save d")
    assert "[stopped]" in spoken.shown
    a, b, c, d = (kept_in(image, name) for name in "abcd")
    assert [turn.typed for turn in d.turns] == [FIRST, THIRD, THIRD] and d.ids[:len(b.ids)] == b.ids
    assert c.ids[:len(d.ids)] == d.ids and len(c.ids) > len(d.ids)
    for kept in (a, b, d):
        check_last_reply(packed, kept)


@pytest.mark.boot
@pytest.mark.skipif(Qemu().why_not() is not None, reason=str(Qemu().why_not()))
def test_a_conversation_in_qemu_is_that_on_hosted(tmp_path: Path) -> None:
    here, there = image_of(tmp_path, system=SYSTEM, prefix=True, name="here.img"), tmp_path / "there.img"
    shutil.copyfile(here, there)
    for image, machine in ((here, Hosted()), (there, Qemu())):
        talk(image, FIRST, SECOND, "/save t", machine=machine)
        talk(image, "/load t", THIRD, "/system the end", "hello", "/save u", machine=machine)
    for name in "tu":
        assert kept_in(here, name).same_text(kept_in(there, name))


def test_a_full_volume_says_so_in_a_line_and_keeps_what_there_was(tmp_path: Path) -> None:
    image = image_of(tmp_path)
    talk(image, FIRST, "/save t")
    before = kept_in(image, "t")
    with open_editor(image) as volume:
        volume.save("filler.bin", bytes(volume.free_bytes))
    spoken = talk(image, "/load t", SECOND, "/save t", "/save u", "/report")
    for line in ("/save t", "/save u", "/report"):
        said = spoken.answer_to(line).strip().splitlines()
        assert "Not written: the volume is full.  Delete something on it, or write an image with --free." in said
    assert spoken.status == 0 and kept_in(image, "t").same_text(before)
    with open_volume(image) as volume:
        assert sorted(entry.path for entry in volume.files() if entry.path.startswith("sessions/")) == [
            "sessions/t.md", "sessions/t.session"]


def test_a_read_only_volume_says_so_in_a_line(tmp_path: Path) -> None:
    image = image_of(tmp_path)
    before = image.read_bytes()
    spoken = talk(image, FIRST, "/save t", "/report", SECOND, writable=False)
    for line in ("/save t", "/report"):
        assert "Not written: the volume is read-only.  Is there a switch on the stick?" in (
            spoken.answer_to(line).splitlines())
    assert spoken.status == 0 and image.read_bytes() == before


@functools.cache
def saved_twice() -> tuple[Path, Kept, Kept, int]:
    """An image with a saved conversation; that, the longer one saved over it, and how many sector writes this takes."""
    place = Path(folder().name)
    image = image_of(place, model(256), name="cut.img")
    talk(image, FIRST, "/save t")
    copy = place / "copy.img"
    shutil.copyfile(image, copy)
    spoken = talk(copy, *SAVE_OVER)
    assert spoken.status == 0 and spoken.writes > 20
    return image, kept_in(image, "t"), kept_in(copy, "t"), spoken.writes


SAVE_OVER = ("/load t", SECOND, "/save t")
PARTS = 8


@pytest.mark.parametrize("part", range(PARTS))
def test_a_power_cut_at_any_write_of_a_save_leaves_the_old_or_the_new_conversation(tmp_path: Path, part: int) -> None:
    image, old, new, writes = saved_twice()
    assert not old.same_text(new)
    cut = tmp_path / "cut.img"
    for n in range(1 + part, writes + 1, PARTS):
        shutil.copyfile(image, cut)
        assert talk(cut, *SAVE_OVER, machine=Hosted(power_cut=n)).status is None
        spoken = talk(cut, "/load t", "/save u")
        assert spoken.status == 0, f"after a cut at write {n} of {writes}:\n{spoken.shown}"
        assert "Saved.  /load u" in spoken.shown, f"after a cut at write {n} of {writes}:\n{spoken.shown}"
        found = kept_in(cut, "u")
        assert found.same_text(old) or found.same_text(new), f"after a cut at write {n} of {writes}"
        assert found.cached == found.turns[-1].end - 1
