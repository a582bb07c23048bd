"""Tokens with how probable they and others were, in OpenAI's two forms.

`told` holds pairs of words, an id and the bits of the logarithm of its probability as a float32: for each token the one
chosen, then as many of the most probable as the terms ask for.
"""

from barelm.contract.serving.form_language import forms
from barelm.contract.serving.request_state import OPENAI_TEXT
from barelm.dialect.memory import address_of, cells, float_of_bits, text
from barelm.dialect.structs import Struct
from barelm.dialect.types import I64, U8, f32
from barelm.kernels.text.json_text import put_byte
from barelm.kernels.text.tokenizer import piece
from barelm.kernels.text.utf8 import byte_at
from barelm.kernels.web.answers.answer_fields import Telling
from barelm.kernels.web.answers.form_filling import at_address, fill, put_number

LEAST = 9999
"""Logarithms below minus this are told as that."""


class TokenFields(Struct):
    """See `contract.serving.form_language`."""

    token: int
    token_bytes: int
    parts: int  # millionths of the logarithm, its sign turned
    offset: int  # characters of the answer before it


(OPENING, TOKEN, TOP, TOP_END, CLOSING, TEXTS, ONES, TOPS, ALTERNATIVE, OFFSETS, OFFSET, NAME,
 LOGARITHM) = range(13)
_TOKEN = '{"token":<"token">,"logprob":-<parts/1000000>,"bytes":['
FORMS, FORMS_AT = forms((
    ',"logprobs":{"content":[', _TOKEN, '],"top_logprobs":[', "]}", '],"refusal":null}',
    ',"logprobs":{"tokens":[', '],"token_logprobs":[', '],"top_logprobs":[', '<"token">:-<parts/1000000>',
    '],"text_offset":[', "<offset>", '<"token">', "-<parts/1000000>"), TokenFields)


def put_probabilities(target: U8, n: int, t: Telling, told: I64) -> int:
    """The member `logprobs` of a choice, with a comma in front; nothing where nothing is told."""
    if len(told) == 0:
        return n
    if t.terms.api == OPENAI_TEXT:
        return put_of_text(target, n, t, told)
    words = cells(4)
    f = TokenFields(address_of(words))
    pairs = pairs_told(t)
    n = put_token_form(target, n, OPENING, f)
    for at in range(0, len(told), 2 * pairs):
        if at > 0:
            n = put_byte(target, n, 0x2C)
        n = put_token_form(target, put_token(target, n, t, told, at, f), TOP, f)
        for k in range(1, pairs):
            if k > 1:
                n = put_byte(target, n, 0x2C)
            n = put_token(target, n, t, told, at + 2 * k, f)
            n = put_byte(target, put_byte(target, n, 0x5D), 0x7D)
        n = put_token_form(target, n, TOP_END, f)
    return put_token_form(target, n, CLOSING, f)


def pairs_told(t: Telling) -> int:
    """How many there are of each token."""
    return 1 + max(t.terms.alternatives, 0)


def put_token_form(target: U8, n: int, form: int, f: TokenFields) -> int:
    """One form of this file, filled."""
    return fill(target, n, text(FORMS)[FORMS_AT[form]:], f.address)


def put_token(target: U8, n: int, t: Telling, told: I64, at: int, f: TokenFields) -> int:
    """A pair as an object, but for what closes its bytes and itself."""
    token = set_pair(f, t, told, at)
    n = put_token_form(target, n, TOKEN, f)
    for k in range(len(token)):
        if k > 0:
            n = put_byte(target, n, 0x2C)
        n = put_number(target, n, byte_at(token, k))
    return n


def set_pair(f: TokenFields, t: Telling, told: I64, at: int) -> U8:
    """The fields of a pair; returns the bytes of the token."""
    lo, hi = piece(t.v, -1, told[at])
    token = t.v.pieces[lo:hi]
    logarithm = -float_of_bits(told[at + 1])
    f.token, f.token_bytes = at_address(token), hi - lo
    f.parts = int(logarithm * f32(10**6)) if f32(0) <= logarithm < f32(LEAST) else LEAST * 10**6
    return token


def put_of_text(target: U8, n: int, t: Telling, told: I64) -> int:
    """The same in the form of completions: four lists side by side."""
    words = cells(4)
    f = TokenFields(address_of(words))
    pairs = pairs_told(t)
    for kind in range(4):
        f.offset = t.answer.n_characters
        n = put_token_form(target, n, (TEXTS, ONES, TOPS, OFFSETS)[kind], f)
        for at in range(0, len(told), 2 * pairs):
            if at > 0:
                n = put_byte(target, n, 0x2C)
            token = set_pair(f, t, told, at)
            n = put_of_list(target, n, t, told, at, f, kind)
            f.offset += characters(token)
    return put_byte(target, put_byte(target, n, 0x5D), 0x7D)


def put_of_list(target: U8, n: int, t: Telling, told: I64, at: int, f: TokenFields, kind: int) -> int:
    """What a token is in one of the lists: its text, its logarithm, the most probable ones, where it stands."""
    if kind == 0:
        return put_token_form(target, n, NAME, f)
    if kind == 1:
        return put_token_form(target, n, LOGARITHM, f)
    if kind == 3:
        return put_token_form(target, n, OFFSET, f)
    n = put_byte(target, n, 0x7B)
    for k in range(1, pairs_told(t)):
        if k > 1:
            n = put_byte(target, n, 0x2C)
        set_pair(f, t, told, at + 2 * k)
        n = put_token_form(target, n, ALTERNATIVE, f)
    return put_byte(target, n, 0x7D)


def characters(data: U8) -> int:
    """How many characters begin in these bytes of UTF-8."""
    n = 0
    for i in range(len(data)):
        n += int(byte_at(data, i) & 0xC0 != 0x80)
    return n


def characters_told(t: Telling, told: I64) -> int:
    """How many characters begin in the tokens that are told."""
    n = 0
    for at in range(0, len(told), 2 * pairs_told(t)):
        lo, hi = piece(t.v, -1, told[at])
        n += characters(t.v.pieces[lo:hi])
    return n
