"""A conversation: a line from the keyboard, an answer, until someone leaves.  A new turn reads only its own tokens."""

from __future__ import annotations

from barelm.dialect.memory import memory, text
from barelm.dialect.rooms import Failure, metal
from barelm.dialect.types import I64, U8
from barelm.kernels.chat import has_chat
from barelm.kernels.model import Transcript, bind_transcript
from barelm.kernels.tokenizer import Vocabulary, bind_vocabulary
from barelm.metal import arena, board, tables
from barelm.metal.console import Console, flush, put_text, write_bytes
from barelm.metal.engine import sections_of
from barelm.metal.firmware import new_line, say
from barelm.metal.keyboard import LEFT, read_line
from barelm.metal.prompt import append_turn
from barelm.metal.story import reply, seed_generator
from barelm.pack import layout


@metal
def hold_conversation(con: Console, workspace: int, b: I64, header: I64) -> None:
    """Ask and answer.  The configured prompt is the first question."""
    v = bind_vocabulary(header, sections_of(b, header))
    if not has_chat(v):
        raise Failure(tables.EFI_UNSUPPORTED, "this model cannot chat: it has no chat template",
                      "Take a chat model, or leave `chat` out of barelm.toml.")
    s = bind_transcript(header, memory(b[board.STATE], header[layout.STATE_BYTES]))
    seed_generator(b, s)
    say(con.fw, text("Type a message and press Enter.  Esc stops an answer, and leaves where nothing is being said."))
    new_line(con.fw)
    n = 0
    typed = memory(b[board.PROMPT], b[board.PROMPT_BYTES])
    if len(typed) > 0:
        put_text(con, text("> "))
        write_bytes(con, typed, 0, len(typed))
        put_text(con, text("\r\n"))
        n = answer(con, workspace, b, header, v, s, n, typed)
    line = memory(workspace + arena.LINE, arena.LINE_BYTES)
    while True:
        put_text(con, text("> "))
        flush(con)
        n_bytes = read_line(con, b, line)
        if n_bytes == LEFT:
            return
        if n_bytes > 0:
            n = answer(con, workspace, b, header, v, s, n, line[:n_bytes])


@metal
def answer(con: Console, workspace: int, b: I64, header: I64, v: Vocabulary, s: Transcript, n: int, typed: U8) -> int:
    """Append a turn behind n ids and reply; returns how many ids there are then.

    Where the context has no room left the conversation begins anew with this turn.
    """
    end = append_turn(v, s, workspace, b, header, n, typed)
    if end < 0 and n > 0:
        say(con.fw, text("[The context is full: what was said before is forgotten.]\r\n"))
        b[board.CACHED] = 0
        end = append_turn(v, s, workspace, b, header, 0, typed)
    if end < 0:
        say(con.fw, text("[That is longer than the context of the model.]\r\n"))
        return 0
    n_tokens = header[layout.SEQ_LEN] - end + 1
    if b[board.TOKENS] > 0:
        n_tokens = min(n_tokens, b[board.TOKENS])
    end = reply(con, b, header, v, s, end, n_tokens)
    new_line(con.fw)
    return end
