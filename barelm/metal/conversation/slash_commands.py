"""What can be asked for in a conversation beside an answer: lines that begin with a slash."""

from __future__ import annotations

from barelm.contract.board import SettingsView
from barelm.dialect.memory import address_of, float_of_bits, load_i64, store_i64, text
from barelm.dialect.rooms import metal
from barelm.dialect.types import U8, U16, u64
from barelm.kernels.text.chat_turn import takes_system
from barelm.metal.console.sinks import ACCENT, ALARM, DIM, TEXT, flush
from barelm.metal.console.stream import set_colour
from barelm.metal.console.writing import end_row, put_bytes, put_number, put_text, say_line
from barelm.metal.conversation.saving import (
    list_sessions,
    load_conversation,
    save_conversation,
    save_report,
    take_picture,
)
from barelm.metal.conversation.summary import tell_stats
from barelm.metal.conversation.talk import Talk, bytes_of, transcript_of, under_test, vocabulary_of
from barelm.metal.conversation.turns import begin_with, drop_oldest, end_of, forget
from barelm.metal.measuring.figures import tell_bench, tell_cpu, tell_selftest
from barelm.metal.storage.model_menu import list_models
from barelm.metal.storage.toml_values import parse_real, parse_whole, skip_blanks, word_number

GO_ON, LEAVE, SWITCH_OFF, RESTART, ANOTHER_MODEL, ANSWER, EDIT = 0, 1, 2, 3, 4, 5, 6
"""What the conversation does next."""

HELP_, SYSTEM, TEMP, TOPP, TOPK, MINP, REPEAT, SEED, TOKENS, STOP, RETRY, UNDO, EDIT_, CLEAR = range(14)
SAVE, LOAD, LIST, MODEL, STATS, CPU, BENCH, SHOT, SELFTEST, REPORT, REBOOT, OFF, QUIT = range(14, 27)
COMMANDS = ("help system temp topp topk minp repeat seed tokens stop retry undo edit clear "
            "save load list model stats cpu bench shot selftest report reboot off quit")

HELP = """/retry  answer again              /undo   take the last turn back
/edit   change the last question     /clear  begin anew
/system TEXT  what the model is      /stop TEXT  where an answer ends
/temp 0.7  /topp 0.9  /topk 40  /minp 0.05  /repeat 1.1  /seed 42
/tokens 200   how it speaks; each alone says what is set
/save NAME  /load NAME  /list        conversations on this volume
/stats  /cpu  /bench  /selftest      what this machine is and does
/report  writes that to a file       /shot NAME  a picture of the screen
/model  another model                /quit  /off  /reboot
A message that begins with a slash begins with two: //.
Esc or Ctrl-C stops an answer.  Page Up looks back.  Up: earlier lines.
Alt-Enter, or a backslash and Enter: a new line."""

TEMPERATURE_AT, TOP_P_AT, TOP_K_AT, MIN_P_AT, REPEAT_AT, SEED_AT, TOKENS_AT = (
    SettingsView.offset_of(name) for name in ("temperature", "top_p", "top_k", "min_p", "repeat", "seed", "tokens"))

MOST_REAL = 1000.0
SEED_MOST = 10**18 - 1


@metal
def obey(t: Talk, line: U8, n: int) -> int:
    """Do what line[:n], which begins with a slash, asks for; returns what to do next."""
    end = 1
    while end < n and line[end] != 32:
        end += 1
    what = word_number(line, 1, end, text(COMMANDS))
    at = skip_blanks(line, end, n)
    while n > at and line[n - 1] == 32:
        n -= 1
    if what < 0:
        set_colour(t.con, ALARM)
        put_bytes(t.con, line, 0, min(end, 40))
        say_line(t.con, ALARM, text(" is no command.  /help lists them."))
        return GO_ON
    if SYSTEM < what <= TOKENS:
        set_number(t, what, line, at, n)
        return GO_ON
    if what == SAVE:
        save_conversation(t, line[at:n])
    elif what == LOAD:
        load_conversation(t, line[at:n])
    elif what == SHOT:
        take_picture(t, line[at:n])
    elif what == SYSTEM:
        set_system(t, line, at, n)
    elif what == STOP:
        set_stop(t, line, at, n)
    elif at < n:
        set_colour(t.con, ALARM)
        put_bytes(t.con, line, 0, end)
        say_line(t.con, ALARM, text(" stands alone: leave out what follows it."))
    else:
        return obey_alone(t, what)
    return GO_ON


@metal
def obey_alone(t: Talk, what: int) -> int:
    """Do what a command without arguments asks for; returns what to do next."""
    if what == HELP_:
        say_line(t.con, DIM, text(HELP))
    elif what == RETRY or what == UNDO or what == EDIT_:
        return take_back(t, what)
    elif what == CLEAR:
        forget(t.conversation)
        say_line(t.con, DIM, text("What was said is forgotten."))
    elif what == LIST:
        list_sessions(t)
    elif what == STATS:
        tell_stats(t)
    elif what == CPU:
        tell_cpu(t.con, t.job, t.workspace)
    elif what == BENCH:
        tell_bench(t.con, under_test(t), t.figures.cycles_per_ms, end_of(t.conversation, t.conversation.n_turns))
    elif what == SELFTEST:
        tell_selftest(t.con, under_test(t))
    elif what == REPORT:
        save_report(t)
    elif what == MODEL:
        if list_models(t.con, t.workspace.board, t.workspace, t.root) > 1:
            return ANOTHER_MODEL
        say_line(t.con, DIM, text("There is only one model on this volume."))
    elif what == REBOOT:
        return RESTART
    elif what == OFF:
        return SWITCH_OFF
    elif what == QUIT:
        return LEAVE
    return GO_ON


@metal
def set_number(t: Talk, what: int, line: U8, at: int, n: int) -> None:
    """Set a number that decides how the model speaks, or say what it is; what it must be where it is none."""
    slot = t.settings.address + slot_of(what)
    is_real = what == TEMP or what == TOPP or what == MINP or what == REPEAT
    if at < n:
        value = parse_real(line, at, n) if is_real else parse_whole(line, at, n)
        if not allowed(t, what, value):
            say_line(t.con, ALARM, limits(what))
            return
        store_i64(slot, value)
        if what == SEED:
            transcript_of(t).rng[0] = u64(value)
    set_colour(t.con, ACCENT)
    put_text(t.con, name_of(what))
    if is_real:
        thousandths = int(float_of_bits(load_i64(slot)) * 1000 + 0.5)
        put_number(t.con, thousandths // 1000)
        put_text(t.con, text("."))
        put_number(t.con, thousandths // 100 % 10)
        if thousandths % 100 != 0:
            put_number(t.con, thousandths // 10 % 10)
        if thousandths % 10 != 0:
            put_number(t.con, thousandths % 10)
    else:
        put_number(t.con, load_i64(slot))
    end_row(t.con)
    set_colour(t.con, TEXT)
    flush(t.con)


@metal
def slot_of(what: int) -> int:
    """Where in the settings the number lies that a command sets."""
    if what == TEMP:
        return TEMPERATURE_AT
    if what == TOPP:
        return TOP_P_AT
    if what == TOPK:
        return TOP_K_AT
    if what == MINP:
        return MIN_P_AT
    if what == REPEAT:
        return REPEAT_AT
    if what == SEED:
        return SEED_AT
    return TOKENS_AT


@metal
def allowed(t: Talk, what: int, value: int) -> bool:
    """Whether a value, as parsed, makes sense."""
    if value < 0:
        return False
    if what == TEMP:
        return bool(float_of_bits(value) <= MOST_REAL)
    if what == TOPP or what == MINP:
        return bool(float_of_bits(value) <= 1.0)
    if what == REPEAT:
        return bool(0.0 < float_of_bits(value) <= MOST_REAL)
    if what == SEED:
        return bool(1 <= value <= SEED_MOST)
    if what == TOKENS:
        return bool(value <= t.header.seq_len)
    return True


@metal
def limits(what: int) -> U16:
    """What a number has to be."""
    if what == TEMP:
        return text("/temp takes a number from 0 (always the most likely word) to 1000, as in /temp 0.7.")
    if what == TOPP:
        return text("/topp takes a number from 0 to 1, as in /topp 0.9; 1 draws from all words.")
    if what == MINP:
        return text("/minp takes a number from 0 to 1, as in /minp 0.05; 0 draws from all words.")
    if what == REPEAT:
        return text("/repeat takes a number above 0, as in /repeat 1.1; 1 is no penalty.")
    if what == TOPK:
        return text("/topk takes a whole number, as in /topk 40; 0 draws from all words.")
    if what == SEED:
        return text("/seed takes a whole number from 1 on, as in /seed 42.")
    return text("/tokens takes a whole number that the context can hold, as in /tokens 200; 0: as many as fit.")


@metal
def name_of(what: int) -> U16:
    """What a number is called."""
    if what == TEMP:
        return text("temperature ")
    if what == TOPP:
        return text("top-p ")
    if what == MINP:
        return text("min-p ")
    if what == REPEAT:
        return text("repetition penalty ")
    if what == TOPK:
        return text("top-k ")
    if what == SEED:
        return text("seed ")
    return text("tokens an answer may have ")


@metal
def set_system(t: Talk, line: U8, at: int, n: int) -> None:
    """Set the system text, from the beginning of the conversation on; without one, say what it is."""
    con = t.con
    if at == n:
        set_colour(con, DIM)
        if t.settings.system.n_bytes == 0:
            put_text(con, text("No system text is set.  /system TEXT sets one."))
        put_bytes(con, bytes_of(t.settings.system), 0, t.settings.system.n_bytes)
        say_line(con, DIM, text(""))
        return
    if not takes_system(vocabulary_of(t)):
        say_line(con, ALARM, text("The chat template of this model has no place for a system text."))
        return
    target = t.conversation.system
    if n - at > len(target):
        say_line(con, ALARM, text("That is too long for a system text."))
        return
    for i in range(n - at):
        target[i] = line[at + i]
    t.settings.system.address = address_of(target)
    t.settings.system.n_bytes = n - at
    if t.conversation.n_turns > 0 and not begin_with(t, 0):
        drop_oldest(t, t.header.seq_len // 2)
        say_line(con, DIM, text("Set.  The oldest turns had to make room for it."))
    else:
        say_line(con, DIM, text("Set, for all of this conversation."))


@metal
def set_stop(t: Talk, line: U8, at: int, n: int) -> None:
    """Set the one text at which answers end; without one, none."""
    target = t.conversation.stops
    if n - at > len(target) - 2:
        say_line(t.con, ALARM, text("That is too long for a stop text."))
        return
    for i in range(n - at):
        target[i] = line[at + i]
    target[n - at] = 0
    t.settings.stops.address = address_of(target)
    t.settings.stops.n_bytes = n - at + 1 if n > at else 0
    if n > at:
        say_line(t.con, DIM, text("Answers end there."))
    else:
        say_line(t.con, DIM, text("Answers end by themselves.  /stop TEXT ends them where that comes."))


@metal
def take_back(t: Talk, what: int) -> int:
    """Undo the last reply (to be made again), or the last turn, or the last turn whose text is to be changed."""
    c = t.conversation
    n = c.n_turns
    if n == 0:
        say_line(t.con, ALARM, text("Nothing was said yet."))
        return GO_ON
    if what == RETRY:
        c.turns[n - 1].end = c.turns[n - 1].reply
        return ANSWER
    c.n_turns = n - 1
    if what == EDIT_:
        return EDIT
    set_colour(t.con, DIM)
    put_text(t.con, text("Taken back.  Turns left: "))
    put_number(t.con, n - 1)
    say_line(t.con, DIM, text("."))
    return GO_ON
