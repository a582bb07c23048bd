"""What a request is for: its path and query (RFC 3986), and the route they take."""

from barelm.contract.serving import http_state as http
from barelm.contract.serving.http_state import RequestHead
from barelm.contract.settings import joined
from barelm.dialect.memory import text
from barelm.dialect.types import U8, U16
from barelm.kernels.text.utf8 import byte_at
from barelm.kernels.web.request_names import find_name, hex_digit

HASH, PERCENT, AMPERSAND, STAR, SLASH, EQUALS, QUESTION_MARK = 35, 37, 38, 42, 47, 61, 63
PATHS = joined(route.path for route in http.ROUTES)[0]
NUMBERS = tuple(route.number for route in http.ROUTES)
TAKEN = tuple(route.methods for route in http.ROUTES)


def read_target(data: U8, lo: int, hi: int, head: RequestHead) -> bool:
    """Path and query of a target: as a path, or as a whole address; False where it is neither."""
    at = lo
    while at < hi:
        byte = byte_at(data, at)
        if byte <= 0x20 or byte >= 0x7F or byte == HASH or (byte == PERCENT and escaped(data, at, hi) < 0):
            return False
        at += 1
    if hi - lo == 1 and byte_at(data, lo) == STAR:
        return bool(head.method == http.OPTIONS)
    at = lo
    if byte_at(data, lo) != SLASH:
        if find_name(data, lo, min(lo + 7, hi), text("http://"), 1) == 0:
            at = lo + 7
        elif find_name(data, lo, min(lo + 8, hi), text("https://"), 1) == 0:
            at = lo + 8
        host = at
        while at > lo and at < hi and byte_at(data, at) != SLASH and byte_at(data, at) != QUESTION_MARK:
            at += 1
        if at == host:
            return False
    head.path_lo = at
    while at < hi and byte_at(data, at) != QUESTION_MARK:
        at += 1
    head.path_hi = at
    head.query_lo = min(at + 1, hi)
    head.query_hi = hi
    return True


def escaped(data: U8, at: int, hi: int) -> int:
    """The byte that stands as a percent sign and two digits at `at`, or -1."""
    if at + 2 >= hi:
        return -1
    high = hex_digit(byte_at(data, at + 1))
    low = hex_digit(byte_at(data, at + 2))
    return 16 * high + low if high >= 0 and low >= 0 else -1


def path_byte(data: U8, at: int, hi: int) -> tuple[int, int]:
    """A byte of a path, and how many stand for it; -1 at the end."""
    if at >= hi:
        return -1, 0
    byte = byte_at(data, at)
    return (escaped(data, at, hi), 3) if byte == PERCENT else (byte, 1)


def set_route(data: U8, head: RequestHead) -> None:
    """Where the path leads with this method."""
    row = find_path(data, head.path_lo, head.path_hi, text(PATHS)) if head.path_lo < head.path_hi else 0
    if head.method == http.OPTIONS:
        head.route = http.PREFLIGHT
    elif row < 0:
        head.route = http.NOT_FOUND
        head.why = http.NO_PATH
    elif TAKEN[row] >> head.method & 1 == 0:
        head.route = http.WRONG_METHOD
        head.why = http.OTHER_METHODS
    else:
        head.route = NUMBERS[row]
    head.allowed = TAKEN[max(row, 0)]
    head.refusal = http.HTTP_STATUSES[head.why] if head.why != 0 else 0


def find_path(data: U8, lo: int, hi: int, paths: U16) -> int:
    """Which of the `paths`, a zero behind each, data[lo:hi] stands for, from 0; -1: none."""
    number = 0
    at = lo
    alike = True
    for i in range(len(paths)):
        wanted = int(paths[i])
        if wanted == 0 and alike and at == hi:
            return number
        if wanted == STAR and alike and at < hi:
            return number
        if wanted == 0:
            number += 1
            at = lo
            alike = True
        elif alike:
            byte, length = path_byte(data, at, hi)
            alike = byte == wanted
            at += length
    return -1


def query_value(data: U8, head: RequestHead, name: U16) -> tuple[int, int]:
    """Where the value of a name in the query begins and ends; -1, -1: the name is not there.  Nothing is unescaped."""
    at = head.query_lo
    while at < head.query_hi:
        end = at
        equals = -1
        while end < head.query_hi and byte_at(data, end) != AMPERSAND:
            if equals < 0 and byte_at(data, end) == EQUALS:
                equals = end
            end += 1
        name_end = equals if equals >= 0 else end
        if find_name(data, at, name_end, name, 0) == 0:
            return min(name_end + 1, end), end
        at = end + 1
    return -1, -1
