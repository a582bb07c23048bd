"""What a program said is read back the same wherever its lines are cut, and noise does no harm."""

from __future__ import annotations

import functools
import re
import tempfile
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barelm.errors import BarelmError
from barelm.kernels.session import sum_with
from barelm.kernels.text.tokenizer import Vocabulary
from barelm.outcome import outcome_of
from barelm.pack.reader import Packed, read_packed
from barelm.pack.writer import write_packed
from barelm.transcript import Transcript
from tests.models import tiny_checkpoint

VOCAB_SIZE = 320
FIGURES = {"n_prompt": 2, "n_generated": 3, "n_guessed": 2, "n_right": 1, "prefill_us": 500, "decode_us": 1000,
           "load_us": 2000, "load_bytes": 4_000_000, "memory_bytes": 123, "cores": 2, "cpu_level": 1, "seed": 9}


def figures_of(ids: list[int]) -> dict[str, int]:
    """Figures, and the sum by which it is known that all ids have come."""
    return {**FIGURES, "ids_sum": functools.reduce(sum_with, ids, 0)}


def vocabulary() -> Vocabulary:
    """A vocabulary with byte tokens, so that characters come in parts."""
    return model().vocabulary()


@functools.cache
def model() -> Packed:
    """The model it is of, kept for as long as the vocabulary is looked at."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.blm"
        write_packed(tiny_checkpoint(1, vocab_size=VOCAB_SIZE), path)
        return read_packed(path)


def bytes_as_tokens(text: str) -> list[int]:
    """A text by its bytes' tokens (<0x00> is token 3)."""
    return [byte + 3 for byte in text.encode()]


def console(ids: list[int], per_line: int = 5, figures: dict[str, int] | None = None, status: int = 0) -> bytes:
    """What the program of a session writes."""
    lines = [f"BARELM IDS {' '.join(map(str, ids[i:i + per_line]))}" for i in range(0, len(ids), per_line)]
    lines += [f"BARELM {name} {value}" for name, value in (figures_of(ids) if figures is None else figures).items()]
    return "\n".join([*lines, f"BARELM DONE {status}", ""]).encode()


def heard(*parts: bytes, stops: tuple[str, ...] = (), reply_only: bool = False) -> tuple[Transcript, str]:
    """A transcript fed with parts, and the text it returned on the way."""
    transcript = Transcript(vocabulary(), reply_only=reply_only, stops=stops)
    said = "".join(transcript.hear(part) for part in parts) + transcript.finish()
    return transcript, said


@given(st.lists(st.integers(0, VOCAB_SIZE - 1), max_size=40), st.lists(st.integers(0, 400), max_size=10))
def test_lines_may_be_cut_anywhere(ids: list[int], cuts: list[int]) -> None:
    raw = "BdsDxe: starté 世\n".encode() + console(ids) + "after 🙂\n".encode()
    edges = sorted({0, len(raw), *[min(cut, len(raw)) for cut in cuts]})
    whole, said = heard(raw)
    parts, said_in_parts = heard(*[raw[lo:hi] for lo, hi in zip(edges, edges[1:])])
    assert said == said_in_parts == whole.text == parts.text
    assert whole.token_ids == parts.token_ids == ids
    assert whole.measured == parts.measured == figures_of(ids)
    assert (whole.status, whole.other) == (parts.status, parts.other) == (0, ["BdsDxe: starté 世", "after 🙂"])


def test_a_character_of_several_tokens_comes_whole() -> None:
    transcript = Transcript(vocabulary())
    ids = bytes_as_tokens("é🙂")
    said = [transcript.hear(f"BARELM IDS {token}\n".encode()) for token in ids]
    assert said == ["", "é", "", "", "", "🙂"] and transcript.token_ids == ids


def test_a_cut_character_shows_as_the_replacement_at_the_very_end() -> None:
    transcript, said = heard(console(bytes_as_tokens("a🙂")[:-1]))
    assert said == transcript.text == "a\ufffd"


def test_carriage_returns_and_blanks_are_nothing() -> None:
    transcript, said = heard(console(bytes_as_tokens("ab")).replace(b"\n", b"\r\n") + b"  \r\n")
    assert (said, transcript.status, transcript.other) == ("ab", 0, [])


@pytest.mark.parametrize("line", [b"BARELM IDS 5 x", b"BARELM IDS", b"BARELM", b"BARELM ", b"BARELM DONE", b"BARELM 7",
                                  b"BARELM IDS -5", b"BARELM IDS 320", b"BARELM IDS 99999999999", b"BARELM DONE zero",
                                  b"BARELM DONE " + b"9" * 5000, b"BARELM seed 1.5", "BARELM DONE ²".encode()])
def test_a_damaged_line_says_nothing(line: bytes) -> None:
    transcript, said = heard(line + b"\n")
    assert (said, transcript.token_ids, transcript.status, transcript.measured) == ("", [], None, {})


@given(st.lists(st.one_of(st.binary(max_size=20), st.sampled_from(
    [b"BARELM ", b"IDS ", b"DONE ", b"\n", b"17 ", b"barelm stopped: ", b"\xe4", b"\r"])), max_size=25))
def test_noise_does_no_harm(parts: list[bytes]) -> None:
    transcript, said = heard(*parts)
    assert transcript.text == said and len(transcript.other) <= 10 and len(transcript.failure) <= 4


def until_stop(text: str, stops: tuple[str, ...]) -> str:
    """The text before the stop that is the first to be whole, character after character."""
    for end in range(len(text) + 1):
        if found := [stop for stop in stops if stop and text[:end].endswith(stop)]:
            return text[:end - max(map(len, found))]
    return text


STOPS = st.lists(st.text("abé", max_size=4), max_size=3).map(tuple)


@given(st.text("abé", max_size=20), STOPS, st.lists(st.integers(0, 400), max_size=10), st.integers(1, 5))
def test_a_stop_ends_the_text_wherever_it_is_cut(text: str, stops: tuple[str, ...], cuts: list[int],
                                                 per_line: int) -> None:
    raw = console(bytes_as_tokens(text), per_line, figures={**FIGURES, "n_prompt": 0})
    edges = sorted({0, len(raw), *[min(cut, len(raw)) for cut in cuts]})
    transcript, said = heard(*[raw[lo:hi] for lo, hi in zip(edges, edges[1:])], stops=stops)
    assert said == transcript.text == until_stop(text, stops)
    assert transcript.token_ids == bytes_as_tokens(text) and transcript.status == 0


@given(st.text("abé", max_size=20), STOPS)
def test_nothing_is_said_that_a_stop_takes_back(text: str, stops: tuple[str, ...]) -> None:
    transcript = Transcript(vocabulary(), stops=stops)
    so_far = ""
    for token in bytes_as_tokens(text):
        so_far += transcript.hear(f"BARELM IDS {token}\n".encode())
        assert until_stop(text, stops).startswith(so_far)
    assert so_far + transcript.finish() == until_stop(text, stops)


def test_text_that_becomes_no_stop_is_only_held_back() -> None:
    transcript = Transcript(vocabulary(), stops=("aab",))
    said = [transcript.hear(f"BARELM IDS {token}\n".encode()) for token in bytes_as_tokens("xaaaba")]
    assert said == ["x", "", "", "a", "", ""] and transcript.finish() == "" and transcript.text == "xa"
    assert heard(console(bytes_as_tokens("xaa")), stops=("aab",))[1] == "xaa"


@pytest.mark.parametrize("reply_only, text", [(False, "abab-"), (True, "-")])
def test_a_stop_in_the_prompt_is_none(reply_only: bool, text: str) -> None:
    raw = b"BARELM n_prompt 4\n" + console(bytes_as_tokens("abab-ab-"), figures={})
    transcript, said = heard(raw, stops=("ab", "bab-"), reply_only=reply_only)
    assert said == transcript.text == text


FAILURE = b"BARELM IDS 1\n\nbarelm stopped: it broke\nMend it.\n(x.py:3, status 7)\nCALLBARELM DONE 7\nPress any key\n"
CALL = "(last failed call: FileProtocol.read, status 7)"


@given(st.integers(0, len(FAILURE) + len(CALL)), st.booleans())
def test_a_failure_is_the_programs_own_words(cut: int, of_a_call: bool) -> None:
    """A call of the firmware that failed before is said in a line more; others are none of it."""
    said = FAILURE.replace(b"CALL", CALL.encode() + b"\n" if of_a_call else b"(program 1a2b3c4d)\n")
    transcript, _ = heard(said[:cut], said[cut:])
    call = [CALL] * of_a_call
    assert transcript.failure == ["it broke", "Mend it.", "(x.py:3, status 7)", *call]
    with pytest.raises(BarelmError) as failure:
        outcome_of(transcript, "qemu")
    assert (failure.value.message, failure.value.hint) == ("it broke", " ".join(["Mend it. (x.py:3, status 7)", *call]))


def test_outcome_has_the_figures() -> None:
    ids = bytes_as_tokens("abcde")
    outcome = outcome_of(heard(console(ids))[0], "hosted")
    assert (outcome.text, outcome.token_ids, outcome.n_prompt, outcome.n_generated) == ("abcde", ids, 2, 3)
    assert (outcome.prefill_tokens_per_s, outcome.decode_tokens_per_s, outcome.load_mb_per_s) == (4000, 2000, 2000)
    assert (outcome.memory_bytes, outcome.cores, outcome.seed, outcome.status) == (123, 2, 9, 0)
    assert outcome.as_json(5)["efi_bytes"] == 5 and outcome.machine == "hosted"


@pytest.mark.parametrize("n_generated", [0, 1])
def test_one_token_takes_no_time_to_decode(n_generated: int) -> None:
    ids = [5] * (n_generated + FIGURES["n_prompt"])
    figures = {**figures_of(ids), "n_generated": n_generated, "decode_us": 0, "prefill_us": 0, "load_us": 0}
    outcome = outcome_of(heard(console(ids, figures=figures))[0], "hosted")
    assert (outcome.prefill_tokens_per_s, outcome.decode_tokens_per_s, outcome.load_mb_per_s) == (0, 0, 0)


def test_a_lost_line_is_an_error_and_never_another_text() -> None:
    """Whatever line or part of one is lost: that does not end well, unless it was the name of the processor's level."""
    ids = bytes_as_tokens("abcde")
    raw = console(ids, per_line=2).decode()
    words = re.findall(r"\S+|\s", raw)
    for lo in range(len(words)):
        for hi in range(lo + 1, len(words)):
            shorter = "".join(words[:lo] + words[hi:])
            with suppress(BarelmError):
                outcome = outcome_of(heard(shorter.encode())[0], "hosted")
                assert (outcome.token_ids, outcome.text) == (ids, "abcde"), shorter


@given(st.integers(0, 4), st.integers(3, 255), st.integers(0, 4))
def test_an_id_that_came_as_another_is_an_error(at: int, token: int, other: int) -> None:
    ids = bytes_as_tokens("abcde")
    wrong = [*ids]
    wrong[at], wrong[other] = wrong[other], token
    with pytest.raises(BarelmError, match="came as another") if wrong != ids else nullcontext():
        outcome_of(heard(console(wrong, figures=figures_of(ids)))[0], "hosted")


@pytest.mark.parametrize("raw, message, hint", [
    (b"Shell>\nlast\n", "the machine (qemu) went off before the program ended", "Its last words: Shell> | last"),
    (b"BARELM DONE 9\n", "the program ended with status 9", ""),
    (console([5], figures={"cores": 1}), "the program ended well but its report lacks n_prompt", "lost some")])
def test_an_end_without_a_story(raw: bytes, message: str, hint: str) -> None:
    with pytest.raises(BarelmError) as failure:
        outcome_of(heard(raw)[0], "qemu")
    assert failure.value.message.startswith(message) and hint in failure.value.hint


@pytest.mark.parametrize("cut", [1, 2, 5, 100])
def test_thoughts_are_told_from_the_answer(cut: int) -> None:
    from tests.metal.talks import chat_model

    packed = chat_model(1024, "thinks")[0]
    ids = [int(packed.vocabulary().byte_tokens[byte]) for byte in "x<think>\nso \u00e9\n</think>\n\nYes <b".encode()]
    raw = b"BARELM n_prompt 1\n" + b"".join(
        b"BARELM IDS %s\n" % b" ".join(b"%d" % i for i in ids[k:k + cut]) for k in range(0, len(ids), cut))
    transcript = Transcript(packed.vocabulary(), reply_only=True, pieces=0, stops=("so", "<br>"))
    assert transcript.hear(raw) + transcript.finish() == transcript.text == "Yes <b"
    assert transcript.thought == "so \u00e9\n" and transcript.token_ids == ids
