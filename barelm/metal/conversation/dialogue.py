"""A conversation: a line from the keyboard, an answer, until someone leaves.  A new turn reads only its own tokens."""

from barelm.contract import board, uefi
from barelm.contract.console_state import EditorState
from barelm.dialect.memory import text
from barelm.dialect.rooms import Failure
from barelm.dialect.sentences import sentence
from barelm.dialect.types import U8
from barelm.kernels.text.chat_turn import has_chat
from barelm.metal.console.sinks import ALARM, DIM, PERSON, TEXT, flush, has_status
from barelm.metal.console.stream import set_colour
from barelm.metal.console.writing import end_row, put, put_text, say, say_line
from barelm.metal.conversation import completion, reply, status_row, summary
from barelm.metal.conversation.prompt import check_system
from barelm.metal.conversation.slash_commands import ANSWER, EDIT, GO_ON, LEAVE, obey
from barelm.metal.conversation.talk import Talk, bytes_of, keyboard_of, vocabulary_of
from barelm.metal.conversation.turns import add_turn, end_of, typed_of
from barelm.metal.keys.line_editor import LEFT, open_editor, read_line, set_line


def hold_conversation(t: Talk) -> int:
    """Ask and answer; the configured prompt is the first question.  Returns how it ended, one of `commands`."""
    if not has_chat(vocabulary_of(t)):
        raise Failure(uefi.EFI_UNSUPPORTED, "this model cannot chat: it has no chat template",
                      "Take a chat model, or leave `chat` out of barelm.toml.")
    check_system(t)
    completion.seed_generator(t)
    say_line(t.con, DIM, text("Type a message and press Enter.  Esc stops an answer; /help lists more."))
    c = t.conversation
    prompt = bytes_of(t.settings.prompt)
    if len(prompt) > 0:
        ask(t)
        put(t.con, sentence("{}\n", (prompt,)))
        answer(t, prompt)
    editor = open_editor(t.workspace)
    while True:
        status_row.show_status(t, end_of(c, c.n_turns), 0, 0)
        ask(t)
        n = read_line(t.con, keyboard_of(t), editor, t.job, t.settings.cores)
        set_colour(t.con, TEXT)
        if n == LEFT:
            return LEAVE
        tell_left_out(t, editor)
        line = editor.line
        if n > 1 and line[0] == 47 and line[1] != 47:
            verdict = obey(t, line, n)
            if verdict == ANSWER:
                make_answer(t)
            elif verdict == EDIT:
                set_line(editor, typed_of(c, c.n_turns))
            elif verdict != GO_ON:
                return verdict
        elif n > 0:
            answer(t, line[int(n > 1 and line[0] == 47):n])


def tell_left_out(t: Talk, editor: EditorState) -> None:
    """Say where not all that was typed is in the line."""
    lost = keyboard_of(t).state.lost + editor.left_out
    if lost > 0:
        say(t.con, ALARM, sentence("There was no room for all of it: {} characters are left out.", (lost,)))
    keyboard_of(t).state.lost = 0
    editor.left_out = 0


def ask(t: Talk) -> None:
    """A blank row, and the sign that it is the person's turn."""
    end_row(t.con)
    set_colour(t.con, PERSON)
    put_text(t.con, text("> "))


def answer(t: Talk, typed: U8) -> None:
    """Append a turn and reply."""
    set_colour(t.con, TEXT)
    if not add_turn(t, typed):
        say_line(t.con, ALARM, text("That is longer than the context of the model.  Shorten it."))
        return
    dropped = t.conversation.dropped
    if dropped > 0:
        say(t.con, DIM, sentence("The context is full.  Turns forgotten, the oldest first: {}.", (dropped,)))
        t.conversation.dropped = 0
    make_answer(t)


def make_answer(t: Talk) -> None:
    """Reply to the last turn, and say what came of it."""
    turn = t.conversation.turns[t.conversation.n_turns - 1]
    n_tokens = t.header.seq_len - turn.end + 1
    if t.settings.tokens > 0:
        n_tokens = min(n_tokens, t.settings.tokens)
    turn.end = reply.make_reply(t, turn.end, n_tokens)
    end_row(t.con)
    ended = t.figures.ended
    if ended == board.ENDED_BY_KEY:
        say_line(t.con, DIM, text("[stopped]"))
    elif ended == board.ENDED_AT_LIMIT and n_tokens == t.settings.tokens:
        say_line(t.con, DIM, text("[as many tokens as /tokens allows]"))
    elif ended == board.ENDED_AT_LIMIT:
        say_line(t.con, DIM, text("[the context is full; what is said next makes room]"))
    if not has_status(t.con):
        summary.tell_answer(t)
    flush(t.con)
