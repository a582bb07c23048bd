"""Receipts on the host: read, checked against themselves, and turned into what the program computes again."""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from barelm.contract.layout import PAGE
from barelm.contract.trust.receipt_state import MOST_LINKS, RECEIPT_FORMAT, REPLAY_MAGIC, ReceiptStart, Replay
from barelm.dialect.memory import float_of_bits
from barelm.errors import BarelmError

MOST_BYTES = 64 << 20
_HINT = "Take the receipt from where it was written again."
_HEX = {8: re.compile("[0-9a-f]{8}"), 16: re.compile("[0-9a-f]{16}"), 64: re.compile("[0-9a-f]{64}")}
_REALS = ("temperature", "top_p", "min_p", "repeat")


@dataclass(frozen=True)
class Receipt:
    """What a receipt says."""

    model: str  # SHA-256
    model_bytes: int
    program: str
    settings: dict[str, int]  # numbers, or their bits
    previous: str
    first: str
    before: tuple[int, ...]
    n_tokens: int
    ids: tuple[int, ...]
    links: tuple[str, ...]
    last: str
    quote: bytes = b""  # a TPM's answers

    def start(self) -> ReceiptStart:
        """What its first link is of, as the program holds it."""
        start = ReceiptStart.over(np.zeros(ReceiptStart.BYTES, np.uint8))
        self.write_start(start)
        return start

    def write_start(self, start: ReceiptStart) -> None:
        """The same, into a place there is."""
        start.format, start.n_ids = RECEIPT_FORMAT, len(self.before)
        start.penalised_from, start.top_k = self.settings["penalised_from"], self.settings["top_k"]
        start.rng = self.settings["rng"] - (self.settings["rng"] >> 63 << 64)
        for name in _REALS:
            setattr(start, name, float_of_bits(self.settings[name]))
        start.model[:] = np.frombuffer(bytes.fromhex(self.model), np.uint8)
        start.previous[:] = np.frombuffer(bytes.fromhex(self.previous), np.uint8)

    def ids_before(self) -> bytes:
        """The ids before the answer, as the program holds them."""
        return np.array(self.before, np.int64).tobytes()

    def replay(self) -> bytes:
        """`replay.bin`."""
        asked = Replay.over(np.zeros(PAGE, np.uint8))
        asked.magic, asked.n_tokens = REPLAY_MAGIC, self.n_tokens
        self.write_start(asked.start)
        return bytes(asked.base) + self.ids_before()


def parse_receipt(content: bytes, name: str) -> Receipt:
    """From the file.  Raises BarelmError where it is none, or contradicts itself."""
    try:
        raw = json.loads(content)
        receipt = _receipt(raw)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BarelmError(f"{name} is not a receipt: {error}", _HINT) from error
    if hashlib.sha256(bytes(receipt.start().base) + receipt.ids_before()).hexdigest() != receipt.first:
        raise BarelmError(f"{name} contradicts itself: its first hash is not of its model, settings and ids", _HINT)
    return receipt


def is_receipt(content: bytes) -> bool:
    """Whether the beginning of a file looks like one."""
    return content.lstrip()[:1] == b"{" and b'"model"' in content and b'"format"' in content


def parting(told: Receipt, computed: Receipt) -> int | None:
    """The first token, from 0, at which two receipts of the same beginning part; None where they are equal.

    Where they part behind the tokens that are listed, it is the first of those that are not.
    """
    for k in range(max(len(told.ids), len(computed.ids))):
        if (told.ids[k:k + 1], told.links[k:k + 1]) != (computed.ids[k:k + 1], computed.links[k:k + 1]):
            return k
    return None if (told.last, told.n_tokens) == (computed.last, computed.n_tokens) else len(told.ids)


def _receipt(raw: dict[str, Any]) -> Receipt:
    if raw["format"] != RECEIPT_FORMAT:
        raise ValueError(f"its format is {raw['format']!r}, and this version knows {RECEIPT_FORMAT}")
    settings = raw["settings"]
    n_tokens = _number(raw["n_tokens"], 1 << 24)
    listed = min(n_tokens, MOST_LINKS)
    numbers = {name: int(_hex(settings[name], 8), 16) for name in _REALS}
    if any(not np.isfinite(float_of_bits(bits)) or bits >> 31 for bits in numbers.values()):
        raise ValueError("a setting is no number")
    before, ids, links = (tuple(raw[name]) for name in ("before", "ids", "links"))
    if len(ids) != listed or len(links) != listed or not before or not ids:
        raise ValueError("it has not as many ids as tokens")
    if settings["penalised_from"] not in (0, len(before)):
        raise ValueError(f"no answer behind {len(before)} ids is penalised from {settings['penalised_from']!r:.40} on")
    return Receipt(
        _hex(raw["model"]["sha256"], 64), _number(raw["model"]["bytes"], 1 << 62), _hex(raw["program"]["sha256"], 64),
        {"rng": int(_hex(settings["rng"], 16), 16), "top_k": _number(settings["top_k"], 1 << 62),
         "penalised_from": _number(settings["penalised_from"], 1 << 24), **numbers},
        _hex(raw["previous"], 64), _hex(raw["first"], 64), tuple(_number(i, 1 << 31) for i in before), n_tokens,
        tuple(_number(i, 1 << 31) for i in ids), tuple(_hex(link, 16) for link in links), _hex(raw["last"], 64),
        bytes.fromhex(raw.get("quote", "")))


def _number(value: Any, below: int) -> int:
    if type(value) is not int or not 0 <= value < below:
        raise ValueError(f"{value!r:.40} is not a number it may have")
    return value


def _hex(value: Any, n: int) -> str:
    if not isinstance(value, str) or not _HEX[n].fullmatch(value):
        raise ValueError(f"{value!r:.80} is not a hash it may have")
    return value
