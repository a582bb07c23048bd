"""The linker: what it makes of objects, and what it refuses."""

from __future__ import annotations

import struct

import pefile
import pytest
from hypothesis import given
from hypothesis import strategies as st

from barelm.aot.linking.coff import read_object
from barelm.aot.linking.link import link, relocation_blocks
from barelm.aot.object import emit, linked
from barelm.dialect.lowering import FAMILY
from barelm.errors import BarelmError

HEAD = f'target triple = "{FAMILY.triple}"\n'
MAIN = (HEAD + "declare i64 @there(i64)\n@numbers = constant [3 x i64] [i64 5, i64 6, i64 7]\n"
        "@address = constant ptr getelementptr (i8, ptr @numbers, i64 8)\n"
        "define i64 @efi_main(i64 %x) {\n  %p = load volatile ptr, ptr @address\n  %n = load i64, ptr %p\n"
        "  %a = call i64 @there(i64 %n)\n  ret i64 %a\n}\n")
THERE = HEAD + "define i64 @there(i64 %x) {\n  %r = fadd double 1.5, 2.25\n  ret i64 %x\n}\n"


def compiled(text: str, *kept: str) -> bytes:
    """An object."""
    return emit(linked([text]), kept, FAMILY.baseline, small=True, others=("there",))


OBJECTS = {"a": compiled(MAIN, "efi_main", "address", "numbers"), "b": compiled(THERE, "there")}


def test_references_lead_where_they_should() -> None:
    program = link(OBJECTS)
    image = pefile.PE(data=program)
    memory = bytearray(image.get_memory_mapped_image())
    (block,) = image.DIRECTORY_ENTRY_BASERELOC
    (place,) = [entry.rva for entry in block.entries if entry.type]
    numbers = struct.unpack_from("<Q", memory, place)[0] - image.OPTIONAL_HEADER.ImageBase
    assert struct.unpack_from("<Q", memory, numbers)[0] == 6
    image.relocate_image(0x200000000)
    assert struct.unpack_from("<Q", image.get_memory_mapped_image(), place)[0] == 0x200000000 + numbers
    jump = memory.index(b"\xe9", image.OPTIONAL_HEADER.AddressOfEntryPoint)
    target = jump + 5 + struct.unpack_from("<i", memory, jump + 1)[0]
    there = next(section.content for section in read_object(OBJECTS["b"]).sections if section.name == ".text")
    assert bytes(memory[target:target + len(there)]) == there
    assert all(section.PointerToRawData >= image.OPTIONAL_HEADER.SizeOfHeaders for section in image.sections)
    assert link(OBJECTS) == program and link({**OBJECTS, "c": compiled(THERE.replace("@there", "@x"), "x")}) != program


def test_a_common_variable_is_one_for_all_objects() -> None:
    """As the words of `failed_call` are: a node notes what the story shows."""
    text = HEAD + ("@words = common global [2 x i64] zeroinitializer\ndefine i64 @NAME(i64 %x) {\n"
                   "  %y = atomicrmw add ptr @words, i64 %x seq_cst\n  ret i64 %y\n}\n")
    objects = {name: compiled(text.replace("NAME", name), name) for name in ("efi_main", "there")}
    image = pefile.PE(data=link(objects))
    (data,) = [section for section in image.sections if section.Name.startswith(b".data")]
    assert data.Misc_VirtualSize == 16


def test_what_does_not_fit_together_is_refused() -> None:
    for objects, words in (
            ({"a": OBJECTS["a"]}, "nobody defines there"), ({"b": OBJECTS["b"]}, "there is no efi_main"),
            ({**OBJECTS, "c": OBJECTS["b"]}, "two objects define there"), ({"n": b"no object"}, "n is no object"),
            ({"n": OBJECTS["a"][:100]}, "n is no object")):
        with pytest.raises(BarelmError, match=words):
            link(objects)


def test_a_kind_of_reference_that_is_not_known_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAMILY.references, 4, None)
    with pytest.raises(BarelmError, match="in the way of kind 4, which x86-64 does not have"):
        link(OBJECTS)


def test_an_object_is_read() -> None:
    one = read_object(OBJECTS["a"])
    assert one.machine == FAMILY.pe_machine and one.undefined() == {"there"}
    assert {"efi_main", "address", "numbers"} <= {symbol.name for symbol in one.symbols.values() if symbol.section > 0}


@given(st.sets(st.integers(0x1000, 0x9000).map(lambda at: at * 8), min_size=1))
def test_the_table_of_addresses_has_each_once(places: set[int]) -> None:
    blocks, at, read = relocation_blocks(sorted(places)), 0, []
    while at < len(blocks):
        page, size = struct.unpack_from("<II", blocks, at)
        assert size % 4 == 0 and page % 0x1000 == 0
        read += [page + (entry & 0xFFF) for (entry,) in struct.iter_unpack("<H", blocks[at + 8:at + size])
                 if entry >> 12 == 10]
        at += size
    assert read == sorted(places)
