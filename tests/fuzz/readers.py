"""What the host reads of others, as functions of bytes that end or raise BarelmError; and a few sound files for each.

Where a format has sums, they are put right before reading: what is behind them is what has to hold.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import random
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from barelm.aot.pe import read_program
from barelm.checkpoint.llama2c import read_llama2c_header
from barelm.checkpoint.read import read_checkpoint, read_header
from barelm.checkpoint.tokenizer_bin import read_tokenizer
from barelm.commands.show import header_facts, sections_of
from barelm.contract import layout
from barelm.contract.layout import Header
from barelm.contract.sections import CHAT
from barelm.contract.serving.request_state import TOKENS
from barelm.disk import open_editor, open_volume, write_image
from barelm.disk.gpt import SECTOR
from barelm.kernels.session import sum_with
from barelm.machine.terminal import PlainText
from barelm.machine_report import parse_report
from barelm.outcome import outcome_of
from barelm.pack.reader import Packed, read_packed
from barelm.pack.sums import own_sum
from barelm.pack.tokenizer_tables import tokenizer_tables
from barelm.pack.writer import write_packed
from barelm.settings import Settings
from barelm.transcript import Transcript
from barelm.trust.authenticode import certificate_table, sign_program, signed_by
from barelm.trust.binding import bound_names
from barelm.trust.manifest import MANIFEST_PATH, verify_image
from barelm.trust.quote import judge_quote
from barelm.trust.receipt_file import _receipt, parse_receipt, parting
from tests.gguf_files import write_small_gguf
from tests.kernels.web.asking import EVERYTHING, ask
from tests.kernels.web.test_http_request import read as read_http
from tests.machine.programs import program as compiled
from tests.metal.storage.test_configuration import read as read_toml
from tests.models import tiny_checkpoint, write_llama2c_v0, write_llama2c_v1, write_llama2c_v2, write_tokenizer_bin
from tests.test_machine_report import EXAMPLE
from tests.trust.signing import signer
from tests.trust.signing_tpm import SigningTpm
from tests.worlds import interpreter

CORPUS = Path(__file__).with_name("corpus")
MOST_OF_A_FILE = 1 << 16
CHUNK = 4096
VOCAB_SIZE = 320


@functools.cache
def folder() -> Path:
    """A folder in memory, where there is such, for files that are read by their paths."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    holder = tempfile.TemporaryDirectory(prefix="barelm-fuzz-", dir=place)
    _held.append(holder)
    return Path(holder.name)


_held: list[tempfile.TemporaryDirectory[str]] = []


def file_with(name: str, content: bytes) -> Path:
    """A file of this content."""
    path = folder() / name
    path.write_bytes(content)
    return path


@functools.cache
def tiny() -> Packed:
    """A small packed model."""
    path = folder() / "tiny.blm"
    write_packed(tiny_checkpoint(1, vocab_size=VOCAB_SIZE), path)
    return read_packed(path)


def gguf_header(content: bytes) -> None:
    """What `barelm show` reads of a GGUF."""
    read_header(file_with("header.gguf", content))


def gguf(content: bytes) -> None:
    """A GGUF with its vocabulary and the views of its tensors."""
    tokenizer_tables(read_checkpoint(file_with("whole.gguf", content)).vocab)


def llama2c(content: bytes) -> None:
    """A llama2.c checkpoint's header."""
    read_llama2c_header(file_with("model.bin", content))


def tokenizer(content: bytes) -> None:
    """A tokenizer.bin, and what is made of it."""
    tokenizer_tables(read_tokenizer(file_with("tokenizer.bin", content), VOCAB_SIZE))


def report(content: bytes) -> None:
    """A report.json, with all that is computed from it."""
    found = parse_report(content, "report.json")
    json.dumps([found.as_json(), found.figures()])


def transcript(content: bytes) -> None:
    """What a program says, in two parts, to its outcome."""
    heard = Transcript(tiny().vocabulary(), stops=("ab", "\n\n"))
    heard.hear(content[:len(content) // 2])
    heard.hear(content[len(content) // 2:])
    heard.finish()
    outcome_of(heard, "fuzz").as_json(1)


def terminal(content: bytes) -> None:
    """A console's bytes, in pieces of a size that the first one says: the same text as in one."""
    step = 1 + (content[0] if content else 0)
    parts, whole = PlainText(), PlainText()
    said = "".join(parts.feed(content[at:at + step]) for at in range(0, len(content), step)) + parts.feed(b"", True)
    assert said == whole.feed(content, True)


def http_request(content: bytes) -> None:
    """A request in pieces of a size that the first byte says: the same as in one."""
    raw, step = content[1:], 1 + (content[0] if content else 0)
    assert read_http(interpreter, raw, *range(step, len(raw), step)).result == read_http(interpreter, raw).result


def json_request(content: bytes) -> None:
    """A request's body, in the form that the first byte says."""
    ask(interpreter, content[1:], (content[0] if content else 0) % (TOKENS + 1))


def program(content: bytes) -> None:
    """A program's facts."""
    read_program(content)


def signed_program(content: bytes) -> None:
    """Who signed a program, and what it is bound to."""
    bound_names(content)
    signer = signed_by(content) if certificate_table(content)[1] else None
    assert signer is None or signer.subject.rfc4514_string()


def receipt(content: bytes) -> None:
    """A receipt, its first hash right; and a TPM's quote in it, in hexadecimal behind it."""
    text, _, answers = content.partition(b"|")
    with suppress(ValueError, KeyError, TypeError, RecursionError, OverflowError):
        raw = json.loads(text)
        found = _receipt(raw)
        raw["first"] = hashlib.sha256(bytes(found.start().base) + found.ids_before()).hexdigest()
        text = json.dumps(raw).encode()
    found = parse_receipt(text, "it")
    assert found.replay() and parting(found, found) is None
    judge_quote(answers, bytes(32))


def manifest(content: bytes) -> None:
    """An image with this as its MANIFEST.json."""
    path = folder() / "manifest.img"
    if not path.exists():
        write_image(path, {MANIFEST_PATH: b" " * 4096, "barelm.toml": b"wait = 0\n"}, plain=True, lasting=False)
    with open_volume(path) as found:
        at = found.geometry.cluster_offset(found.lookup(MANIFEST_PATH).facts.first_cluster)  # type: ignore[union-attr]
    with open(path, "r+b", buffering=0) as file:
        os.pwrite(file.fileno(), content[:4096].ljust(4096), at)
    verify_image(path)


def configuration(content: bytes) -> None:
    """barelm.toml, by the metal's reader in the interpreter, which checks every access."""
    read_toml(interpreter, content)


def packed_model(content: bytes) -> None:
    """The header of a .blm and the pieces of its chat template, under right sums."""
    with open(folder() / "tiny.blm", "rb") as file:
        raw = bytearray(file.read())
    at = int(tiny().header.sections[CHAT].offset)
    raw[:min(len(content), layout.HEADER_BYTES)] = content[:layout.HEADER_BYTES]
    rest = content[layout.HEADER_BYTES:][:4096]
    raw[at:at + len(rest)] = rest
    header = Header.over(np.frombuffer(bytes(raw[:layout.HEADER_BYTES]), np.uint8).copy())
    header.sum = own_sum(header)
    raw[:layout.HEADER_BYTES] = header.base.tobytes()
    found = read_packed(file_with("hostile.blm", bytes(raw)), verify=False)
    found.weights()
    found.vocabulary()
    assert isinstance(found.chat_refusal, str) and (found.chat, found.tools)
    json.dumps([header_facts(found.header, 512), sections_of(found.header)])


@dataclass(frozen=True)
class Disk:
    """An image on which pieces are changed: where each begins, and its size."""

    path: Path
    raw: bytes
    pieces: tuple[tuple[int, int], ...]

    def seed(self) -> bytes:
        """The pieces as they are."""
        return b"".join(self.raw[at:at + n] for at, n in self.pieces)

    @contextmanager
    def changed(self, content: bytes) -> Iterator[Path]:
        """The image with other pieces; afterwards it is as it was."""
        with open(self.path, "r+b", buffering=0) as file:
            for at, n in self.pieces:
                os.pwrite(file.fileno(), content[:n].ljust(n, b"\0"), at)
                content = content[n:]
        try:
            yield self.path
        finally:
            with open(self.path, "r+b", buffering=0) as file:
                for at, n in self.pieces:
                    os.pwrite(file.fileno(), self.raw[at:at + n], at)


@functools.cache
def disk(plain: bool) -> Disk:
    """A small image; of a bare volume its boot sector, tables and directories are changed, of another the GPT."""
    path = folder() / ("volume.img" if plain else "disk.img")
    files = {"EFI/BOOT/BOOTX64.EFI": b"MZ" * 300, "a longer name.json": b"{}", "barelm.toml": b"wait = 0\n"}
    write_image(path, files, plain=plain, free_bytes=1 << 20, lasting=False)
    raw = path.read_bytes()
    if not plain:
        return Disk(path, raw, ((0, 3 * SECTOR), (len(raw) - SECTOR, SECTOR)))
    with open_volume(path) as volume:
        g = volume.geometry
        tables = [(at, SECTOR) for at in (g.fat_offset, *g.mirrors, g.info_offset)]
        clusters = [node.facts.first_cluster or g.root_cluster for node in volume.root.walk()]
    return Disk(path, raw, ((0, SECTOR), *tables, *((g.cluster_offset(cluster), SECTOR) for cluster in clusters)))


def gpt(content: bytes) -> None:
    """A partition table, its sums right, and the volume it leads to."""
    raw = bytearray(content.ljust(4 * SECTOR, b"\0"))
    others = disk(False).raw[3 * SECTOR:34 * SECTOR]
    for at in (SECTOR, 3 * SECTOR):
        size = int.from_bytes(raw[at + 12:at + 16], "little")
        raw[at + 88:at + 92] = zlib.crc32(raw[2 * SECTOR:3 * SECTOR] + others).to_bytes(4, "little")
        raw[at + 16:at + 20] = bytes(4)
        raw[at + 16:at + 20] = zlib.crc32(bytes(raw[at:at + min(size, SECTOR)])).to_bytes(4, "little")
    with disk(False).changed(bytes(raw)) as path, open_volume(path) as volume:
        volume.files()


def volume(content: bytes) -> None:
    """A FAT32 volume: everything read, something written."""
    with disk(True).changed(content) as path:
        with open_volume(path) as found:
            for node in found.files()[:20]:
                found.read(node, 0, MOST_OF_A_FILE)
            found.lookup("EFI\\BOOT\\BOOTX64.EFI")


def edited_volume(content: bytes) -> None:
    """The same through the editor, which reads more; what it wrote is undone."""
    with disk(True).changed(content) as path:
        with open_editor(path) as found:
            assert found.free_bytes >= 0 and found.label is not None


def _told(ids: list[int]) -> bytes:
    """A story as a program tells it."""
    figures = ["n_prompt 2", f"n_generated {len(ids) - 2}", *(f"{name} 5" for name in (
        "n_guessed", "n_right", "prefill_us", "decode_us", "load_us", "load_bytes", "memory_bytes", "cores",
        "cpu_level", "seed")), f"ids_sum {functools.reduce(sum_with, ids, 0)}"]
    lines = [f"IDS {' '.join(map(str, ids))}", *figures, "DONE 0"]
    return "".join(f"BARELM {line}\n" for line in lines).encode()


def _written(write: Callable[[Path], object]) -> bytes:
    path = folder() / "seed"
    write(path)
    return path.read_bytes()


def _llama2c() -> list[bytes]:
    checkpoint = tiny_checkpoint(1)
    writers = (write_llama2c_v0, write_llama2c_v1, write_llama2c_v2)
    return [_written(lambda path, write=write: write(path, checkpoint)) for write in writers]  # type: ignore[misc]


def _gguf(**choices: object) -> bytes:
    return _written(lambda path: write_small_gguf(path, n_layers=1, dim=32, hidden_dim=32, **choices))


RECEIPT = {"format": 1, "model": {"sha256": 32 * "ab", "bytes": 9}, "program": {"sha256": 32 * "cd"},
           "settings": {"rng": "0123456789abcdef", "top_k": 0, "penalised_from": 2, **dict.fromkeys(
               ("temperature", "top_p", "min_p", "repeat"), "3f800000")},
           "previous": 32 * "00", "first": 32 * "00", "before": [1, 2], "n_tokens": 2, "ids": [3, 4],
           "links": ["0123456789abcdef", "0123456789abcdef"], "last": 32 * "00"}

DAMAGE: tuple[Callable[[bytearray, random.Random], object], ...] = (
    lambda raw, dice: raw.__setitem__(dice.randrange(len(raw)), dice.randrange(256)),
    lambda raw, dice: raw.__delitem__(slice(dice.randrange(len(raw)), None)),
    lambda raw, dice: raw.__setitem__(slice(at := dice.randrange(len(raw)), at + 4), b"\xff\xff\xff\x7f"),
    lambda raw, dice: raw.__setitem__(slice(at := dice.randrange(len(raw)), at + 8), bytes(8)),
    lambda raw, dice: raw.__setitem__(slice(at := dice.randrange(len(raw)), at), raw[:dice.randrange(64)]))


def damaged(content: bytes, dice: random.Random) -> bytes:
    """The same with one to three places changed, cut or doubled."""
    raw = bytearray(content)
    for _ in range(dice.randrange(1, 4)):
        if raw:
            dice.choice(DAMAGE)(raw, dice)
    return bytes(raw)


@dataclass(frozen=True)
class Reader:
    """A reader, and sound files for it to begin with."""

    read: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    longest: int = 4096


READERS = {reader.read.__name__: reader for reader in (
    Reader(gguf_header, lambda: [_gguf()[:8192], _gguf()], 1 << 14),
    Reader(gguf, lambda: [_gguf(), _gguf(type="Q8_0")], 1 << 16),
    Reader(llama2c, _llama2c, 512),
    Reader(tokenizer, lambda: [_written(lambda path: write_tokenizer_bin(path, tiny_checkpoint(1).vocab))]),
    Reader(report, lambda: [json.dumps(EXAMPLE).encode()]),
    Reader(transcript, lambda: [_told([5, 6, 7, 8, 9]), b"barelm stopped: no\nmore\nx\nBARELM DONE 7\n"]),
    Reader(terminal, lambda: [b"\x1b[2Jh\xc3\xa9\x1b[1;2H\r\n\x1b7"], 256),
    Reader(http_request, lambda: [b"\x09" + raw for raw in (
        b"POST /api/chat?x=%41 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nA:\r\n\r\n",
        b"GET http://a/v1/models/m HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 1\r\nx-api-key: k\r\n\r\nx")],
        512),
    Reader(json_request, lambda: [bytes([api]) + json.dumps(EVERYTHING).encode() for api in range(TOKENS + 1)], 2048),
    Reader(program, lambda: [b"MZ" + bytes(58) + b"\x40\0\0\0PE\0\0"], 2048),
    Reader(signed_program, lambda: [sign_program(compiled("x"), signer())], 1 << 14),
    Reader(receipt, lambda: [json.dumps(RECEIPT).encode() + b"|" + SigningTpm().quote(bytes(32))], 4096),
    Reader(manifest, lambda: [json.dumps({"format": 1, "files": {name: {"bytes": 9, "sha256": 32 * "ab"} for name in (
        "barelm.toml", "model.blm")}}).encode()], 512),
    Reader(configuration, lambda: [Settings("a prompt", 0.5, tokens=7, stop=("x", "y")).toml()], 512),
    Reader(packed_model, lambda: [tiny().path.read_bytes()[:layout.HEADER_BYTES]], layout.HEADER_BYTES + 2048),
    Reader(gpt, lambda: [disk(False).seed()], 4 * SECTOR),
    Reader(volume, lambda: [disk(True).seed()], 8192),
    Reader(edited_volume, lambda: [disk(True).seed()], 8192))}
