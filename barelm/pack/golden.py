"""The example packed with a model: what it makes of fixed ids, for any machine to compute again."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from barelm.contract import layout
from barelm.contract.layout import Header
from barelm.errors import BarelmError
from barelm.kernels.session import sum_with


@dataclass(frozen=True)
class Golden:
    """The ids, the given ones first, and the checksum of the logits of every step."""

    ids: tuple[int, ...]
    sum: int

    @staticmethod
    def heard(numbers: list[int]) -> Golden | None:
        """From what the program says: the sum of the logits, then the ids, then the sum of all.

        None where the program said nothing; raises BarelmError where something of it was lost.
        """
        ids = numbers[1:-1]
        if not numbers:
            return None
        if (not layout.GOLDEN_PROMPT <= len(ids) <= layout.GOLDEN_MOST
                or functools.reduce(sum_with, numbers[:-1], 0) != numbers[-1]):
            raise BarelmError("the program's example of what the model computes came damaged",
                              "The console lost a part of it: try again.")
        return Golden(tuple(ids), numbers[0])

    def put_into(self, header: Header) -> None:
        """Set the words of a header."""
        header.golden_n = len(self.ids)
        header.golden_ids[:len(self.ids)] = self.ids
        header.golden_sum = self.sum
