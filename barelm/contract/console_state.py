"""The state of console and keyboard: where text goes and its position there, the line being typed, earlier lines."""

from barelm.dialect.structs import Array, Struct, room
from barelm.dialect.types import I32, I64, U8, U16

N_SINKS, MOST_WORD, UNITS, N_KEYS, MOST_PORTS = 3, 64, 512, 4096, 4


class Sink(Struct):
    """One of the places where text goes."""

    on: int  # 1: it takes text
    at: int  # the column of the next character
    input_column: int  # where the text being redrawn begins
    input_rows: int  # how many rows below that it went
    input_row: int  # in which of these the cursor is


class Utf8Decoder(Struct):
    """A character that comes byte by byte."""

    code_point: int  # its bits so far
    pending: int  # how many bytes it waits for


class PlainState(Struct):
    """The firmware's console."""

    width: int  # characters of a row
    filled: int
    units: U16 = room(UNITS)  # what is gathered before it is called, `filled` of them


class LinePort(Struct):
    """A port that is taken from the firmware."""

    protocol: int  # address of EFI_SERIAL_IO_PROTOCOL; 0: it was given up
    handle: int  # to give back
    stalls: int  # writes in a row that did not go through in time
    patience: int  # how many of them are tolerated


class SerialState(Struct):
    """The serial line, which is every port with the firmware's console on it, and the terminal at its other end."""

    ports: Array[LinePort] = room(MOST_PORTS)
    n_ports: int
    on: int  # ports that take text; 0: there is no line, or it was given up
    columns: int  # of the terminal, as it said last
    rows: int
    sized: int  # 1: it has said how large it is
    colour: int  # it was last asked for
    status_row: int  # kept for the status, counted from 1; 0: none is
    filled: int
    out: U8 = room(8064)  # what is gathered before it is written, `filled` bytes


class DisplayState(Struct):
    """Our own screen: its mode, as `metal.console.screen_mode` finds it, and the text on it."""

    columns: int  # 0: there is no screen
    rows: int  # of text, without the status row
    width: int  # pixels
    height: int
    graphics: int  # address of EFI_GRAPHICS_OUTPUT_PROTOCOL
    old_mode: int  # 0, or one more than the mode there was
    mode: int  # that is set
    failures: int  # of drawing, in a row
    lost: int  # 1: it cannot be drawn on any more
    frame: int  # address of the frame buffer, or 0: the firmware copies the pixels
    pitch: int  # bytes from a line of it to the next
    red_first: int  # 1: in a pixel red comes first, not blue
    scale: int  # pixels of the screen to a pixel of a glyph
    glyph_height: int
    cell_width: int  # pixels of the screen
    cell_height: int
    left: int  # margins
    upper: int
    row_bytes: int  # of a line of cells

    history: int  # rows kept
    block: int  # address of the memory taken, and its size
    block_bytes: int
    row: int  # text stands on; rows are counted from the first there ever was
    last: int  # row there is
    top: int  # row of the view
    follows: int  # 1: the view is at the bottom
    cursor_row: int  # -1: there is none
    cursor_column: int
    dirty: int  # something may differ from what is shown


class ConsoleState(Struct):
    """The text that comes, and how far it is in each place where it goes."""

    sinks: Array[Sink] = room(N_SINKS)
    plain: PlainState
    decoders: Array[Utf8Decoder] = room(2)  # of what goes to the sinks, and of what goes into a buffer
    colour: int  # of what is put next
    n_word: int  # characters of the word being put
    word: I32 = room(MOST_WORD)  # a longer one is cut at the edge
    into: int  # address of the buffer that takes the text instead of the sinks, or 0
    into_bytes: int  # its size
    into_filled: int
    column: int  # where a line for a program stands
    shown_at: int  # cycles at the last flush
    status_at: int  # cycles when the status was last shown
    # A console without a workspace ends here.
    display: DisplayState
    serial: SerialState


class KeyQueue(Struct):
    """Keys typed while an answer was being made: a ring."""

    put: int
    taken: int
    keys: I64 = room(N_KEYS)


class KeyboardState(Struct):
    """The firmware's keyboard, and the decoder of what a terminal sends."""

    extended: int  # address of EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL, or 0
    speaks: int  # 1: a key came from there, so the other protocol would only repeat it
    timer: int
    dead: int  # a dead key that waits for its base
    next: int  # a key that came along with the one before
    surrogate: int  # the first half of a pair
    mode: int  # of the decoder of escape sequences
    heard_at: int  # cycles when the last byte came
    pasting: int  # between the brackets of a paste
    lost: int  # keys that came while nobody took them, for which there was no room
    after_return: int  # the last character was a carriage return
    strange: int  # a sequence has a character in it that no key's has
    n_numbers: int  # of a sequence, the one that comes not counted
    numbers: I64 = room(3)
    n_part: int  # bytes of a character of several, so far
    part: U8 = room(8)
    ahead: KeyQueue


class EditorState(Struct):
    """The line being typed, the lines before it, and where one is in them."""

    n: int  # bytes of the line
    cursor: int  # the byte it is before
    used: int  # bytes of the history
    shown: int  # where in the history the line was taken from
    draft: int  # 1 + where the line being typed is kept while another is shown; 0: none is
    done: int  # the line was submitted: the next one begins empty
    left_out: int  # characters, or bytes of a text it began with, for which there was no room
    line: U8 = room(16384)
    history: U8 = room(16384)  # lines typed before, each with a zero behind it
