"""A request of HTTP/1.1 (RFC 9112), read strictly and within bounds while its bytes arrive.

    begin_request(head)
    while (came := read_head(data, n, head)) == INCOMPLETE: ...  # n grows; what is read is not read again
    data[head.body_lo:head.body_hi]  # the body, of chunks put together in place
    head.n_bytes  # the next request may follow there: the buffer moves up and all begins anew

How the bytes are cut says nothing: the same bytes give the same result.  Where servers and proxies are known to read
differently, which is how requests are smuggled, nothing is guessed: it is refused.
"""

from barelm.contract.serving import http_state as http
from barelm.contract.serving.http_state import RequestHead
from barelm.contract.serving.request_state import BODY_BYTES
from barelm.contract.settings import joined
from barelm.dialect.memory import fill_bytes, text
from barelm.dialect.types import U8
from barelm.kernels.text.utf8 import byte_at
from barelm.kernels.web.request_names import find_name, hex_digit, is_digit, same_secret
from barelm.kernels.web.request_target import read_target, set_route

INCOMPLETE, COMPLETE, REFUSED = range(3)
TAB, LINE_FEED, RETURN, SPACE, COMMA, COLON, SEMICOLON = 9, 10, 13, 32, 44, 58, 59
METHODS = joined(http.METHODS)[0]
FIELD_NAMES = joined(http.FIELD_NAMES)[0]
TOKEN_MARKS = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
TOKEN_LOW = sum(1 << ord(mark) for mark in TOKEN_MARKS if ord(mark) < 64)
TOKEN_HIGH = sum(1 << ord(mark) - 64 for mark in TOKEN_MARKS if ord(mark) >= 64)
LARGEST_NUMBER = 10**15
LONGEST_CHUNK = 8  # digits


def begin_request(head: RequestHead) -> None:
    """Nothing of a request is read yet; it begins at the buffer's first byte."""
    fill_bytes(head.address, 0, RequestHead.BYTES)
    head.limit = http.HEAD_BYTES
    head.length = -1


def read_head(data: U8, n: int, head: RequestHead) -> int:
    """Read on in data[:n]: INCOMPLETE, COMPLETE, or REFUSED; then nothing more is read of this connection.

    A complete request has a refusal too where its path or method is unknown.
    """
    reads = True
    while reads and head.stage < http.AT_END:
        if head.stage == http.IN_SIZED:
            reads = read_sized(n, head)
        elif head.stage == http.IN_CHUNK:
            reads = read_chunk(data, n, head)
        elif head.stage == http.IN_CHUNK_END:
            reads = read_chunk_end(data, n, head)
        else:
            reads = read_line(data, n, head)
    if head.stage < http.AT_END and n >= len(data):
        refuse(head, http.TOO_LARGE)
    if head.stage == http.AT_REFUSAL:
        return REFUSED
    return COMPLETE if head.stage == http.AT_END else INCOMPLETE


def refuse(head: RequestHead, why: int) -> None:
    """The request is wrong; the first thing that is counts."""
    if head.stage != http.AT_REFUSAL:
        head.stage = http.AT_REFUSAL
        head.why = why
        head.refusal = http.HTTP_STATUSES[why]
        head.keep_alive = 0


def read_line(data: U8, n: int, head: RequestHead) -> bool:
    """One line, where it is there; returns whether it was."""
    end = line_end(data, n, head)
    if end < 0:
        return False
    lo = head.at
    stage = head.stage
    head.at = end + 2
    head.seen = end + 2
    if stage == http.IN_LINE:
        if lo == end and lo == 0:
            return True  # one empty line in front is what some send behind the request before
        read_request_line(data, lo, end, head)
    elif stage == http.IN_CHUNK_LINE:
        read_chunk_line(data, lo, end, head)
    elif lo < end:
        read_field(data, lo, end, head)
    elif stage == http.IN_FIELDS:
        end_fields(data, head)
    else:
        finish_request(head)
    return True


def line_end(data: U8, n: int, head: RequestHead) -> int:
    """Where the line at head.at ends, its two bytes of end not counted; -1: it has not, or is refused."""
    longest = http.CHUNK_LINE_BYTES if head.stage == http.IN_CHUNK_LINE else http.LINE_BYTES
    most = min(head.at + longest, head.limit)
    at = head.seen
    while at < n:
        byte = byte_at(data, at)
        before = byte_at(data, at - 1) if at > head.at else 0
        if at >= most:
            refuse(head, http.LONG_LINE if head.stage == http.IN_LINE else
                   http.BAD_CHUNK if head.stage == http.IN_CHUNK_LINE else http.LONG_FIELDS)
            return -1
        if (byte == LINE_FEED) != (before == RETURN) or byte == 127 or (
                byte < SPACE and byte != TAB and byte != RETURN and byte != LINE_FEED):
            refuse(head, http.BAD_CHARACTER)
            return -1
        if byte == LINE_FEED:
            return at - 1
        at += 1
    head.seen = at
    return -1


def read_request_line(data: U8, lo: int, hi: int, head: RequestHead) -> None:
    """The method, the target, and the version: one blank between two."""
    method_end = token_end(data, lo, hi)
    target = method_end + 1
    target_end = target
    while target_end < hi and byte_at(data, target_end) != SPACE:
        target_end += 1
    if method_end == lo or method_end >= hi or byte_at(data, method_end) != SPACE or target_end >= hi:
        refuse(head, http.BAD_LINE)
        return
    major = version_digit(data, target_end + 1, hi, 5)
    minor = version_digit(data, target_end + 1, hi, 7)
    if major < 0 or minor < 0 or find_name(data, target_end + 1, target_end + 6, text("HTTP/"), 0) < 0 or byte_at(
            data, target_end + 7) != 46:
        refuse(head, http.BAD_LINE)
        return
    if major != 1 or minor > 1:
        refuse(head, http.BAD_VERSION)
        return
    head.minor = minor
    method = find_name(data, lo, method_end, text(METHODS), 0)
    head.method = method if method >= 0 else http.OTHER_METHOD
    head.stage = http.IN_FIELDS
    if not read_target(data, target, target_end, head):
        refuse(head, http.BAD_LINE)


def version_digit(data: U8, lo: int, hi: int, place: int) -> int:
    """A digit of the version, which has eight bytes; -1: it is none."""
    if hi - lo != 8 or not is_digit(byte_at(data, lo + place)):
        return -1
    return byte_at(data, lo + place) - 48


def token_end(data: U8, lo: int, hi: int) -> int:
    """Where the token that begins at lo ends."""
    while lo < hi:
        byte = byte_at(data, lo)
        if byte >= 128 or (TOKEN_LOW if byte < 64 else TOKEN_HIGH) >> (byte & 63) & 1 == 0:
            return lo
        lo += 1
    return lo


def read_field(data: U8, lo: int, hi: int, head: RequestHead) -> None:
    """One header field, or a trailer, which must be one too but says nothing."""
    end = token_end(data, lo, hi)
    head.n_fields += 1
    if end == lo or end >= hi or byte_at(data, end) != COLON:
        refuse(head, http.BAD_FIELD)
        return
    if head.n_fields > http.MOST_FIELDS:
        refuse(head, http.LONG_FIELDS)
        return
    field = find_name(data, lo, end, text(FIELD_NAMES), 1)
    if field < 0 or head.stage != http.IN_FIELDS:
        return
    lo, hi = trimmed(data, end + 1, hi)
    if field == http.HOST and head.has[field] != 0:
        refuse(head, http.BAD_HOST)
    elif field == http.LENGTH:
        read_length(data, lo, hi, head)
    elif field == http.TRANSFER:
        if find_name(data, lo, hi, text("chunked"), 1) != 0:
            refuse(head, http.BAD_CODING)
        elif head.chunked != 0:
            refuse(head, http.BAD_LENGTH)
        head.chunked = 1
    elif field == http.CONNECTION:
        read_connection(data, lo, hi, head)
    elif field == http.EXPECT:
        if find_name(data, lo, hi, text("100-continue"), 1) != 0:
            refuse(head, http.BAD_EXPECTATION)
    elif (field == http.AUTHORIZATION or field == http.API_KEY) and head.has[field] != 0:
        refuse(head, http.BAD_FIELD)
    head.has[field] = 1
    head.fields[2 * field] = lo
    head.fields[2 * field + 1] = hi


def trimmed(data: U8, lo: int, hi: int) -> tuple[int, int]:
    """data[lo:hi] without the blanks around it."""
    while lo < hi and (byte_at(data, lo) == SPACE or byte_at(data, lo) == TAB):
        lo += 1
    while lo < hi and (byte_at(data, hi - 1) == SPACE or byte_at(data, hi - 1) == TAB):
        hi -= 1
    return lo, hi


def read_length(data: U8, lo: int, hi: int, head: RequestHead) -> None:
    """A length, all of digits; a second one has to be the same."""
    value = 0
    for i in range(lo, hi):
        if not is_digit(byte_at(data, i)):
            refuse(head, http.BAD_LENGTH)
            return
        value = min(10 * value + byte_at(data, i) - 48, LARGEST_NUMBER)
    if lo == hi or (head.length >= 0 and head.length != value):
        refuse(head, http.BAD_LENGTH)
    head.length = value


def read_connection(data: U8, lo: int, hi: int, head: RequestHead) -> None:
    """What is said of the connection: a list of words."""
    while lo < hi:
        end = lo
        while end < hi and byte_at(data, end) != COMMA:
            end += 1
        word_lo, word_hi = trimmed(data, lo, end)
        if find_name(data, word_lo, word_hi, text("close"), 1) == 0:
            head.says_close = 1
        elif find_name(data, word_lo, word_hi, text("keep-alive"), 1) == 0:
            head.says_keep = 1
        lo = end + 1


def end_fields(data: U8, head: RequestHead) -> None:
    """The empty line behind the header fields: what kind of a body follows."""
    if head.minor == 1 and head.has[http.HOST] == 0:
        refuse(head, http.BAD_HOST)
    elif head.chunked != 0 and (head.length >= 0 or head.minor == 0):
        refuse(head, http.BAD_LENGTH)
    elif head.length > BODY_BYTES:
        refuse(head, http.TOO_LARGE)
    else:
        head.keep_alive = int(head.says_close == 0 and (head.minor == 1 or head.says_keep != 0))
        head.expects_continue = int(head.has[http.EXPECT] != 0 and head.minor == 1 and (
            head.chunked != 0 or head.length > 0))
        head.body_lo = head.at
        head.body_hi = head.at
        head.limit = http.RECEIVED_BYTES
        head.stage = http.IN_CHUNK_LINE if head.chunked != 0 else http.IN_SIZED
        set_route(data, head)


def read_sized(n: int, head: RequestHead) -> bool:
    """A body of a known length."""
    head.body_hi = head.body_lo + max(head.length, 0)
    if n < head.body_hi:
        return False
    head.at = head.body_hi
    finish_request(head)
    return True


def read_chunk_line(data: U8, lo: int, hi: int, head: RequestHead) -> None:
    """The size of the next chunk in hexadecimal digits; what follows a semicolon is passed over."""
    size = 0
    at = lo
    while at < hi and at < lo + LONGEST_CHUNK and hex_digit(byte_at(data, at)) >= 0:
        size = 16 * size + hex_digit(byte_at(data, at))
        at += 1
    if at == lo or (at < hi and byte_at(data, at) != SEMICOLON):
        refuse(head, http.BAD_CHUNK)
    elif head.body_hi - head.body_lo + size > BODY_BYTES:
        refuse(head, http.TOO_LARGE)
    elif size == 0:
        head.stage = http.IN_TRAILERS
        head.limit = head.at + http.LINE_BYTES
    else:
        head.left = size
        head.stage = http.IN_CHUNK


def read_chunk(data: U8, n: int, head: RequestHead) -> bool:
    """What has come of a chunk moves up to the body before it."""
    came = min(n - head.at, head.left)
    at = head.at
    to = head.body_hi
    for i in range(came):
        data[to + i] = data[at + i]
    head.at = at + came
    head.body_hi = to + came
    head.left -= came
    if head.left > 0:
        return False
    head.stage = http.IN_CHUNK_END
    return True


def read_chunk_end(data: U8, n: int, head: RequestHead) -> bool:
    """The end of line behind a chunk."""
    if n < head.at + 2:
        return False
    if byte_at(data, head.at) != RETURN or byte_at(data, head.at + 1) != LINE_FEED:
        refuse(head, http.BAD_CHUNK)
        return True
    head.at += 2
    head.seen = head.at
    head.stage = http.IN_CHUNK_LINE
    return True


def finish_request(head: RequestHead) -> None:
    """All of it is there."""
    head.stage = http.AT_END
    head.n_bytes = head.at


def is_allowed(data: U8, head: RequestHead, key: U8) -> bool:
    """Whether a request shows the key, as bearer or in x-api-key; without a key everybody may."""
    if len(key) == 0:
        return True
    lo = int(head.fields[2 * http.AUTHORIZATION])
    hi = int(head.fields[2 * http.AUTHORIZATION + 1])
    bearer = hi - lo > 7 and find_name(data, lo, lo + 7, text("bearer "), 1) == 0
    lo, hi = trimmed(data, lo + 7 if bearer else hi, hi)
    shown = same_secret(data, lo, hi, key)
    return same_secret(data, int(head.fields[2 * http.API_KEY]), int(head.fields[2 * http.API_KEY + 1]), key) or shown
