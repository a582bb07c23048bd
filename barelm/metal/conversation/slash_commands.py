"""What can be asked for in a conversation beside an answer: lines that begin with a slash."""

from barelm.contract import layout
from barelm.contract.settings import OF_CONTEXT, REAL, THINKS, SettingsView, grouped, joined, usages
from barelm.dialect.memory import float_of_bits, load_i64, store_i64, text
from barelm.dialect.sentences import sentence
from barelm.dialect.types import U8, u64
from barelm.kernels.text.chat_turn import takes_system
from barelm.metal.console.sinks import ACCENT, ALARM, DIM
from barelm.metal.console.writing import say, say_line
from barelm.metal.conversation import saving
from barelm.metal.conversation.summary import tell_stats
from barelm.metal.conversation.talk import (
    Talk,
    bytes_of,
    keyboard_of,
    set_text,
    transcript_of,
    under_test,
    vocabulary_of,
)
from barelm.metal.conversation.turns import (
    ask_again,
    begin_with,
    drop_oldest,
    end_of,
    forget,
    leaves_room,
    pieces_of,
    settle_all,
)
from barelm.metal.measuring.figures import tell_bench, tell_cpu, tell_selftest
from barelm.metal.storage.model_menu import ask_for_model, judged_models
from barelm.metal.storage.toml_values import TAB, parse_real, parse_whole, skip_blanks, word_number
from barelm.metal.storage.volumes import refresh_volume

GO_ON, LEAVE, SWITCH_OFF, RESTART, ANOTHER_MODEL, ANSWER, EDIT = 0, 1, 2, 3, 4, 5, 6
"""What the conversation does next."""

MOST_STOP = 1022
"""Bytes of a stop text given here."""
MINUS = 45

NUMBERS = [(row, row.command) for row in grouped() if row.command]
"""The settings a command sets and says."""
NUMBER_COMMANDS = " ".join(command.word for _, command in NUMBERS)
NUMBER_KINDS = tuple(row.kind for row, _ in NUMBERS)
NUMBER_PLACES = tuple(SettingsView.offset_of(row.name) for row, _ in NUMBERS)
# As words: a float32 that is not negative grows with its bits, and 1 is the smallest above 0.
NUMBER_LEAST = tuple(int(command.positive) for _, command in NUMBERS)
NUMBER_MOST = tuple(row.word(row.most if command.most is None else command.most) for row, command in NUMBERS)
TITLES, TITLES_AT = joined(command.title for _, command in NUMBERS)
THINK_NAMES = " ".join(THINKS)
THINK_TITLES, THINK_TITLES_AT = joined(THINKS)
LIMITS, LIMITS_AT = joined(command.limits for _, command in NUMBERS)
SEED = [row.name for row, _ in NUMBERS].index("seed")

HELP_, SYSTEM, STOP, THINK, RETRY, UNDO, EDIT_, CLEAR, SAVE, LOAD, LIST, MODEL, STATS, CPU, BENCH, SHOT, SELFTEST, \
    RECEIPT, REPORT, REBOOT, OFF, QUIT = range(len(NUMBERS), len(NUMBERS) + 22)
ENDINGS = RESTART, SWITCH_OFF, LEAVE  # of the last three
COMMANDS = NUMBER_COMMANDS + (" help system stop think retry undo edit clear save load list model stats cpu bench shot "
                              "selftest receipt report reboot off quit")

HELP = f"""/retry  answer again              /undo   take the last turn back
/edit   change the last question     /clear  begin anew
/system TEXT  what the model is      /stop TEXT  where an answer ends
{usages()}   how it speaks; each alone says what is set
/think on  /think off                whether it writes down thoughts first
/save NAME  /load NAME  /list        conversations on this volume
/stats  /cpu  /bench  /selftest      what this machine is and does
/report  writes that to a file       /shot NAME  a picture of the screen
/receipt NAME  a proof of the last answer, for `barelm verify`
/model  another model                /quit  /off  /reboot
A message that begins with a slash begins with two: //.
Esc or Ctrl-C stops an answer.  Page Up looks back.  Up: earlier lines.
Alt-Enter, or a backslash and Enter: a new line."""


def obey(t: Talk, line: U8, n: int) -> int:
    """Do what line[:n], which begins with a slash, asks for; returns what to do next."""
    end = 1
    while end < n and line[end] != 32 and line[end] != TAB:
        end += 1
    what = word_number(line, 1, end, text(COMMANDS))
    at = skip_blanks(line, end, n)
    while n > at and line[n - 1] == 32:
        n -= 1
    if what >= SAVE:
        refresh_volume(t.con.fw, t.volume)
    if what < 0:
        say(t.con, ALARM, sentence("{} is no command.  /help lists them.", (line[:min(end, 40)],)))
    elif what < len(NUMBER_KINDS):
        set_number(t, what, line, at, n)
    elif what == SAVE:
        saving.save_conversation(t, line[at:n])
    elif what == LOAD:
        saving.load_conversation(t, line[at:n])
    elif what == RECEIPT:
        saving.save_receipt(t, line[at:n])
    elif what == SHOT:
        saving.take_picture(t, line[at:n])
    elif what == SYSTEM:
        set_system(t, line, at, n)
    elif what == STOP:
        set_stop(t, line, at, n)
    elif what == THINK:
        set_think(t, line, at, n)
    elif at < n:
        say(t.con, ALARM, sentence("{} stands alone: leave out what follows it.", (line[:end],)))
    else:
        return obey_alone(t, what)
    return GO_ON


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
        saving.list_sessions(t)
    elif what == STATS:
        tell_stats(t)
    elif what == CPU:
        tell_cpu(t.con, t.job, t.figures, t.workspace)
    elif what == BENCH:
        tell_bench(t.con, under_test(t), t.figures.cycles_per_ms, end_of(t.conversation, t.conversation.n_turns))
    elif what == SELFTEST:
        tell_selftest(t.con, under_test(t))
    elif what == REPORT:
        saving.save_report(t)
    elif what == MODEL:
        return ask_another(t)
    elif what >= REBOOT:
        return ENDINGS[what - REBOOT]
    return GO_ON


def ask_another(t: Talk) -> int:
    """`/model`: the conversation is left only for a model that can be loaded."""
    models = judged_models(t.con.fw, t.settings, t.workspace, t.volume.root, t.header.memory_bytes)
    if models.n == 1:
        say_line(t.con, DIM, text("There is only one model on this volume."))
    elif t.settings.report != 0 or ask_for_model(t.con, keyboard_of(t), models):
        return ANOTHER_MODEL
    return GO_ON


def set_number(t: Talk, k: int, line: U8, at: int, n: int) -> None:
    """Set the k-th number that decides how the model speaks, or say what it is; what it must be where it is none."""
    place = t.settings.address + NUMBER_PLACES[k]
    if at < n:
        value = parse_real(line, at, n) if NUMBER_KINDS[k] == REAL else parse_whole(line, at, n)
        most = t.header.seq_len if NUMBER_MOST[k] == OF_CONTEXT else NUMBER_MOST[k]
        if not NUMBER_LEAST[k] <= value <= most:
            limits = text(LIMITS)[LIMITS_AT[k]:]
            say(t.con, ALARM, sentence("{}", (limits,)))
            return
        store_i64(place, value)
        if k == SEED:
            transcript_of(t).rng[0] = u64(value)
    title = text(TITLES)[TITLES_AT[k]:]
    if NUMBER_KINDS[k] == REAL:
        say(t.con, ACCENT, sentence("{} {}", (title, float_of_bits(load_i64(place)))))
    else:
        say(t.con, ACCENT, sentence("{} {}", (title, load_i64(place))))


def set_system(t: Talk, line: U8, at: int, n: int) -> None:
    """Set the system text, from the beginning of the conversation on; without one, say what it is."""
    con = t.con
    system = t.settings.system
    target = t.conversation.system
    if at == n and system.n_bytes == 0:
        say_line(con, DIM, text("No system text is set.  /system TEXT sets one."))
    elif at == n:
        say(con, DIM, sentence("{}   (/system - takes it away)", (bytes_of(system),)))
    elif not takes_system(vocabulary_of(t)):
        say_line(con, ALARM, text("The chat template of this model has no place for a system text."))
    elif n - at > len(target) or not leaves_room(t, line[at:n]):
        say_line(con, ALARM, text("That is too long for a system text."))
    else:
        set_text(system, target, line[at:n] if n - at > 1 or line[at] != MINUS else line[:0])
        if t.conversation.n_turns > 0 and not begin_with(t, 0):
            drop_oldest(t, t.header.seq_len // 2)
            say(con, DIM, sentence("Set.  Turns are forgotten for it; {} are left.", (t.conversation.n_turns,)))
        else:
            say_line(con, DIM, text("Set, for all of this conversation."))


def set_stop(t: Talk, line: U8, at: int, n: int) -> None:
    """Set the one text at which answers end; without one, none."""
    target = t.conversation.stops
    stop = t.settings.stop
    if n - at > MOST_STOP:
        say_line(t.con, ALARM, text("That is too long for a stop text."))
        return
    set_text(stop, target, line[at:n])
    if n > at:
        target[n - at] = 0
        stop.n_bytes += 1
        say_line(t.con, DIM, text("Answers end there."))
    else:
        say_line(t.con, DIM, text("Answers end by themselves.  /stop TEXT ends them where that comes."))


def set_think(t: Talk, line: U8, at: int, n: int) -> None:
    """Set whether the model thinks first, for all of the conversation; alone, say what is set."""
    v = vocabulary_of(t)
    before = pieces_of(t)
    chosen = word_number(line, at, n, text(THINK_NAMES))
    if at < n and chosen < 0:
        say_line(t.con, ALARM, text("/think takes on, off or auto."))
        return
    if at < n and chosen > 0 and len(v.chat_ends) == layout.CHAT_PIECES:
        say_line(t.con, ALARM, text("The chat template of this model knows no thinking on and off."))
        return
    if at < n:
        t.settings.think = chosen
    if pieces_of(t) != before and not settle_all(t):
        say_line(t.con, DIM, text("Set.  The oldest turns had to make room for it."))
    name = text(THINK_TITLES)[THINK_TITLES_AT[t.settings.think]:]
    say(t.con, ACCENT, sentence("thinking {}", (name,)))


def take_back(t: Talk, what: int) -> int:
    """Undo the last reply (to be made again), or the last turn, or the last turn whose text is to be changed."""
    c = t.conversation
    n = c.n_turns
    if n == 0:
        say_line(t.con, ALARM, text("Nothing was said yet."))
        return GO_ON
    if what == RETRY:
        ask_again(t)
        return ANSWER
    c.n_turns = n - 1
    if what == EDIT_:
        return EDIT
    say(t.con, DIM, sentence("Taken back.  Turns left: {}.", (n - 1,)))
    return GO_ON
