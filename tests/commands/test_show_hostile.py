"""`barelm show` of packed models that lie under right sums: facts or a sentence; no traceback, no escape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from barelm.commands.image_files import copy_files, list_files
from barelm.commands.show import show_file
from barelm.contract import layout
from barelm.contract.layout import Header
from barelm.contract.sections import CHAT, EMBEDDING, PIECES, TOOL_TEXTS
from barelm.disk import write_image
from barelm.errors import BarelmError
from barelm.pack.reader import Packed
from barelm.pack.sums import checksum
from barelm.pipeline import Packing
from tests.conftest import Pack
from tests.metal.talks import chat_model
from tests.models import tiny_checkpoint
from tests.pack.test_damage import with_header

ESCAPES = b"x\x1b]0;pwned\x07\xc2\x9b2J"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    """A chat model in a folder of its own."""
    model, raw = chat_model()
    path = tmp_path_factory.mktemp("show") / "chat.blm"
    path.write_bytes(raw)
    return Packed(path, model.header, model.sections)


def changed(packed: Packed, words: dict[int, int], section: int = -1, content: bytes = b"") -> Path:
    """The model with other words of the header, and another beginning of a section, under right sums."""
    raw = bytearray(packed.path.read_bytes())
    header = Header.over(np.frombuffer(bytes(raw[:layout.HEADER_BYTES]), np.uint8).copy())
    whole = packed.path
    if section >= 0:
        entry = header.sections[section]
        at, content = int(entry.offset), content[:int(entry.n_bytes)]
        raw[at:at + len(content)] = content
        entry.sum = checksum(np.frombuffer(bytes(raw[at:at + int(entry.n_bytes)]), np.uint8))
        whole = packed.path.with_name("section.blm")
        whole.write_bytes(raw)
    numbers = header.base.view(np.int64)
    for place, value in words.items():
        numbers[place] = value
    return with_header(Packed(whole, header, packed.sections), header.base.tobytes())


def shown(path: Path, capsys: pytest.CaptureFixture[str] | None = None, as_json: bool = False) -> str:
    """What `barelm show` says of it."""
    try:
        show_file(path, as_json, 0, Packing())
    except BarelmError as error:
        assert error.hint
        return error.message
    return capsys.readouterr().out if capsys else ""


def test_a_sound_one_is_shown(packed: Packed, capsys: pytest.CaptureFixture[str]) -> None:
    assert "checksums" in shown(changed(packed, {}), capsys)


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("where", ["name", "section"])
def test_escapes_reach_no_terminal(packed: Packed, capsys: pytest.CaptureFixture[str], where: str, as_json: bool
                                   ) -> None:
    place = {"name": Header.offset_of("name"), "section": int(packed.header.sections[PIECES].name.ctypes.data)
             - packed.header.address}[where] // 8
    words = dict(zip(range(place, place + 2), map(int, np.frombuffer(ESCAPES.ljust(16, b"\0"), np.int64))))
    said = shown(changed(packed, words), capsys, as_json)
    assert "pwned" in said and said.replace("\n", "").isprintable()


@pytest.mark.parametrize("as_json", [False, True])
def test_escapes_of_a_refusal_do_not_either(pack: Pack, capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    said = shown(changed(pack(tiny_checkpoint()), {}, CHAT, ESCAPES), capsys, as_json)
    assert "pwned" in said and said.replace("\n", "").isprintable()


@pytest.mark.parametrize("section", [EMBEDDING, PIECES])
@pytest.mark.parametrize("kind", [99, -1, 2**62, -2**63])
def test_an_encoding_there_is_none_of_is_a_sentence(packed: Packed, section: int, kind: int) -> None:
    entry = int(packed.header.sections[section].address - packed.header.address) // 8
    tensor = int(packed.header.tensors[0].address - packed.header.address) // 8
    for first, n in ((entry, layout.SectionEntry.BYTES // 8), (tensor, layout.TensorEntry.BYTES // 8)):
        for place in range(first, first + n):
            shown(changed(packed, {place: kind}))


@given(st.data())
def test_whatever_a_header_says(packed: Packed, data: st.DataObject) -> None:
    words = {}
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(Header.offset_of("file_bytes") // 8, layout.HEADER_BYTES // 8 - 1))
        words[place] = data.draw(st.integers(-2**63, 2**63 - 1) | st.integers(-3, 700))
    shown(changed(packed, words))


@given(st.sampled_from((CHAT, TOOL_TEXTS)),
       st.lists(st.integers(-2**31, 2**31 - 1) | st.integers(-3, 300), max_size=60))
def test_whatever_the_pieces_of_a_template_say(packed: Packed, section: int, ends: list[int]) -> None:
    shown(changed(packed, {}, section, np.array(ends, np.int32).tobytes()))


@pytest.mark.parametrize("as_json", [False, True])
def test_lines_and_names_on_a_volume_reach_no_terminal_as_they_are(tmp_path: Path, as_json: bool,
                                                                  capsys: pytest.CaptureFixture[str]) -> None:
    image = tmp_path / "a.img"
    name = "x\u202e\x9b2J.txt"
    write_image(image, {"barelm.toml": b"# " + ESCAPES + b"\n", name: b"here"}, plain=True)
    assert show_file(image, as_json, 0, Packing()) == 0 and list_files(str(image), as_json) == 0
    said = capsys.readouterr().out
    assert "pwned" in said and "2J.txt" in said and said.replace("\n", "").isprintable()
    copy_files([f"{image}:{name}", str(tmp_path)])
    assert (tmp_path / "x\ufffd\ufffd2J.txt").read_bytes() == b"here"
