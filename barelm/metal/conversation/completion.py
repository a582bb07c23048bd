"""A prompt gone on with, on the screen: the prompt in, words out as they are made.

To a person the text itself is shown.  To a program (`report = true` in the configuration) ids are, since firmware
consoles wrap lines and know few characters; every such line begins with "BARELM ":

    BARELM n_prompt 1           a measurement by its name in the report; this one comes first
    BARELM IDS 1 403 407        the session's token ids, prompt first, as they come
    BARELM ids_sum 17           behind them and the other measurements: the ids, summed (`kernels.session.sum_with`)
    BARELM DONE 0               always the last: the status, without the error bit
"""

from barelm.contract import uefi
from barelm.contract.layout import PAGE
from barelm.contract.trust.receipt_state import REPLAY_MAGIC, REPLAY_PATH, Replay
from barelm.dialect.memory import address_of, i64_array, text
from barelm.dialect.processor import cycles
from barelm.dialect.rooms import Failure
from barelm.dialect.sentences import sentence
from barelm.dialect.types import u64
from barelm.kernels.text.chat_turn import has_chat
from barelm.metal.console.sinks import PERSON, flush
from barelm.metal.console.writing import end_row, put, say
from barelm.metal.conversation import saved_sessions, saving
from barelm.metal.conversation.prompt import append_prompt
from barelm.metal.conversation.reply import make_reply, show_token
from barelm.metal.conversation.status_row import show_status
from barelm.metal.conversation.talk import Talk, bytes_of, transcript_of, under_test, vocabulary_of
from barelm.metal.processors.cores import place
from barelm.metal.storage.whole_files import close_open, read_up_to
from barelm.metal.trust import receipts
from barelm.metal.uefi.file_protocol import open_file

DEFAULT_TOKENS = 256


def complete_prompt(t: Talk) -> None:
    """Go on with the configured prompt, or answer it."""
    seed_generator(t)
    n_prompt = append_prompt(t)
    n_tokens = tokens_to_make(t, n_prompt)
    show_prompt(t, n_prompt)
    end = make_reply(t, n_prompt, n_tokens)
    end_row(t.con)
    show_status(t, end, 0, 0)
    if t.settings.receipt != 0:
        saving.write_receipt(t, saved_sessions.plain_name(t.conversation, text("receipt")), text(".json"))


def replay_answer(t: Talk) -> None:
    """Compute an answer again from what its receipt says it was made of, and write a receipt of that."""
    block = t.conversation.file
    file = open_file(t.volume.root, text(REPLAY_PATH))
    n_bytes = read_up_to(file, block) if file > 0 else 0
    close_open(file)
    asked = Replay(address_of(block))
    start = asked.start
    n = start.n_ids
    if n_bytes < PAGE or asked.magic != REPLAY_MAGIC or not 1 <= n <= t.header.seq_len or n_bytes < PAGE + 8 * n:
        raise Failure(uefi.EFI_INVALID_PARAMETER, "replay.bin holds nothing that could be computed again",
                      "Leave `replay` out of barelm.toml.")
    if not 1 <= asked.n_tokens <= t.header.seq_len + 1 - n:
        raise Failure(uefi.EFI_INVALID_PARAMETER, "replay.bin asks for more tokens than the context holds",
                      "Leave `replay` out of barelm.toml.")
    ids = i64_array(block, PAGE, n)
    for i in range(n):
        if not 0 <= ids[i] < t.header.vocab_size:
            raise Failure(uefi.EFI_INVALID_PARAMETER, "replay.bin holds an id that is not in the vocabulary",
                          "Leave `replay` out of barelm.toml.")
        place(t.job, transcript_of(t).tokens, i, ids[i])
    receipts.take_settings(t.workspace, under_test(t), start)
    make_reply(t, n, asked.n_tokens)
    end_row(t.con)
    saving.write_receipt(t, saved_sessions.plain_name(t.conversation, text("receipt")), text(".json"))


def seed_generator(t: Talk) -> None:
    """Start the generator from the configured seed, or a fresh one."""
    if t.settings.seed == 0:
        t.settings.seed = cycles() | 1
    transcript_of(t).rng[0] = u64(t.settings.seed)


def show_prompt(t: Talk, n_prompt: int) -> None:
    """The text to be gone on with; a program is told how many ids it is, a chat shows what was asked."""
    if t.settings.report != 0:
        put(t.con, sentence("BARELM n_prompt {}\n", (n_prompt,)))
    if t.settings.report == 0 and t.settings.template != 0 and has_chat(vocabulary_of(t)):
        say(t.con, PERSON, sentence("> {}", (bytes_of(t.settings.prompt),)))
    else:
        for i in range(n_prompt):
            show_token(t, i)
    flush(t.con)


def tokens_to_make(t: Talk, n_prompt: int) -> int:
    """How many tokens to generate: the last one made is never read, so the context holds one more than it reads."""
    room = t.header.seq_len - n_prompt + 1
    if t.settings.tokens == 0:
        return min(room, DEFAULT_TOKENS)
    if t.settings.tokens > room:
        raise Failure(uefi.EFI_INVALID_PARAMETER, "prompt and `tokens` are more than the context holds",
                      "Ask for fewer tokens, or leave `tokens` out for as many as fit.")
    return t.settings.tokens
