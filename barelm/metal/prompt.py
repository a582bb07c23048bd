"""What is typed or configured, as token ids behind those the session has."""

from __future__ import annotations

from barelm.dialect.memory import i64_array, memory
from barelm.dialect.rooms import Failure, metal
from barelm.dialect.types import I64, U8
from barelm.kernels.chat import GUARDS, encode_turn, has_chat, takes_system
from barelm.kernels.model import Transcript
from barelm.kernels.tokenizer import Vocabulary, clean_prompt, encode
from barelm.metal import arena, board, tables
from barelm.pack import layout

TOO_LONG = "the prompt is longer than the context of the model"
SHORTEN = "Shorten it, or take a model with a longer context."


@metal
def append_prompt(v: Vocabulary, s: Transcript, workspace: int, b: I64, header: I64) -> int:
    """The configured prompt as the session's first ids; returns how many.

    A chat model gets it through its template, for one turn, unless told not to.
    """
    prompt = memory(b[board.PROMPT], b[board.PROMPT_BYTES])
    if b[board.TEMPLATE] != 0 and has_chat(v):
        n = append_turn(v, s, workspace, b, header, 0, prompt)
        if n < 0:
            raise Failure(tables.EFI_INVALID_PARAMETER, TOO_LONG, SHORTEN)
        return n
    ids = plain_ids(v, workspace, prompt)
    n = len(ids)
    if n == 0 and v.bos_id >= 0:
        s.tokens[0] = v.bos_id
        return 1
    if n == 0:
        raise Failure(tables.EFI_INVALID_PARAMETER, "the prompt is empty, and this model needs one",
                      "Give `prompt` in barelm.toml.")
    if n > header[layout.SEQ_LEN]:
        raise Failure(tables.EFI_INVALID_PARAMETER, TOO_LONG, SHORTEN)
    for i in range(n):
        s.tokens[i] = ids[i]
    return n


@metal
def plain_ids(v: Vocabulary, workspace: int, prompt: U8) -> I64:
    """The ids of a text as it stands; a chat model's special tokens count in it."""
    # Malformed UTF-8 grows when it is replaced; what fits a configuration fits the scratch all the same.
    clean = memory(workspace + arena.SCRATCH, layout.TEXT_BYTES)
    n_bytes = clean_prompt(v, clean, prompt, len(prompt))
    if n_bytes < 0:
        raise Failure(tables.EFI_INVALID_PARAMETER, "the prompt is not text in UTF-8", "Save barelm.toml in UTF-8.")
    most = n_bytes + 2
    scratch = memory(workspace + arena.SCRATCH + layout.TEXT_BYTES, 16 * most)
    ids = i64_array(scratch, 0, most)
    n = encode(v, clean, n_bytes, int(has_chat(v)), ids, i64_array(scratch, 8 * most, most))
    return ids[:n]


@metal
def append_turn(v: Vocabulary, s: Transcript, workspace: int, b: I64, header: I64, n: int, typed: U8) -> int:
    """A turn of a chat behind n ids, the first where n is 0; returns how many there are now, -1 where they do not fit.
    """
    system = memory(b[board.SYSTEM], b[board.SYSTEM_BYTES])
    if b[board.SYSTEM_BYTES] > 0 and not takes_system(v):
        raise Failure(tables.EFI_UNSUPPORTED, "the chat template of this model has no place for a system text",
                      "Leave `system` out of barelm.toml.")
    text = memory(workspace + arena.SCRATCH, layout.TEXT_BYTES)
    most = layout.TEXT_BYTES + 2
    scratch = memory(workspace + arena.SCRATCH + layout.TEXT_BYTES, 16 * most + 8 * GUARDS)
    ids = i64_array(scratch, 0, most)
    n_ids = encode_turn(v, min(n, 1), system, len(system), typed, len(typed), text,
                        i64_array(scratch, 16 * most, GUARDS), ids, i64_array(scratch, 8 * most, most))
    if n_ids < 0 or n + n_ids > header[layout.SEQ_LEN]:
        return -1
    for i in range(n_ids):
        s.tokens[n + i] = ids[i]
    return n + n_ids
