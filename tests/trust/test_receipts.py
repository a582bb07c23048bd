"""Receipts: the hashes are those of the logits, on any level and number of cores, and a change is found where it is."""

from __future__ import annotations

import functools
import hashlib
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from barelm import pipeline
from barelm.dialect.types import f32
from barelm.disk import open_volume
from barelm.errors import BarelmError
from barelm.kernels import session
from barelm.machine.hosted import Hosted
from barelm.pack.reader import Packed, read_packed
from barelm.settings import Settings
from barelm.trust.binding import sha256_of
from barelm.trust.receipt_file import Receipt, parse_receipt, parting
from barelm.trust.receipt_replay import computed_again, model_of
from barelm.trust.verifying import verify
from tests.appliance.chatty import Chatty, volume_of
from tests.appliance.talk import talk
from tests.built import program
from tests.quiet import Quiet
from tests.trust.signing import model as tiny
from tests.worlds import alone, jit, spared

pytestmark = pytest.mark.skipif(Hosted().why_not() is not None, reason=str(Hosted().why_not()))
SAMPLING = {"temperature": 0.8, "top_p": 0.9, "seed": 7, "repeat": 1.3}
N_TOKENS = 12


@functools.cache
def folder() -> tempfile.TemporaryDirectory[str]:
    """Where models lie; gone with the process."""
    return tempfile.TemporaryDirectory(prefix="receipts-")


@functools.cache
def model(seed: int = 5) -> Packed:
    """A tiny model."""
    path = Path(folder().name) / f"tiny{seed}.blm"
    path.write_bytes(tiny(seed))
    return read_packed(path)


@functools.cache
def receipt(cpu: str = "auto", cores: int = 1) -> Receipt:
    """Of a prompt gone on with."""
    program()
    out = Path(folder().name) / f"{cpu}{cores}.json"
    settings = Settings("to the sun", tokens=N_TOKENS, cpu=cpu, **SAMPLING)
    order = pipeline.Order(str(model().path), settings=settings, cores=cores, receipt=out)
    outcome = pipeline.run(order, Hosted(), Quiet(), lambda said: None)
    found = parse_receipt(out.read_bytes(), "it")
    assert [*found.before, *found.ids][:len(outcome.token_ids)] == outcome.token_ids
    return found


def expected(told: Receipt) -> tuple[list[int], list[str], str]:
    """Ids, links and the last link, computed under the JIT, hashed by hashlib."""
    packed = model()
    c, w, s = packed.config, packed.weights(), packed.fresh_state()
    n = len(told.before)
    s.tokens[:n], s.rng[0] = told.before, SAMPLING["seed"]
    temperature, top_p, repeat = (f32(SAMPLING[name]) for name in ("temperature", "top_p", "repeat"))
    sampling = session.Sampling(temperature, top_p, 0, f32(0), repeat)
    jit(session.prefill)(c, w, s, 0, n, alone())
    link, ids, links = bytes.fromhex(told.first), [], []
    for at in range(n, n + told.n_tokens):
        logits = s.logits[0][:c.vocab_size].tobytes()
        ids.append(int(jit(session.choose)(c, s, sampling, at, 0, spared(packed))))
        link = hashlib.sha256(link + logits + ids[-1].to_bytes(8, "little")).digest()
        links.append(link[:8].hex())
        s.tokens[at] = ids[-1]
        jit(session.decode)(c, w, s, at, 1, alone())
    return ids, links, link.hex()


def test_the_links_are_those_of_the_logits() -> None:
    told = receipt()
    assert told.n_tokens == N_TOKENS and told.model == sha256_of(model().path)[1].hex()
    assert told.program == sha256_of(program())[1].hex()
    ids, links, last = expected(told)
    assert (list(told.ids), list(told.links), told.last) == (ids, links, last)


@pytest.mark.parametrize("cpu, cores", [("v2", 1), ("auto", 2), ("v2", 3)])
def test_any_level_and_number_of_cores_gives_the_same(cpu: str, cores: int) -> None:
    assert receipt(cpu, cores) == receipt()


@pytest.mark.parametrize("settings", [Settings(), Settings(cpu="v2"), Settings(cores=2)])
def test_what_is_computed_again_is_equal(settings: Settings) -> None:
    assert parting(receipt(), computed_again(receipt(), model(), Hosted(), Quiet(), settings)) is None


def test_another_token_is_found_where_it_is() -> None:
    told = receipt()
    ids = [*told.ids]
    ids[4] += 1
    again = computed_again(told, model(), Hosted(), Quiet())
    assert parting(replace(told, ids=tuple(ids)), again) == 4
    assert parting(replace(told, links=(*told.links[:7], "0" * 16, *told.links[8:])), again) == 7
    assert parting(replace(told, last="0" * 64), again) == N_TOKENS


def rewritten(told: Receipt) -> Receipt:
    """With a first link as its parts have it."""
    first = hashlib.sha256(bytes(told.start().base) + told.ids_before()).hexdigest()
    return replace(told, first=first)


@pytest.mark.parametrize("change", [{"before": (1, 7, 9)}, {"settings": {"top_k": 1}}, {"settings": {"rng": 99}}])
def test_other_circumstances_part_at_once(change: dict[str, object]) -> None:
    told = receipt()
    if "settings" in change:
        change = {"settings": {**told.settings, **change["settings"]}}  # type: ignore[dict-item]
    changed = rewritten(replace(told, **change))  # type: ignore[arg-type]
    assert parting(changed, computed_again(changed, model(), Hosted(), Quiet())) == 0


def test_the_model_must_be_that_of_the_receipt() -> None:
    assert model_of(receipt(), str(model().path), Quiet()).path == model().path
    with pytest.raises(BarelmError, match="is not the model of this receipt"):
        model_of(receipt(), str(model(6).path), Quiet())


def raw() -> dict[str, object]:
    """The file, as JSON."""
    receipt()
    content: dict[str, object] = json.loads((Path(folder().name) / "auto1.json").read_bytes())
    return content


@pytest.mark.parametrize("change", [
    {"format": 2}, {"n_tokens": -1}, {"n_tokens": 10**30}, {"ids": []}, {"links": None}, {"before": []},
    {"before": [1, "2"]}, {"before": [1, True]}, {"last": "xyz"}, {"first": "0" * 63}, {"model": {}}, {"model": 7},
    {"settings": {}}, {"previous": "g" * 64}, {"n_tokens": 0, "ids": [], "links": []}])
def test_what_is_no_receipt_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(BarelmError, match="is not a receipt"):
        parse_receipt(json.dumps({**raw(), **change}).encode(), "it")


def test_a_penalty_from_another_place_is_refused() -> None:
    settings = {**raw()["settings"], "penalised_from": 1}  # type: ignore[dict-item]
    with pytest.raises(BarelmError, match="penalised from 1 on"):
        parse_receipt(json.dumps({**raw(), "settings": settings}).encode(), "it")


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b"[" * 10**5, b'{"format": NaN}'])
def test_what_is_no_json_is_refused(content: bytes) -> None:
    with pytest.raises(BarelmError, match="is not a receipt"):
        parse_receipt(content, "it")


def test_a_receipt_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(BarelmError, match="contradicts itself"):
        parse_receipt(json.dumps({**raw(), "previous": "1" * 64}).encode(), "it")


@pytest.mark.parametrize("quote, reason", [
    ("00", "none of a TPM over it"), (7, "not a receipt"), ("0", "not a receipt")])
def test_a_quote_is_judged_before_anything_is_computed(tmp_path: Path, quote: object, reason: str) -> None:
    (tmp_path / "r.json").write_text(json.dumps({**raw(), "quote": quote}))
    with pytest.raises(BarelmError, match=reason):
        verify(tmp_path / "r.json", None, "hosted", Settings())


def conversation(*lines: str) -> tuple[str, dict[str, bytes], Packed]:
    """What a conversation shows, the receipts it leaves, and the model."""
    path = Path(folder().name) / "chatty.blm"
    if not path.is_file():
        Chatty(5, 512).write(path)
    image = Path(folder().name) / "talk.img"
    volume_of(image, Settings("", 0.7, seed=5, tokens=8, chat=True, wait=0), {"model.blm": path})
    said = talk(image, *lines)
    with open_volume(image) as volume:
        found = {node.path: volume.read(node, 0, node.size) for node in volume.files()
                 if node.name.endswith(".receipt.json")}
    return said.shown, found, read_packed(path)


def test_a_conversation_has_a_chain_of_receipts() -> None:
    shown, found, packed = conversation(
        "hello world", "/receipt", "and what else", "/receipt one", "to the end", "/receipt two", "/undo", "/receipt x")
    assert "Answers have a receipt from the next one on" in shown
    one, two = (parse_receipt(found[f"{name}.receipt.json"], name) for name in ("one", "two"))
    assert one.previous == "0" * 64 and two.previous == one.last and len(two.before) > len(one.before)
    assert one.settings["penalised_from"] == len(one.before)
    for told in (one, two):
        assert parting(told, computed_again(told, packed, Hosted(), Quiet())) is None
    assert np.all([len(link) == 16 for link in two.links])
