"""Which model: the packed models of the volume, and a menu where there are several."""

from barelm.contract import layout, uefi
from barelm.contract.regions import Workspace
from barelm.contract.settings import SettingsView
from barelm.contract.storage_state import MODEL_UNITS, MOST_MODELS, ModelEntry, ModelList, ModelParts
from barelm.contract.uefi_protocols import FileInfo
from barelm.dialect.memory import address_of, copy_bytes, memory, text, u16_array
from barelm.dialect.processor import cycles
from barelm.dialect.rooms import Failure
from barelm.dialect.sentences import sentence
from barelm.dialect.types import U8, U16
from barelm.kernels.header import OTHER_VERSION, SOUND
from barelm.metal import arena
from barelm.metal.console.sinks import ALARM, SPACE, TEXT, Console
from barelm.metal.console.stream import begin_input, end_input, fit_line, put_code_point, set_colour, show_input
from barelm.metal.console.writing import begin_text, end_row, end_text, put, put_text, say, say_line
from barelm.metal.keys.keyboard import CONTROL_C, DOWN, END, ESCAPE, HOME, RESIZED, UP, Keyboard, wait_for_key
from barelm.metal.storage.model_parts import close_parts, open_parts, parts_in
from barelm.metal.storage.model_refusals import DISK_FAILS, NO_PART, NOT_OPENED, OTHER_PART
from barelm.metal.storage.whole_files import is_called, is_listed
from barelm.metal.uefi.boot_services import Firmware
from barelm.metal.uefi.file_protocol import close_file, open_file, read_entry, seek

TOO_LARGE, CANNOT_CHAT = 99, 98
"""More verdicts on a model, beside those of `kernels.header`."""
SPARE = 16 << 20
"""Bytes a firmware should keep."""

ENTER = 13
USUAL = "model.blm"
TRIANGLE = 0x25B6
WAITS, CHOSEN = -1, -2  # in place of the seconds that are left


def list_models(workspace: Workspace, root: int) -> ModelList:
    """The .blm files in the root of a volume: no folders, and nothing that other systems hide behind a dot."""
    models = workspace.models
    models.n = 0
    models.longest = 0
    seek(root, 0)
    info = FileInfo(address_of(models.info))
    k = 0
    while models.n < MOST_MODELS and read_entry(root, info, len(models.info), k):
        k += 1
        name = u16_array(models.info, uefi.INFO_NAME, MODEL_UNITS)
        name[MODEL_UNITS - 1] = 0
        n = is_listed(info, name, text(".blm"))
        if n > 0:
            add_model(models, name[:n + 5])
    return models


def want_model(models: ModelList, root: int, wanted: U8 | U16) -> None:
    """Have a model in the list whose file is there: a list has an end, and not every firmware lists a directory."""
    n = len(wanted)
    if find_model(models, wanted) >= 0 or not 4 < n < MODEL_UNITS:
        return
    name = u16_array(models.info, 0, MODEL_UNITS)
    for i in range(n):
        name[i] = wanted[i]
    name[n] = 0
    file = open_file(root, name) if is_called(name, text(".blm")) > 0 else 0
    if file > 0:
        close_file(file)
        models.n = min(models.n, MOST_MODELS - 1)
        add_model(models, name[:n + 1])


def add_model(models: ModelList, name: U16) -> None:
    """One more, of the name of a file with its zero."""
    entry = models.entries[models.n]
    copy_bytes(address_of(entry.name), address_of(name), 2 * len(name))
    entry.n_units = len(name) - 1
    models.longest = max(models.longest, entry.n_units)
    models.n += 1


def judged_models(fw: Firmware, settings: SettingsView, workspace: Workspace, root: int, more: int) -> ModelList:
    """The models of a volume, the one wanted among them, each with a verdict; `more`: bytes that will be free too."""
    models = list_models(workspace, root)
    usual = text(USUAL)
    want_model(models, root, usual[:len(usual) - 1])
    want_model(models, root, memory(settings.model.address, settings.model.n_bytes))
    free = arena.free_memory(fw, arena.map_buffer(workspace)).total
    judge_models(models, parts_in(workspace), root, settings, free + more if free > 0 else 0)
    return models


def judge_models(models: ModelList, parts: ModelParts, root: int, settings: SettingsView, free: int) -> None:
    """Read every model's header, and say whether it can do what is configured; `free`: bytes of memory, or 0."""
    for k in range(models.n):
        entry = models.entries[k]
        judge_model(models, parts, entry, root)
        if entry.verdict == SOUND and free > 0 and entry.memory_bytes + SPARE > free:
            entry.verdict = TOO_LARGE
        elif entry.verdict == SOUND and settings.chat != 0 and models.header.n_chat_pieces == 0:
            entry.verdict = CANNOT_CHAT


def judge_model(models: ModelList, parts: ModelParts, entry: ModelEntry, root: int) -> None:
    """Read a model's header, and say whether it is one, and whether all its files are there."""
    header = models.header
    entry.verdict = open_parts(parts, root, entry.name, header)
    entry.file_bytes = parts.ends[parts.n - 1] if parts.n > 0 else 0
    if entry.verdict == SOUND:
        entry.memory_bytes = header.memory_bytes
        entry.seq_len = header.seq_len
        copy_bytes(address_of(entry.title), address_of(header.name), 8 * layout.NAME_WORDS)
    close_parts(parts)


def choose_model(con: Console, k: Keyboard, models: ModelList, settings: SettingsView, again: bool) -> int:
    """The number of the model to load: the only one, the configured one, or the one a person chooses.

    `again`: a model could not be loaded, so the menu comes whatever was asked for before.
    """
    wanted = memory(settings.model.address, settings.model.n_bytes)
    chosen = default_model(models, wanted)
    if models.n == 0:
        raise Failure(uefi.EFI_NOT_FOUND, "there is no model on this volume",
                      "Copy a packed model (`barelm pack`), a .blm file, there.")
    if chosen < 0:
        raise Failure(uefi.EFI_NOT_FOUND, "the `model` that barelm.toml names is not on this volume",
                      "Give the name of a .blm file there, or leave `model` out.")
    if models.n == 1 or settings.report != 0:
        return chosen
    if models.asked_for > 0 and not again:
        return models.asked_for - 1
    usable = usable_in_place(models, chosen)
    if usable != chosen:
        say(con, ALARM, sentence("{} cannot be loaded; {} takes its place.",
                                 (models.entries[chosen].name, models.entries[usable].name)))
    return choose(con, k, models, usable, settings.countdown, False)


def ask_for_model(con: Console, k: Keyboard, models: ModelList) -> bool:
    """Have a person choose another model while one is loaded; False where they go back, or nothing can be loaded."""
    usable = usable_in_place(models, 0)
    if models.n == 0 or models.entries[usable].verdict != SOUND:
        say_line(con, ALARM, text("None of the models on this volume can be loaded now.  Is the stick still there?"))
        return False
    models.asked_for = choose(con, k, models, usable, WAITS, True) + 1
    return bool(models.asked_for > 0)


def default_model(models: ModelList, wanted: U8) -> int:
    """The configured model, else model.blm, else the first that can be loaded, else the first; -1: not there."""
    if len(wanted) > 0:
        return find_model(models, wanted)
    usual = text(USUAL)
    found = find_model(models, usual[:len(usual) - 1])
    return found if found >= 0 else usable_in_place(models, 0)


def usable_in_place(models: ModelList, number: int) -> int:
    """That model, or where it cannot be loaded the first that can; where none can, that one."""
    if models.entries[number].verdict != SOUND:
        for k in range(models.n):
            if models.entries[k].verdict == SOUND:
                return k
    return number


def find_model(models: ModelList, wanted: U8 | U16) -> int:
    """The model whose file has a name, in either case (beyond ASCII none has); -1: none."""
    for k in range(models.n):
        entry = models.entries[k]
        n = 0
        while n < min(len(wanted), entry.n_units) and int(entry.name[n]) | 32 == int(wanted[n]) | 32:
            n += 1
        if n == len(wanted) and n == entry.n_units:
            return k
    return -1


def choose(con: Console, k: Keyboard, models: ModelList, chosen: int, countdown_s: int, goes_back: bool) -> int:
    """Have a person choose a model; the one marked at first is taken when the countdown (WAITS: none) is over.

    Esc takes the marked one as it is, or where one can go back is -1.
    """
    counts = countdown_s >= 0
    per_ms = k.figures.cycles_per_ms
    deadline = cycles() + countdown_s * 1000 * per_ms
    set_colour(con, TEXT)
    begin_input(con)
    while True:
        left = max((deadline - cycles()) // (1000 * per_ms) + 1, 0) if counts else WAITS
        show_input(con, models.menu, put_menu(con, models, chosen, left, goes_back), -1)
        key = wait_for_key(k, 250 if counts else -1) if left != 0 else 0
        is_usable = models.entries[chosen].verdict == SOUND
        leaves = key == ESCAPE or key == CONTROL_C
        if key < 0 or left == 0 or leaves or (key == ENTER and is_usable):
            end_input(con, models.menu, put_menu(con, models, chosen, CHOSEN, goes_back))
            end_row(con)
            return -1 if goes_back and (leaves or key < 0) else chosen
        if key == RESIZED:
            fit_line(con)
        elif key > 0:
            counts = False
        chosen = marked_by(key, chosen, models.n)


def marked_by(key: int, marked: int, n: int) -> int:
    """Which of n models is marked after a key."""
    if key == UP:
        return max(marked - 1, 0)
    if key == DOWN:
        return min(marked + 1, n - 1)
    if key == HOME:
        return 0
    if key == END:
        return n - 1
    if 49 <= key < 49 + n:
        return key - 49
    return marked


def put_menu(con: Console, models: ModelList, chosen: int, left: int, goes_back: bool) -> int:
    """The menu as a text; returns its bytes.  `left`: seconds before the default is taken, or one of the two."""
    begin_text(con, models.menu)
    put_text(con, text("Which model?\n"))
    for k in range(models.n):
        put_model(con, models.entries[k], models.longest, TRIANGLE if k == chosen else SPACE)
    if left >= 0:
        put(con, sentence("\n\nArrow keys choose, Enter starts; the marked one starts in {} s.", (left,)))
    elif left == WAITS:
        put_text(con, text("\n\nArrow keys choose, Enter starts."))
    if goes_back and left != CHOSEN:
        put_text(con, text("  Esc goes back."))
    return end_text(con)


def put_model(con: Console, entry: ModelEntry, width: int, mark: int) -> None:
    """A row of the menu, the sizes one below the other behind names of up to `width`."""
    put(con, sentence("\n {:c} {}", (mark, entry.name)))
    megabytes = (entry.file_bytes + 999999) // 1000000
    for _ in range(width - entry.n_units + 2 + int(megabytes < 10) + int(megabytes < 100) + int(megabytes < 1000)):
        put_code_point(con, SPACE)
    put(con, sentence("{:MB}", (entry.file_bytes,)))
    if entry.verdict == SOUND:
        put(con, sentence("   {}, context {}, takes {:MB}", (entry.title, entry.seq_len, entry.memory_bytes)))
    elif entry.verdict == TOO_LARGE:
        put(con, sentence("   {}, takes {:MB}: more than is free", (entry.title, entry.memory_bytes)))
    elif entry.verdict == CANNOT_CHAT:
        put(con, sentence("   {}, takes {:MB}: tells stories, cannot chat", (entry.title, entry.memory_bytes)))
    elif entry.verdict == NO_PART or entry.verdict == OTHER_PART:
        put_text(con, text("   goes on in another file, which is missing or of another model"))
    elif entry.verdict == DISK_FAILS or entry.verdict == NOT_OPENED:
        put_text(con, text("   cannot be read"))
    elif entry.verdict == OTHER_VERSION:
        put_text(con, text("   packed for another version of barelm"))
    else:
        put_text(con, text("   damaged, or no model"))
