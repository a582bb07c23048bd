"""What is written on the console: constant texts, numbers, and UTF-8 as it comes."""

from barelm.dialect import sentences
from barelm.dialect.memory import address_of, float_of_bits, i64_array, memory, text, u16_array
from barelm.dialect.sentences import MARK, Sentence, sentence
from barelm.dialect.types import I64, U8, U16
from barelm.kernels.text.utf8 import REPLACEMENT, lead
from barelm.metal.console.sinks import TEXT, Console, flush
from barelm.metal.console.stream import put_code_point, set_colour


def put_text(con: Console, units: U16) -> None:
    """Put UTF-16 up to its zero, as a constant text has it; a character of two units as two."""
    i = 0
    while i < len(units) and units[i] != 0:
        put_code_point(con, int(units[i]) & 0xFFFF)
        i += 1


def put(con: Console, s: Sentence) -> None:
    """Put a sentence, its values in their places."""
    at = 0
    for i in range(len(s.units) - 1):
        unit = int(s.units[i]) & 0xFFFF
        if MARK <= unit < MARK + 0x100:
            put_value(con, unit - MARK, s.words[at], s.words[at + 1])
            at += 2
        else:
            put_code_point(con, unit)


def put_value(con: Console, how: int, value: int, second: int) -> None:
    """A value of a sentence, shown as `dialect.sentences` says."""
    if how == sentences.DECIMAL:
        put_number(con, value)
    elif how == sentences.FLOAT:
        put_real(con, value)
    elif how == sentences.BYTES:
        put_bytes(con, memory(value, second), 0, second)
        end_bytes(con)
    elif how == sentences.UNITS:
        put_text(con, u16_array(memory(value, 2 * second), 0, second))
    elif how == sentences.WORDS:
        put_words(con, i64_array(memory(value, 8 * second), 0, second))
    elif how == sentences.CHARACTER:
        put_code_point(con, value)
    elif how == sentences.MEGABYTES:
        put_megabytes(con, value)
    elif how == sentences.QUOTIENT:
        put_ratio(con, value, second)
    elif how < sentences.HEXADECIMAL:
        put_digits(con, value, how - sentences.PADDED, 10)
    else:
        put_digits(con, value, how - sentences.HEXADECIMAL, 16)


def put_real(con: Console, bits: int) -> None:
    """Put a float32 that is not negative, given by its bits, with one to three decimals."""
    thousandths = int(float_of_bits(bits) * 1000 + 0.5)
    put_decimal(con, thousandths // 100)
    if thousandths % 100 != 0:
        put_number(con, thousandths // 10 % 10)
    if thousandths % 10 != 0:
        put_number(con, thousandths % 10)


def put_decimal(con: Console, tenths: int) -> None:
    """Put a number with one decimal."""
    put_number(con, tenths // 10)
    put_code_point(con, 46)
    put_number(con, tenths % 10)


def put_megabytes(con: Console, n_bytes: int) -> None:
    """Put a size in whole MB, or in GB with a decimal."""
    if n_bytes >= 10**10:
        put_decimal(con, n_bytes // 10**8)
        put_text(con, text(" GB"))
    else:
        put_number(con, (n_bytes + 10**6 - 1) // 10**6)
        put_text(con, text(" MB"))


def say(con: Console, colour: int, s: Sentence) -> None:
    """Put a sentence in a colour, end the row, and show it."""
    set_colour(con, colour)
    put(con, s)
    end_row(con)
    set_colour(con, TEXT)
    flush(con)


def say_line(con: Console, colour: int, units: U16) -> None:
    """Put a constant text in a colour, end the row, and show it."""
    set_colour(con, colour)
    put_text(con, units)
    say(con, colour, sentence("", ()))


def end_row(con: Console) -> None:
    """To the next row."""
    put_code_point(con, 10)


def put_number(con: Console, number: int) -> int:
    """Put a whole number in decimal, not below -10^18; returns how many digits it has."""
    if number < 0:
        put_code_point(con, 45)
        number = -number
    divisor = 1
    n = 1
    while number // divisor >= 10:
        divisor *= 10
        n += 1
    put_digits(con, number, n, 10)
    return n


def put_digits(con: Console, number: int, n: int, base: int) -> None:
    """Put the last n digits of a number in a base up to 16, zeros in front."""
    for place in range(n - 1, -1, -1):
        digit = number
        for _ in range(place):
            digit //= base
        digit %= base
        put_code_point(con, 48 + digit if digit < 10 else 87 + digit)


def put_ratio(con: Console, amount: int, per: int) -> None:
    """Put amount / per with one decimal below a hundred, and none above."""
    tenths = (amount * 10 + per // 2) // max(per, 1)
    if per <= 0:
        put_code_point(con, 45)
    elif tenths >= 1000:
        put_number(con, (amount + per // 2) // per)
    else:
        put_decimal(con, tenths)


def put_words(con: Console, words: I64) -> None:
    """Put zero-padded UTF-8 held in int64 words."""
    data = memory(address_of(words), 8 * len(words))
    n = 0
    while n < len(data) and data[n] != 0:
        n += 1
    put_bytes(con, data, 0, n)
    end_bytes(con)


def put_bytes(con: Console, data: U8, lo: int, hi: int) -> None:
    """Put data[lo:hi], UTF-8 that may be cut anywhere; the rest of a character may come with the next call."""
    for i in range(lo, hi):
        decode_byte(con, int(data[i]) & 0xFF)


def end_bytes(con: Console) -> None:
    """A character of which the rest did not come shows as the replacement character: the text it is of ends here."""
    decoder = con.state.decoders[int(con.state.into != 0)]
    if decoder.pending > 0:
        decoder.pending = 0
        put_code_point(con, REPLACEMENT)


def decode_byte(con: Console, byte: int) -> None:
    """One byte of UTF-8 into the decoder; what is none shows as the replacement character, as in `utf8`."""
    decoder = con.state.decoders[int(con.state.into != 0)]
    if decoder.pending > 0:
        point = decoder.code_point << 6 | (byte & 0x3F)
        if byte & 0xC0 == 0x80 and may_go_on(point, decoder.pending - 1):
            decoder.code_point = point
            decoder.pending -= 1
            if decoder.pending == 0:
                put_code_point(con, point)
            return
        end_bytes(con)
    rest, bits = lead(byte)
    if byte < 0x80:
        put_code_point(con, byte)
    elif rest == 0:
        put_code_point(con, REPLACEMENT)
    decoder.pending = rest
    decoder.code_point = bits


def may_go_on(point: int, pending: int) -> bool:
    """Whether a character may begin with these bits, so many bytes before its end: no overlong form, no surrogate."""
    if pending == 1:
        return 0x20 <= point < 0x360 or point >= 0x380
    return pending == 0 or 0x10 <= point < 0x110


def begin_text(con: Console, buffer: U8) -> None:
    """What is put from here on goes into a buffer, as UTF-8; what does not fit is left out."""
    con.state.into = address_of(buffer)
    con.state.into_bytes = len(buffer)
    con.state.into_filled = 0
    con.state.decoders[1].pending = 0


def end_text(con: Console) -> int:
    """Text goes to the console again; returns how many bytes the buffer got."""
    con.state.into = 0
    return con.state.into_filled
