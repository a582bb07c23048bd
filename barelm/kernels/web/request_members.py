"""Members of a request's JSON by the table of `contract.serving.request_fields`: found, and put where they go."""

from typing import NamedTuple

from barelm.contract.serving import request_fields as fields
from barelm.contract.serving.request_fields import RequestReading
from barelm.contract.serving.request_state import Question, Terms
from barelm.contract.settings import LARGEST_WHOLE, MOST_TEXT_BYTES, MOST_TEXTS, joined
from barelm.dialect.memory import f32_array, memory, store_i64, text
from barelm.dialect.types import U8, f32
from barelm.kernels.text.dates import put_name, put_padded
from barelm.kernels.text.json_text import read_character
from barelm.kernels.web import json_reading as json
from barelm.kernels.web.json_reading import find_text, first_item, item_after, kind_at, real_at, value_of, whole_at
from barelm.kernels.web.request_names import find_name

NAMES, NAMES_AT = joined((*fields.NAMES, ""))
SHOWN, SHOWN_AT = joined(fields.SHOWN)
CHOICES, CHOICES_AT = joined((*fields.CHOICES, ""))
SENTENCES, SENTENCES_AT = joined(reason.sentence for reason in fields.REASONS)
CODES, CODES_AT = joined(reason.code for reason in fields.REASONS)
N_MEMBERS = len(fields.MEMBERS)
LONGEST = 256  # of a sentence's parts
LOWEST_TOP_P = 1e-6


class Asked(NamedTuple):
    """A request's body up to where it ends, and what it is read into."""

    data: U8
    hi: int
    terms: Terms
    q: Question
    r: RequestReading


def fail(a: Asked, reason: int, member: int) -> None:
    """The request is refused; the first reason counts."""
    if a.r.reason == 0:
        a.r.reason = reason
        a.r.member = member


def find_members(a: Asked, at: int, scope: int) -> None:
    """Note where the members of the object that begins here have their values, of those that a scope knows."""
    for k in range(N_MEMBERS):
        if fields.SCOPE_BITS[k] >> scope & 1:
            a.r.places[k] = -1
    at = first_item(a.data, at, a.hi)
    while at >= 0:
        k = find_member(a, at, scope)
        value = value_of(a.data, at, a.hi)
        if k >= 0:
            a.r.places[k] = value if kind_at(a.data, value) != json.NULL else -1
        at = item_after(a.data, value, a.hi)


def find_member(a: Asked, at: int, scope: int) -> int:
    """Which one of the table's the name that begins here is in a scope, or -1."""
    names = text(NAMES)
    first = read_character(a.data, at + 1, a.hi)[0]
    for k in range(N_MEMBERS):
        if fields.SCOPE_BITS[k] >> scope & 1 and int(names[NAMES_AT[k]]) == first and (
                find_text(a.data, at, a.hi, names[NAMES_AT[k]:NAMES_AT[k + 1]]) == 0):
            return k
    return -1


def take_members(a: Asked, scopes: int) -> None:
    """Put what was found where it goes; those of the scopes with bits here, and those that these lead to."""
    for k in range(N_MEMBERS):
        at = int(a.r.places[k])
        if at < 0 or fields.SCOPE_BITS[k] & scopes == 0:
            continue
        kind = fields.KINDS[k]
        if kind == fields.GROUP:
            if kind_at(a.data, at) == json.OBJECT:
                find_members(a, at, fields.LEAST[k])
                scopes |= 1 << fields.LEAST[k]
            else:
                fail(a, fields.WANTS_OBJECT, k)
        elif kind == fields.CHOICE:
            take_choice(a, k, at)
        elif kind == fields.NEUTRAL:
            if not is_neutral(a, at, fields.LEAST[k]):
                fail(a, fields.UNSUPPORTED, k)
        elif kind == fields.STOPS:
            take_stops(a, k, at)
        elif kind == fields.FLAG:
            found = kind_at(a.data, at)
            if found != json.TRUE and found != json.FALSE:
                fail(a, fields.WANTS_FLAG, k)
            store_word(a, k, int(found == json.TRUE))
        elif kind != fields.LATER:
            take_number(a, k, at, kind)


def store_word(a: Asked, k: int, value: int) -> None:
    """A whole number to where member k goes."""
    place = fields.PLACES[k]
    if place >= fields.IN_QUESTION:
        store_i64(a.q.address + place - fields.IN_QUESTION, value)
    else:
        store_i64(a.terms.address + place, value)


def take_number(a: Asked, k: int, at: int, kind: int) -> None:
    """A number of one of the kinds."""
    if kind_at(a.data, at) != json.NUMBER:
        fail(a, fields.WANTS_NUMBER if kind == fields.REAL else fields.WANTS_WHOLE, k)
        return
    if kind == fields.REAL:
        real = real_at(a.data, at, a.hi)
        if not f32(fields.LEAST[k]) <= real <= f32(fields.MOST[k]):
            fail(a, fields.OUT_OF_RANGE, k)
        f32_array(memory(a.terms.address + fields.PLACES[k], 4), 0, 1)[0] = real
        return
    value, whole = whole_at(a.data, at, a.hi)
    if not whole:
        fail(a, fields.WANTS_WHOLE, k)
    elif kind == fields.SEED:
        # Of ours 0 is a fresh one, of others -1.
        store_word(a, k, 0 if value == -1 else LARGEST_WHOLE if value == 0 else abs(value))
    elif kind == fields.LIMIT and value < 0:
        store_word(a, k, 0)
    elif not fields.LEAST[k] <= value <= fields.MOST[k]:
        fail(a, fields.OUT_OF_RANGE, k)
    elif kind == fields.ALTERNATIVES and a.terms.alternatives < 0:
        if value > 0:
            fail(a, fields.NEEDS_LOGPROBS, k)
    else:
        store_word(a, k, value)


def take_choice(a: Asked, k: int, at: int) -> None:
    """One of some words, true and false among them."""
    words = text(CHOICES)[CHOICES_AT[k]:CHOICES_AT[k + 1]]
    kind = kind_at(a.data, at)
    found = -1
    if kind == json.STRING:
        found = find_text(a.data, at, a.hi, words)
    elif kind == json.TRUE or kind == json.FALSE:
        found = find_name(a.data, at, at + (4 if kind == json.TRUE else 5), words, 0)
    elif kind == json.OBJECT or kind == json.LIST:
        fail(a, fields.UNSUPPORTED_VALUE, k)
    if found < 0 or found >= fields.N_CHOICES[k]:
        fail(a, fields.UNKNOWN_VALUE, k)
    elif fields.CHOSEN[fields.CHOSEN_AT[k] + found] == fields.REFUSED_CHOICE:
        fail(a, fields.UNSUPPORTED_VALUE, k)
    else:
        store_word(a, k, fields.CHOSEN[fields.CHOSEN_AT[k] + found])


def is_neutral(a: Asked, at: int, usual: int) -> bool:
    """Whether a value asks for nothing: false, empty, or the usual number."""
    kind = kind_at(a.data, at)
    if kind == json.NUMBER:
        value, whole = whole_at(a.data, at, a.hi)
        return bool(whole and value == usual)
    if kind == json.STRING:
        return find_text(a.data, at, a.hi, text("")) == 0
    if kind == json.OBJECT or kind == json.LIST:
        return first_item(a.data, at, a.hi) < 0
    return kind == json.FALSE


def take_stops(a: Asked, k: int, at: int) -> None:
    """A text at which an answer ends, or a list of some; empty ones do not count."""
    a.terms.stop_bytes = 0
    if kind_at(a.data, at) == json.STRING:
        take_stop(a, k, at, 0)
        return
    if kind_at(a.data, at) != json.LIST:
        fail(a, fields.WANTS_LIST, k)
        return
    at = first_item(a.data, at, a.hi)
    count = 0
    while at >= 0 and a.r.reason == 0:
        take_stop(a, k, at, count)
        count += 1
        at = item_after(a.data, at, a.hi)


def take_stop(a: Asked, k: int, at: int, count: int) -> None:
    """One of them, a zero behind it."""
    if kind_at(a.data, at) != json.STRING:
        fail(a, fields.WANTS_TEXT, k)
        return
    begin = a.terms.stop_bytes
    n = json.copy_string(a.terms.stops, begin, a.data, at, a.hi) if count < MOST_TEXTS else -1
    if n < 0 or n - begin > MOST_TEXT_BYTES or n >= len(a.terms.stops):
        fail(a, fields.LONG_STOPS, k)
        return
    for i in range(begin, n):
        if a.terms.stops[i] == 0:
            fail(a, fields.UNKNOWN_VALUE, k)
    if n > begin:
        a.terms.stops[n] = 0
        a.terms.stop_bytes = n + 1


def put_reason(target: U8, n: int, r: RequestReading) -> int:
    """The sentence that says why a request is refused, in ASCII without quotes; where it ends, or -1 (or n is)."""
    sentence = text(SENTENCES)[SENTENCES_AT[r.reason]:]
    k = 0
    while sentence[k] != 0 and n >= 0:
        if sentence[k] != 0x7B:
            n = put_name(target, n, sentence[k:], 1)
            k += 1
            continue
        if sentence[k + 1] == 0x7D:
            n = put_param(target, n, r)
        else:
            limit = fields.LEAST[r.member] if sentence[k + 1] == 0x6C else fields.MOST[r.member]
            digits = 1
            least = 10
            while least <= limit:
                digits += 1
                least *= 10
            n = put_padded(target, n, limit, digits)
        while sentence[k] != 0x7D:
            k += 1
        k += 1
    return n


def put_param(target: U8, n: int, r: RequestReading) -> int:
    """The member that is at fault, if any; returns as `put_reason`."""
    return put_name(target, n, text(SHOWN)[SHOWN_AT[r.member]:], LONGEST) if r.member >= 0 else n


def put_code(target: U8, n: int, r: RequestReading) -> int:
    """OpenAI's word for the reason; returns as `put_reason`."""
    return put_name(target, n, text(CODES)[CODES_AT[r.reason]:], LONGEST)
