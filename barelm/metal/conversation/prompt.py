"""The configured prompt as the first token ids of the session."""

from __future__ import annotations

from barelm.contract import layout, uefi
from barelm.contract.regions import Workspace
from barelm.dialect.memory import i64_array, memory
from barelm.dialect.rooms import Failure, metal
from barelm.dialect.types import I64, U8
from barelm.kernels.text.chat_turn import has_chat, takes_system
from barelm.kernels.text.tokenizer import Vocabulary, clean_prompt, encode
from barelm.metal import arena
from barelm.metal.conversation.talk import Talk, place, vocabulary_of
from barelm.metal.conversation.turns import TOO_LONG as TURN_TOO_LONG
from barelm.metal.conversation.turns import add_turn, end_of

TOO_LONG = "the prompt is longer than the context of the model"
SHORTEN = "Shorten it, or take a model with a longer context."


@metal
def append_prompt(t: Talk) -> int:
    """The configured prompt as the session's first ids; returns how many.

    A chat model gets it through its template, for one turn, unless told not to.
    """
    v = vocabulary_of(t)
    prompt = memory(t.b.settings.prompt.address, t.b.settings.prompt.n_bytes)
    if t.b.settings.template != 0 and has_chat(v):
        check_system(t)
        if add_turn(t, prompt) == TURN_TOO_LONG:
            raise Failure(uefi.EFI_INVALID_PARAMETER, TOO_LONG, SHORTEN)
        return end_of(t, 1)
    ids = plain_ids(v, t.workspace, prompt)
    n = len(ids)
    if n == 0 and v.bos_id >= 0:
        place(t, 0, v.bos_id)
        return 1
    if n == 0:
        raise Failure(uefi.EFI_INVALID_PARAMETER, "the prompt is empty, and this model needs one",
                      "Give `prompt` in barelm.toml.")
    if n > t.header.seq_len:
        raise Failure(uefi.EFI_INVALID_PARAMETER, TOO_LONG, SHORTEN)
    for i in range(n):
        place(t, i, ids[i])
    return n


@metal
def check_system(t: Talk) -> None:
    """Refuse a configured system text the model's template has no place for."""
    if t.b.settings.system.n_bytes > 0 and not takes_system(vocabulary_of(t)):
        raise Failure(uefi.EFI_UNSUPPORTED, "the chat template of this model has no place for a system text",
                      "Leave `system` out of barelm.toml.")


@metal
def plain_ids(v: Vocabulary, workspace: Workspace, prompt: U8) -> I64:
    """The ids of a text as it stands; a chat model's special tokens count in it."""
    # Malformed UTF-8 grows when it is replaced; what fits a configuration fits the scratch all the same.
    clean = memory(workspace.address + arena.SCRATCH, layout.TEXT_BYTES)
    n_bytes = clean_prompt(v, clean, prompt, len(prompt))
    if n_bytes < 0:
        raise Failure(uefi.EFI_INVALID_PARAMETER, "the prompt is not text in UTF-8", "Save barelm.toml in UTF-8.")
    most = n_bytes + 2
    scratch = memory(workspace.address + arena.SCRATCH + layout.TEXT_BYTES, 16 * most)
    ids = i64_array(scratch, 0, most)
    n = encode(v, clean, n_bytes, int(has_chat(v)), ids, i64_array(scratch, 8 * most, most))
    return ids[:n]
