"""Receipts: which model made which tokens from which logits, as a chain of hashes (`contract.trust.receipt_state`).

Nothing here is called unless a receipt is asked for.
"""

from barelm.contract.board import LoadedModel
from barelm.contract.layout import Header
from barelm.contract.regions import Workspace
from barelm.contract.trust.hashing import SHA256_BYTES
from barelm.contract.trust.receipt_state import MOST_LINKS, RECEIPT_FORMAT, ReceiptStart, ReceiptState
from barelm.dialect.memory import address_of, bits_of_float, cells, copy_bytes, memory, text
from barelm.dialect.sentences import sentence
from barelm.dialect.types import I64, LANES, U8, i64, padded, u64
from barelm.kernels.sha256 import begin_sha256, extend_sha256, finish_sha256
from barelm.metal.console.sinks import Console
from barelm.metal.console.writing import put, put_text
from barelm.metal.measuring.selftest import ModelUnderTest, transcript_of_model
from barelm.metal.trust.loaded_files import hash_model, put_digest, trust_in
from barelm.metal.trust.quotes import put_quote


def receipt_in(workspace: Workspace) -> ReceiptState:
    """The receipt of the last answer."""
    return workspace.receipt


def begin_receipt(workspace: Workspace, m: ModelUnderTest, model: LoadedModel, n: int) -> None:
    """An answer begins behind n ids: note what it depends on."""
    trust = trust_in(workspace)
    receipt = workspace.receipt
    hash_model(trust, m.header, model)
    start = receipt.start
    start.format = RECEIPT_FORMAT
    start.n_ids = n
    start.penalised_from = m.job.reply
    start.rng = int(i64(transcript_of_model(m).rng[0]))
    start.top_k = m.settings.top_k
    start.temperature = m.settings.temperature
    start.top_p = m.settings.top_p
    start.min_p = m.settings.min_p
    start.repeat = m.settings.repeat
    copy_bytes(address_of(start.model), address_of(trust.model), SHA256_BYTES)
    copy_bytes(address_of(start.previous), address_of(receipt.last), SHA256_BYTES)
    hash_start(receipt, transcript_of_model(m).tokens, receipt.first)
    copy_bytes(address_of(receipt.last), address_of(receipt.first), SHA256_BYTES)
    receipt.n = 0


def take_settings(workspace: Workspace, m: ModelUnderTest, start: ReceiptStart) -> None:
    """Have an answer made as an earlier one was: its settings, the generator's state, and the link before."""
    m.settings.receipt = 1
    m.settings.template = int(start.penalised_from > 0)
    m.settings.top_k = start.top_k
    m.settings.temperature = start.temperature
    m.settings.top_p = start.top_p
    m.settings.min_p = start.min_p
    m.settings.repeat = start.repeat
    transcript_of_model(m).rng[0] = u64(start.rng)
    copy_bytes(address_of(workspace.receipt.last), address_of(start.previous), SHA256_BYTES)


def hash_start(receipt: ReceiptState, tokens: I64, digest: U8) -> None:
    """The link before the first: of what stands in `start`, and of the ids before the answer."""
    h = receipt.hash
    begin_sha256(h)
    extend_sha256(h, memory(receipt.start.address, ReceiptStart.BYTES))
    extend_sha256(h, memory(address_of(tokens), 8 * receipt.start.n_ids))
    finish_sha256(h, digest)


def note_logits(workspace: Workspace, m: ModelUnderTest) -> None:
    """Before a token is chosen, which changes the logits in place: begin its link."""
    receipt = workspace.receipt
    begin_sha256(receipt.hash)
    extend_sha256(receipt.hash, receipt.last)
    row = address_of(transcript_of_model(m).logits) + 4 * padded(m.header.vocab_size, LANES) * m.job.row
    extend_sha256(receipt.hash, memory(row, 4 * m.header.vocab_size))


def note_choice(workspace: Workspace, token: int) -> None:
    """The token was chosen: its link is complete."""
    receipt = workspace.receipt
    word = cells(1)
    word[0] = token
    extend_sha256(receipt.hash, memory(address_of(word), 8))
    finish_sha256(receipt.hash, receipt.last)
    if receipt.n < MOST_LINKS:
        receipt.ids[receipt.n] = token
        value = 0
        for i in range(8):
            value = value << 8 | int(receipt.last[i])
        receipt.links[receipt.n] = value
    receipt.n += 1


def still_stands(receipt: ReceiptState, tokens: I64) -> bool:
    """Whether there is an answer with a receipt, and what stands before it is still what it was made from."""
    if receipt.n == 0:
        return False
    words = cells(4)
    digest = memory(address_of(words), SHA256_BYTES)
    hash_start(receipt, tokens, digest)
    for i in range(SHA256_BYTES):
        if digest[i] != receipt.first[i]:
            return False
    return True


def put_receipt(con: Console, workspace: Workspace, header: Header, tokens: I64) -> None:
    """The receipt as JSON.  Numbers of 64 bits and floats are in hexadecimal, the latter by their bits."""
    receipt = workspace.receipt
    trust = trust_in(workspace)
    start = receipt.start
    put_text(con, text('{"format": 1, "model": {"sha256": "'))
    put_digest(con, start.model)
    put(con, sentence('", "bytes": {}}},\n "program": {{"sha256": "', (header.file_bytes,)))
    put_digest(con, trust.program)
    put(con, sentence('"}},\n "settings": {{"rng": "{:x16}", "top_k": {}, "temperature": "{:x8}", "top_p": "{:x8}", '
                      '"min_p": "{:x8}", "repeat": "{:x8}", "penalised_from": {}}},\n "previous": "', (
                          start.rng, start.top_k, bits_of_float(start.temperature), bits_of_float(start.top_p),
                          bits_of_float(start.min_p), bits_of_float(start.repeat), start.penalised_from)))
    put_digest(con, start.previous)
    put_text(con, text('",\n "first": "'))
    put_digest(con, receipt.first)
    put_text(con, text('",\n "before": ['))
    for i in range(start.n_ids):
        put(con, sentence("{}{}", (text(", ") if i > 0 else text(""), tokens[i])))
    put(con, sentence('],\n "n_tokens": {},\n "ids": [', (receipt.n,)))
    for i in range(min(receipt.n, MOST_LINKS)):
        put(con, sentence("{}{}", (text(", ") if i > 0 else text(""), int(receipt.ids[i]))))
    put_text(con, text('],\n "links": ['))
    for i in range(min(receipt.n, MOST_LINKS)):
        put(con, sentence('{}"{:x16}"', (text(", ") if i > 0 else text(""), receipt.links[i])))
    put_text(con, text('],\n "last": "'))
    put_digest(con, receipt.last)
    put_text(con, text('"'))
    put_quote(con, workspace, receipt.last)
    put_text(con, text("}\n"))
