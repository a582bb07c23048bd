"""The example packed with a model: what it makes of fixed ids, for any machine to compute again."""

from __future__ import annotations

from dataclasses import dataclass

from barelm.contract import layout
from barelm.contract.layout import Header


@dataclass(frozen=True)
class Golden:
    """The ids, the given ones first, and the checksum over the logits of every step."""

    ids: tuple[int, ...]
    sum_a: int
    sum_b: int

    @staticmethod
    def heard(numbers: list[int]) -> Golden | None:
        """From what the program says: four numbers of 32 bits, then the ids; None where it is no such thing."""
        ids = numbers[4:]
        if not layout.GOLDEN_PROMPT <= len(ids) <= layout.GOLDEN_MOST:
            return None
        return Golden(tuple(ids), numbers[0] | numbers[1] << 32, numbers[2] | numbers[3] << 32)

    def put_into(self, header: Header) -> None:
        """Set the words of a header."""
        header.golden_n = len(self.ids)
        header.golden_ids[:len(self.ids)] = self.ids
        header.golden_sum_a, header.golden_sum_b = self.sum_a, self.sum_b
