"""The program itself, and what the gate after linking refuses."""

from __future__ import annotations

import getpass
import os
import struct
from pathlib import Path

import pefile
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barelm.aot.pe import check_program, host_paths, read_program
from barelm.errors import BarelmError
from tests.built import program

LARGEST = 880_000  # bytes: kernels for four CPU levels, 80 to 100 KB each, the conversation, the node, 52 KB of font
WRITE, EXECUTE = 0x80000000, 0x20000000


@pytest.fixture(scope="module")
def content() -> bytes:
    """The bytes of the real program."""
    return program().read_bytes()


def optional_header(content: bytes) -> int:
    """Where the optional header begins."""
    return int(struct.unpack_from("<I", content, 0x3C)[0]) + 24


def with_word(content: bytes, offset: int, value: int, form: str = "<I") -> bytes:
    """The same bytes but for one number."""
    changed = bytearray(content)
    struct.pack_into(form, changed, offset, value)
    return bytes(changed)


def test_it_is_a_small_efi_application_with_relocations(content: bytes) -> None:
    facts = read_program(content)
    assert (facts.machine, facts.subsystem) == ("x86-64", "IMAGE_SUBSYSTEM_EFI_APPLICATION")
    assert facts.n_relocations > 0 and facts.entry > 0
    assert facts.n_bytes == len(content) < LARGEST
    check_program(content)


def test_it_holds_no_path_user_or_time_of_this_machine(content: bytes) -> None:
    assert host_paths(content) == []
    for word in {str(Path.home()), os.getcwd(), getpass.getuser() + "@"}:
        assert word.encode() not in content and word.encode("utf-16-le") not in content
    assert b"/usr/" not in content and b"numba" not in content.lower()


def test_no_section_can_be_written_and_run(content: bytes) -> None:
    for section in pefile.PE(data=content, fast_load=True).sections:
        assert not (section.Characteristics & WRITE and section.Characteristics & EXECUTE), section.Name


def test_a_driver_is_refused(content: bytes) -> None:
    with pytest.raises(BarelmError, match="IMAGE_SUBSYSTEM_EFI_BOOT_SERVICE_DRIVER"):
        check_program(with_word(content, optional_header(content) + 68, 11, "<H"))


def test_an_entry_outside_the_code_is_refused(content: bytes) -> None:
    data = next(s for s in pefile.PE(data=content, fast_load=True).sections if not s.Characteristics & EXECUTE)
    for entry in (data.VirtualAddress, 0x7FFFFFFF):
        with pytest.raises(BarelmError, match="entry is not in its code"):
            check_program(with_word(content, optional_header(content) + 16, entry))


def test_a_writable_code_section_is_refused(content: bytes) -> None:
    section = pefile.PE(data=content, fast_load=True).sections[0]
    offset = section.get_file_offset() + 36
    with pytest.raises(BarelmError, match="both writable and executable"):
        check_program(with_word(content, offset, section.Characteristics | WRITE | EXECUTE))


def test_a_program_without_relocations_is_refused(content: bytes) -> None:
    directory = optional_header(content) + 112 + 8 * 5
    with pytest.raises(BarelmError, match="no relocations"):
        check_program(with_word(with_word(content, directory, 0), directory + 4, 0))


def test_an_import_is_refused(content: bytes) -> None:
    with pytest.raises(BarelmError, match="imports from a library"):
        check_program(with_word(content, optional_header(content) + 112 + 8 + 4, 40))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
def test_a_path_of_this_machine_is_refused(content: bytes, encoding: str) -> None:
    folder = os.getcwd()
    with pytest.raises(BarelmError, match="would carry the path"):
        check_program(content + folder.encode(encoding))


@pytest.mark.parametrize("broken", [b"", b"MZ", b"MZ" + bytes(62), bytes(4096), b"\x7fELF" + bytes(1000)])
def test_what_is_no_program_is_refused_in_a_sentence(broken: bytes) -> None:
    with pytest.raises(BarelmError, match="x.efi is not a program for UEFI: "):
        read_program(broken, "x.efi")


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_broken_program_is_read_or_refused_never_worse(data: st.DataObject) -> None:
    content = bytearray(program().read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, 1023))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    try:
        read_program(bytes(content[:cut]))
    except BarelmError as error:
        assert error.hint
