"""Files that lie: models and sessions changed anywhere, their sums put right again."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from barelm.contract import layout
from barelm.contract.layout import PAGE, Header, SectionEntry
from barelm.contract.session_file import SESSION_MAGIC, SESSION_VERSION, SessionHeader
from barelm.pack.sums import checksum, own_sum


class LyingModel:
    """A packed model's bytes, to be changed in place."""

    def __init__(self, content: bytes) -> None:
        self.raw = np.frombuffer(content, np.uint8).copy()
        self.header = Header.over(self.raw[:layout.HEADER_BYTES])

    def section(self, number: int, dtype: Any = np.int32) -> NDArray[Any]:
        """A section of it; what its entry says, as far as the file goes."""
        entry = self.header.sections[number]
        lo = min(max(int(entry.offset), 0), len(self.raw))
        hi = min(max(lo + int(entry.n_bytes), lo), len(self.raw))
        return self.raw[lo:hi - (hi - lo) % 8].view(dtype)

    @property
    def addresses(self) -> NDArray[np.int64]:
        """Where the sections lie, as long as this lives; what their entries say has been checked."""
        first = Header.offset_of("sections")
        table = self.raw[first:first + layout.MOST_SECTIONS * SectionEntry.BYTES].view(np.int64)
        return table[::SectionEntry.BYTES // 8] + self.header.address  # type: ignore[no-any-return]

    def content(self) -> bytes:
        """The file, under right sums."""
        for number in range(layout.MOST_SECTIONS):
            self.header.sections[number].sum = checksum(self.section(number, np.uint8))
        self.header.sum = own_sum(self.header)
        return self.raw.tobytes()


def session_of(model: Header, ids: list[int], turns: list[list[int]], typed: bytes = b"", system: bytes = b"",
               **words: int) -> bytes:
    """A session without a cache; `words` are set in its header."""
    body = np.array(ids, np.int64).tobytes() + np.array(turns, np.int64).tobytes()
    body += b"".join(text.ljust(-(-len(text) // 8) * 8, b"\0") for text in (system, typed))
    head = SessionHeader.over(np.zeros(PAGE, np.uint8))
    head.magic, head.version = SESSION_MAGIC, SESSION_VERSION
    head.model_sum, head.n_tokens, head.n_turns = model.sum, len(ids), len(turns)
    head.system_bytes, head.typed_bytes, head.rng = len(system), len(typed), 1
    for name, value in words.items():
        setattr(head, name, value)
    head.text_sum = checksum(np.frombuffer(body, np.uint8))
    head.sum = own_sum(head)
    return head.base.tobytes() + body  # type: ignore[no-any-return]
