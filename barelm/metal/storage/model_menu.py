"""Which model: the packed models of the volume, and a menu where there are several."""

from __future__ import annotations

from barelm.contract import layout, uefi
from barelm.contract.board import Board
from barelm.contract.layout import Header
from barelm.contract.regions import Workspace
from barelm.dialect.memory import address_of, cells, copy_bytes, i64_array, memory, text, u16_array, u64_array
from barelm.dialect.processor import cycles
from barelm.dialect.rooms import Failure, metal
from barelm.dialect.types import I64, U8, U16
from barelm.kernels.header import DAMAGED, OTHER_VERSION, SOUND, check_header
from barelm.metal import arena
from barelm.metal.console.sinks import SPACE, TEXT, Console
from barelm.metal.console.stream import begin_input, end_input, fit_line, put_code_point, set_colour, show_input
from barelm.metal.console.writing import (
    begin_text,
    end_row,
    end_text,
    put_megabytes,
    put_number,
    put_text,
    put_words,
)
from barelm.metal.conversation.talk import keyboard_of
from barelm.metal.keys.keyboard import DOWN, END, HOME, RESIZED, UP, wait_for_key
from barelm.metal.measuring.facts import memory_facts
from barelm.metal.storage.whole_files import is_called
from barelm.metal.uefi.file_protocol import close_file, file_size, open_file, read_file, seek

MODELS_AT = 1 << 17
"""Where in the scratch the list lies: behind the memory map; the menu's text behind it."""
MOST_MODELS = 32
ENTRY_BYTES = 512
NAME_UNITS = 120
WORDS_AT = 256
FILE_BYTES, MEMORY_BYTES, VERDICT, SEQ_LEN, NAME_AT = 0, 1, 2, 3, 8
TOO_LARGE = 99
CANNOT_CHAT = 98
MENU_AT = MODELS_AT + MOST_MODELS * ENTRY_BYTES
MENU_BYTES = 1 << 14
HEADER_AT = MENU_AT + MENU_BYTES
SPARE = 16 << 20
"""Bytes a firmware should keep."""

ENTER = 13
WAITS, CHOSEN = -1, -2  # in place of the seconds that are left


@metal
def open_chosen_model(con: Console, b: Board, workspace: Workspace, root: int, again: bool) -> int:
    """The model file to load, open: the only one, the configured one, or the one a person chooses.

    `again`: a person asks for another one, so the menu does not count down.
    """
    n = list_models(con, b, workspace, root)
    default = default_model(b, workspace, n)
    if n == 0:
        raise Failure(uefi.EFI_NOT_FOUND, "there is no model on this volume",
                      "Copy a packed model (`barelm pack`), a .blm file, there.")
    if default < 0:
        raise Failure(uefi.EFI_NOT_FOUND, "the `model` that barelm.toml names is not on this volume",
                      "Give the name of a .blm file there, or leave `model` out.")
    if n > 1 and b.settings.report == 0:
        default = choose(con, b, workspace, n, default, again)
    file = open_file(root, name_at(workspace, default))
    if file == 0:
        raise Failure(uefi.EFI_NOT_FOUND, "the model file cannot be opened", "Copy it to the volume again.")
    return file


@metal
def name_at(workspace: Workspace, k: int) -> U16:
    """The file name of model k, with its zero."""
    place = workspace.address + arena.SCRATCH + MODELS_AT + k * ENTRY_BYTES
    return u16_array(memory(place, 2 * NAME_UNITS), 0, NAME_UNITS)


@metal
def words_at(workspace: Workspace, k: int) -> I64:
    """What is known of model k."""
    return i64_array(memory(workspace.address + arena.SCRATCH + MODELS_AT + k * ENTRY_BYTES + WORDS_AT, 256), 0, 32)


@metal
def list_models(con: Console, b: Board, workspace: Workspace, root: int) -> int:
    """List the .blm files in the root of the volume, with what their headers say; returns how many."""
    free = memory_facts(con.fw, workspace).free
    info = memory(workspace.address + arena.SCRATCH, 1024)
    n = 0
    if root != 0:
        seek(root, 0)
        while n < MOST_MODELS and read_file(root, workspace.address + arena.SCRATCH, len(info)) > uefi.INFO_NAME:
            name = u16_array(info, uefi.INFO_NAME, NAME_UNITS)
            name[NAME_UNITS - 1] = 0
            if is_called(name, text(".blm")) > 0:
                copy_bytes(address_of(name_at(workspace, n)), address_of(name), 2 * NAME_UNITS)
                n += 1
    if n == 0:
        # A firmware that lists no directories still opens what it is told to.
        known = text("model.blm")
        for i in range(len(known)):
            name_at(workspace, 0)[i] = known[i]
        file = open_file(root, name_at(workspace, 0))
        if file != 0:
            close_file(file)
            n = 1
    for k in range(n):
        judge_model(b, workspace, root, k, free)
    return n


@metal
def judge_model(b: Board, workspace: Workspace, root: int, k: int, free: int) -> None:
    """Read the header of model k, and say whether it can do what is configured here."""
    words = words_at(workspace, k)
    target = workspace.address + arena.SCRATCH + HEADER_AT
    header = Header(target)
    words[VERDICT] = DAMAGED
    words[FILE_BYTES] = 0
    file = open_file(root, name_at(workspace, k))
    if file == 0:
        return
    words[FILE_BYTES] = file_size(file)
    if read_file(file, target, layout.HEADER_BYTES) == layout.HEADER_BYTES:
        place = cells(2)
        words[VERDICT] = check_header(header, u64_array(memory(address_of(place), 16), 0, 2), words[FILE_BYTES])
        words[MEMORY_BYTES] = header.memory_bytes
        words[SEQ_LEN] = header.seq_len
        for i in range(layout.NAME_WORDS):
            words[NAME_AT + i] = header.name[i]
        if words[VERDICT] == SOUND and free > 0 and words[MEMORY_BYTES] + SPARE > free:
            words[VERDICT] = TOO_LARGE
        elif words[VERDICT] == SOUND and b.settings.chat != 0 and header.n_chat_pieces == 0:
            words[VERDICT] = CANNOT_CHAT
    close_file(file)


@metal
def default_model(b: Board, workspace: Workspace, n: int) -> int:
    """The configured model, else model.blm, else the first that can be loaded, else the first; -1: not there."""
    wanted = memory(b.settings.model.address, b.settings.model.n_bytes)
    for k in range(n):
        if len(wanted) > 0 and is_same_name(name_at(workspace, k), wanted):
            return k
    if len(wanted) > 0:
        return -1
    for k in range(n):
        if is_model_blm(name_at(workspace, k)):
            return k
    for k in range(n):
        if words_at(workspace, k)[VERDICT] == SOUND:
            return k
    return 0


@metal
def is_model_blm(name: U16) -> bool:
    """Whether a file is called model.blm, in either case."""
    known = text("model.blm")
    for i in range(len(known) - 1):
        if int(name[i]) | 32 != int(known[i]) | 32:
            return False
    return bool(name[len(known) - 1] == 0)


@metal
def is_same_name(name: U16, wanted: U8) -> bool:
    """Whether a file name is the one configured, in either case; beyond ASCII they never are."""
    for i in range(len(wanted)):
        if i >= len(name) or int(name[i]) | 32 != int(wanted[i]) | 32:
            return False
    return bool(len(wanted) < len(name) and name[len(wanted)] == 0)


@metal
def choose(con: Console, b: Board, workspace: Workspace, n: int, default: int, again: bool) -> int:
    """Have a person choose among n models; the default is taken when the countdown is over."""
    k = keyboard_of(con, b)
    chosen = default
    deadline = cycles() + b.settings.countdown * 1000 * b.figures.cycles_per_ms
    counts = not again
    buffer = memory(workspace.address + arena.SCRATCH + MENU_AT, MENU_BYTES)
    set_colour(con, TEXT)
    begin_input(con)
    while True:
        left = (deadline - cycles()) // (1000 * b.figures.cycles_per_ms) + 1
        if counts and deadline <= cycles():
            left = 0
        n_bytes = put_menu(con, workspace, n, chosen, left if counts else WAITS)
        show_input(con, buffer, n_bytes, -1)
        key = 0
        if not counts or left > 0:
            key = wait_for_key(k, 250 if counts else -1)
        usable = words_at(workspace, chosen)[VERDICT] == SOUND
        if key < 0 or key == ENTER or (counts and left <= 0):
            if usable or key <= 0:
                end_input(con, buffer, put_menu(con, workspace, n, chosen, CHOSEN))
                end_row(con)
                return chosen
        if key == RESIZED:
            fit_line(con)
        elif key > 0:
            counts = False
        if key == UP:
            chosen = max(chosen - 1, 0)
        elif key == DOWN:
            chosen = min(chosen + 1, n - 1)
        elif key == HOME:
            chosen = 0
        elif key == END:
            chosen = n - 1
        elif 49 <= key < 49 + n:
            chosen = key - 49


@metal
def length_of(name: U16) -> int:
    """Units of a name before its zero."""
    n = 0
    while name[n] != 0:
        n += 1
    return n


@metal
def put_menu(con: Console, workspace: Workspace, n: int, chosen: int, left: int) -> int:
    """The menu as a text; returns its bytes.  `left`: seconds before the default is taken, or one of the two."""
    begin_text(con, memory(workspace.address + arena.SCRATCH + MENU_AT, MENU_BYTES))
    put_text(con, text("Which model?\n"))
    longest = 0
    for k in range(n):
        longest = max(longest, length_of(name_at(workspace, k)))
    for k in range(n):
        words = words_at(workspace, k)
        if k == chosen:
            put_text(con, text("\n ▶ "))
        else:
            put_text(con, text("\n   "))
        name = name_at(workspace, k)
        for i in range(length_of(name)):
            put_code_point(con, int(name[i]) & 0xFFFF)
        megabytes = (words[FILE_BYTES] + 999999) // 1000000
        for _ in range(longest - length_of(name) + 2 + int(megabytes < 10) + int(megabytes < 100)
                       + int(megabytes < 1000)):
            put_code_point(con, SPACE)
        put_megabytes(con, words[FILE_BYTES])
        if words[VERDICT] == SOUND or words[VERDICT] >= CANNOT_CHAT:
            put_text(con, text("   "))
            put_words(con, words[NAME_AT:NAME_AT + layout.NAME_WORDS])
            if words[VERDICT] == SOUND:
                put_text(con, text(", context "))
                put_number(con, words[SEQ_LEN])
            put_text(con, text(", takes "))
            put_megabytes(con, words[MEMORY_BYTES])
        if words[VERDICT] == TOO_LARGE:
            put_text(con, text(": more than is free"))
        elif words[VERDICT] == CANNOT_CHAT:
            put_text(con, text(": tells stories, cannot chat"))
        elif words[VERDICT] == OTHER_VERSION:
            put_text(con, text("   packed for another version of barelm"))
        elif words[VERDICT] != SOUND:
            put_text(con, text("   damaged, or no model"))
    if left > CHOSEN:
        put_text(con, text("\n\nArrow keys choose, Enter starts"))
        if left >= 0:
            put_text(con, text("; the marked one starts in "))
            put_number(con, left)
            put_text(con, text(" s"))
        put_text(con, text("."))
    return end_text(con)
