"""The engine: one command of the board, run by one core.  Compiled once per CPU level."""

from __future__ import annotations

from barelm.contract import layout
from barelm.dialect.memory import float_of_bits, i64_array, memory
from barelm.dialect.rooms import metal
from barelm.dialect.types import I64, U8
from barelm.kernels.model import bind_state, bind_weights, read_config
from barelm.kernels.session import Sampling, choose, decode, prefill
from barelm.kernels.team import Team
from barelm.metal import board


@metal
def engine(job: int, core: int) -> int:
    """Run the command on the board at address `job`, as core number `core`; returns the token where one is chosen."""
    b = i64_array(memory(job, board.BYTES), 0, board.WORDS)
    header = i64_array(memory(b[board.HEADER], layout.HEADER_BYTES), 0, layout.HEADER_WORDS)
    c = read_config(header)
    s = bind_state(header, memory(b[board.STATE], header[layout.STATE_BYTES]))
    if b[board.COMMAND] == board.CHOOSE:
        sampling = Sampling(float_of_bits(b[board.TEMPERATURE]), float_of_bits(b[board.TOP_P]), b[board.TOP_K],
                            float_of_bits(b[board.MIN_P]), float_of_bits(b[board.REPEAT]))
        return choose(c, s, sampling, b[board.POSITION])
    w = bind_weights(header, sections_of(b, header))
    team = Team(core, b[board.N_CORES], s.gate)
    if b[board.COMMAND] == board.PREFILL:
        prefill(c, w, s, b[board.CACHED], b[board.POSITION], team)
    else:
        decode(c, w, s, b[board.POSITION], team)
    return 0


@metal
def sections_of(b: I64, header: I64) -> tuple[U8, ...]:
    """Every section where the loader put it."""
    return (
        section(b, header, 0), section(b, header, 1), section(b, header, 2), section(b, header, 3),
        section(b, header, 4), section(b, header, 5), section(b, header, 6), section(b, header, 7),
        section(b, header, 8), section(b, header, 9), section(b, header, 10), section(b, header, 11),
        section(b, header, 12), section(b, header, 13), section(b, header, 14),
        section(b, header, 15), section(b, header, 16), section(b, header, 17), section(b, header, 18))


@metal
def section(b: I64, header: I64, number: int) -> U8:
    """One section as bytes."""
    at = layout.SECTION_TABLE + number * layout.SECTION_WORDS
    return memory(b[board.SECTIONS + number], header[at + layout.BYTES])
