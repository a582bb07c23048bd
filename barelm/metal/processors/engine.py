"""The engine: one command of the board, run by one core.  Compiled once per CPU level."""

from barelm.contract import board
from barelm.contract.board import Board, Choice
from barelm.contract.layout import Header
from barelm.contract.sections import PIECE_ENDS
from barelm.dialect.memory import i32_array, i64_array, memory
from barelm.kernels.decoder.model import Config, bind_weights, read_config, section
from barelm.kernels.decoder.state import SessionTranscript, State, bind_state
from barelm.kernels.decoder.transformer import forward
from barelm.kernels.sampler import Spared
from barelm.kernels.session import Sampling, choose, choose_from, decode, prefill
from barelm.kernels.team import Team, time_core


def engine(address: int, core: int) -> int:
    """Run the command on the board at an address, as core number `core`; returns the token where one is chosen."""
    b = Board(address)
    job = b.job
    header = Header(b.model.header)
    c = read_config(header)
    s = bind_state(header, memory(b.model.state, header.state_bytes))
    if job.command == board.CHOOSE:
        sampling = Sampling(b.settings.temperature, b.settings.top_p, b.settings.top_k, b.settings.min_p,
                            b.settings.repeat)
        ends = i32_array(section(header, b.model.sections, PIECE_ENDS), 0, c.vocab_size)
        return choose(c, s, sampling, job.position, job.row, Spared(job.reply, header.eos_ids, ends))
    if job.command == board.CHOOSE_FOR:
        return choose_for(c, s, Choice(job.choice), job.row, header, b)
    team = Team(core, job.n_cores, s.gate, b.pace)
    if job.command == board.WEIGH:
        time_core(team)
        return 0
    w = bind_weights(header, b.model.sections)
    if job.command == board.PASS:
        forward(c, w, s, b.batch, team)
    elif job.command == board.PREFILL:
        prefill(c, w, s, job.cached, job.position, team)
    else:
        decode(c, w, s, job.position, 1 + job.guessed, team)
    return 0


def choose_for(c: Config, s: State, choice: Choice, row: int, header: Header, b: Board) -> int:
    """The next token of a sequence that is not the session."""
    sampling = Sampling(choice.temperature, choice.top_p, choice.top_k, choice.min_p, choice.repeat)
    ends = i32_array(section(header, b.model.sections, PIECE_ENDS), 0, c.vocab_size)
    tokens = i64_array(memory(choice.tokens, 8 * choice.n), 0, choice.n)
    return choose_from(c, s, SessionTranscript(tokens, choice.rng, s.logits[row]), sampling, choice.n,
                       Spared(choice.spared, header.eos_ids, ends))
