"""A `.blm` back into views the kernels take: what the loader does on the metal, on the host."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from barelm.contract import layout
from barelm.contract.layout import SENSELESS_WORDS, Header, Senseless
from barelm.contract.sections import CHAT, IN_HEADER, SECTIONS, TOOL_TEXTS
from barelm.errors import BarelmError
from barelm.kernels.bounds import senseless_field
from barelm.kernels.decoder.model import Config, Weights, bind_weights, read_config
from barelm.kernels.decoder.state import State, bind_state
from barelm.kernels.file_tables import senseless_table
from barelm.kernels.header import (
    CUT_SHORT,
    DAMAGED,
    NOT_A_MODEL,
    OTHER_VERSION,
    check_header,
    sum_matches,
    unknown_section,
)
from barelm.kernels.text.tokenizer import Vocabulary, bind_vocabulary
from barelm.pack.chat.chat_cutting import Chat
from barelm.pack.chat.chat_pieces import read_chat_section, read_tools_section
from barelm.pack.chat.tool_pieces import Tools
from barelm.pack.sums import checksum
from barelm.printed import printable

HINT = "Pack the checkpoint again with `barelm pack`."


@dataclass(frozen=True)
class Packed:
    """A packed model in memory."""

    path: Path
    header: Header
    sections: tuple[NDArray[np.uint8], ...]

    @property
    def name(self) -> str:
        """What the model is called."""
        return model_name(self.header)

    @property
    def config(self) -> Config:
        """The sizes."""
        return read_config(self.header)

    @property
    def memory_bytes(self) -> int:
        """What it will take on the metal."""
        return int(self.header.memory_bytes)

    @property
    def addresses(self) -> NDArray[np.int64]:
        """Where the sections lie; they do so as long as this object lives."""
        return np.array([section.ctypes.data for section in self.sections], np.int64)

    def weights(self) -> Weights:
        """The weights, as views that last as long as this object."""
        return bind_weights(self.header, self.addresses)

    def vocabulary(self) -> Vocabulary:
        """The tokenizer's tables, as views that last as long as this object."""
        return bind_vocabulary(self.header, self.addresses)

    @property
    def chat(self) -> Chat | None:
        """The pieces of its chat template, where it has one that could be cut into pieces."""
        chat = read_chat_section(self.sections[CHAT], self.header)
        return chat if isinstance(chat, Chat) else None

    @property
    def chat_refusal(self) -> str:
        """Why the model cannot chat, or ""."""
        reason = read_chat_section(self.sections[CHAT], self.header)
        return reason if isinstance(reason, str) else ""

    @property
    def tools(self) -> Tools | str:
        """The pieces around tools, or why the template takes none."""
        return read_tools_section(self.sections[TOOL_TEXTS], self.header)

    def fresh_state(self) -> State:
        """A zeroed state."""
        return bind_state(self.header, np.zeros(int(self.header.state_bytes), np.uint8))


def read_header(path: Path) -> Header:
    """The header of a packed model, checked.  Raises BarelmError where `path` is none."""
    try:
        with open(path, "rb") as file:
            raw = file.read(layout.HEADER_BYTES)
            size = file.seek(0, 2)
    except OSError as error:
        raise BarelmError(f"cannot read {path}: {error.strerror}", "Check the name.") from error
    return parse_header(raw, size, str(path))


def parse_header(raw: bytes, size: int, path: str) -> Header:
    """The header in the first bytes of a packed model of `size` bytes, called `path`; raises as `read_header`."""
    header = Header.over(np.frombuffer(raw.ljust(layout.HEADER_BYTES, b"\0"), np.uint8).copy())
    with np.errstate(over="ignore"):
        verdict = check_header(header, size)
    if verdict == NOT_A_MODEL:
        raise BarelmError(f"{path} is not a packed model", HINT)
    if verdict == OTHER_VERSION and header.version == layout.VERSION:
        name = text_of(header.sections[unknown_section(header)].name)
        raise BarelmError(f"{path} has a section {name!r}, which this barelm does not know", HINT)
    if verdict == OTHER_VERSION:
        raise BarelmError(f"{path} is packed in version {header.version} of the layout, "
                          f"this barelm reads version {layout.VERSION}", HINT)
    if verdict == DAMAGED:
        raise BarelmError(f"the header of {path} is damaged{senseless_words(header)}", HINT)
    if verdict == CUT_SHORT:
        missing = int(header.file_bytes) - size
        raise BarelmError(f"{path} is cut short: {missing} bytes are missing", HINT)
    return header


def senseless_words(header: Header) -> str:
    """What a header says that cannot be, for whoever reads that it is damaged; "" where there is more wrong with it."""
    finding = Senseless.over(np.zeros(SENSELESS_WORDS, np.int64))
    with np.errstate(over="ignore"):
        if not sum_matches(header):
            return ""
        if not senseless_field(header, IN_HEADER, header.address, finding):
            return ": its sizes do not fit together"
    name = [field.name for field in Header.FIELDS.values() if field.offset <= finding.place][-1]
    return f": {name} cannot be what it says"


def read_packed(path: Path, *, verify: bool = True) -> Packed:
    """Open a packed model, checking every section's sum.  Raises BarelmError naming the damaged one."""
    header = read_header(path)
    image: Any = np.memmap(path, np.uint8, "c")
    sections = []
    for number in range(max(header.n_sections, len(SECTIONS))):
        entry = header.sections[number]
        section = np.asarray(image[entry.offset:entry.offset + entry.n_bytes])
        if verify and checksum(section) != entry.sum:
            raise BarelmError(f"section '{text_of(entry.name)}' of {path} is damaged: its checksum does not match",
                              HINT)
        sections.append(section)
    packed = Packed(path, header, tuple(sections))
    finding = Senseless.over(np.zeros(SENSELESS_WORDS, np.int64))
    if senseless_table(header, packed.addresses, finding):
        raise BarelmError(f"section '{SECTIONS[finding.section].name}' of {path} holds what cannot be: "
                          f"{words_of(finding)}", HINT)
    return packed


def words_of(finding: Senseless) -> str:
    """What is wrong with a number of a file, in words."""
    if finding.most < finding.least:
        return f"number {finding.place}, {finding.value}, does not fit the others"
    return f"number {finding.place} is {finding.value}, not {finding.least} to {finding.most}"


def model_name(header: Header) -> str:
    """What the model is called."""
    return text_of(header.name)


def text_of(words: NDArray[np.int64]) -> str:
    """The text in some zero-padded words, fit to be printed: whoever made the file chose it."""
    return printable(words.tobytes().rstrip(b"\0").decode(errors="replace"))
