"""Heads of HTTP answers, bodies with a length, and bodies in chunks.

    n = body = put_head(target, n, 200, JSON, SIZED, connection, 0)
    n = end_sized(target, body, put_..(target, n, ..))

Every writer here and beside returns where it ends in `target`, or -1 where it does not fit (or what it is given is -1).
"""

from barelm.contract.serving.answer_state import KEPT, PLAIN
from barelm.contract.serving.form_language import forms
from barelm.contract.settings import joined
from barelm.dialect.memory import address_of, cells, text
from barelm.dialect.structs import Struct
from barelm.dialect.types import I64, U8
from barelm.kernels.text.json_text import put_byte
from barelm.kernels.web.answers.form_filling import fill, put_hexadecimal
from barelm.kernels.web.answers.status_lines import PHRASE, STATUS_TEXTS, STATUS_TEXTS_AT, STATUS_WORDS, status_row

JSON, EVENTS, LINES, METRICS_TEXT, HTML = range(5)
"""What a body is: JSON, server-sent events, JSON in lines, Prometheus' text, a page."""
SIZED, CHUNKED, BARE = range(3)
"""How a body ends: behind its length, behind its last chunk, with the connection; BARE has none or ends so."""
LENGTH_DIGITS, CHUNK_DIGITS = 9, 6

WORDS, WORDS_AT = joined((
    "application/json", "text/event-stream; charset=utf-8", "application/x-ndjson",
    "text/plain; version=0.0.4; charset=utf-8", "text/html; charset=utf-8",
    f"Content-Length: {' ' * LENGTH_DIGITS}\r\n", "Transfer-Encoding: chunked\r\n", "", "keep-alive", "close"))
OF_BODY, OF_CONNECTION = 5, 8
"""Where in WORDS those of bodies and connections begin."""


class HeadFields(Struct):
    """See `contract.serving.form_language`."""

    status: int
    retry_s: int
    phrase: int
    content: int
    connection: int
    body: int


HEAD, RETRY, HEAD_END, PREFLIGHT = range(4)
FORMS, FORMS_AT = forms((
    "HTTP/1.1 <status> <phrase=>\r\nServer: barelm\r\nContent-Type: <content=>\r\nCache-Control: no-cache\r\n"
    "X-Accel-Buffering: no\r\nX-Content-Type-Options: nosniff\r\nAccess-Control-Allow-Origin: *\r\n"
    "Connection: <connection=>\r\n",
    "Retry-After: <retry_s>\r\n",
    "<body=>\r\n",
    "HTTP/1.1 204 No Content\r\nServer: barelm\r\nAccess-Control-Allow-Origin: *\r\n"
    "Access-Control-Allow-Methods: GET, HEAD, POST, OPTIONS\r\n"
    "Access-Control-Allow-Headers: Authorization, Content-Type, X-Api-Key, *\r\nAccess-Control-Max-Age: 86400\r\n"
    "Connection: <connection=>\r\n\r\n"), HeadFields)


def put_head(target: U8, n: int, status: int, content: int, body: int, connection: int, retry_s: int) -> int:
    """A head, of a status (`status_lines`); retry_s: after so many seconds a client may try again, 0: nothing of it."""
    words = cells(6)
    f = head_fields(words, connection)
    row = status_row(status)
    f.status, f.retry_s = status % 1000, retry_s
    f.phrase = address_of(text(STATUS_TEXTS)[STATUS_TEXTS_AT[STATUS_WORDS * row + PHRASE]:])
    f.content = address_of(text(WORDS)[WORDS_AT[content]:])
    f.body = address_of(text(WORDS)[WORDS_AT[OF_BODY + body]:])
    n = fill(target, n, text(FORMS)[FORMS_AT[HEAD]:], f.address)
    if retry_s > 0:
        n = fill(target, n, text(FORMS)[FORMS_AT[RETRY]:], f.address)
    return fill(target, n, text(FORMS)[FORMS_AT[HEAD_END]:], f.address)


def head_fields(words: I64, connection: int) -> HeadFields:
    """Fields in six zeroed words, with what becomes of the connection."""
    f = HeadFields(address_of(words))
    f.connection = address_of(text(WORDS)[WORDS_AT[OF_CONNECTION + int(connection != KEPT)]:])
    return f


def put_preflight(target: U8, n: int, connection: int) -> int:
    """What a browser asks before it sends a page's request elsewhere: anything may be sent."""
    words = cells(6)
    return fill(target, n, text(FORMS)[FORMS_AT[PREFLIGHT]:], head_fields(words, connection).address)


def end_sized(target: U8, body: int, n: int) -> int:
    """The length into the head before target[body:n], where `put_head` left its place."""
    if n < 0:
        return -1
    length = n - body
    at = body - 5  # before two ends of lines
    while length > 0 or at == body - 5:
        target[at] = 48 + length % 10
        length //= 10
        at -= 1
    return n


def begin_chunk(target: U8, n: int, connection: int) -> int:
    """Where a chunk's data begin, its size left to `end_chunk`."""
    if connection == PLAIN:
        return n
    for _ in range(CHUNK_DIGITS):
        n = put_byte(target, n, 48)
    return put_byte(target, put_byte(target, n, 13), 10)


def end_chunk(target: U8, data: int, n: int, connection: int) -> int:
    """The chunk target[data:n] is complete; where there is nothing in it, nothing remains of it."""
    if n < 0 or connection == PLAIN:
        return n
    if n == data:
        return data - CHUNK_DIGITS - 2
    put_hexadecimal(target, data - CHUNK_DIGITS - 2, n - data, CHUNK_DIGITS)
    return put_byte(target, put_byte(target, n, 13), 10)


def put_last_chunk(target: U8, n: int, connection: int) -> int:
    """What ends a body in chunks."""
    if connection == PLAIN:
        return n
    n = put_byte(target, n, 48)
    for k in range(4):
        n = put_byte(target, n, 10 if k & 1 else 13)
    return n


def end_of_head(target: U8, lo: int, hi: int) -> int:
    """Where the body begins behind a head at target[lo:hi]; 0: its end has not come."""
    at = lo
    while at + 4 <= hi:
        if target[at] == 13 and target[at + 1] == 10 and target[at + 2] == 13 and target[at + 3] == 10:
            return at + 4
        at += 1
    return 0
