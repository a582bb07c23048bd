"""The configured prompt as the first token ids of the session."""

from barelm.contract import uefi
from barelm.contract.conversation_state import EncodingSpace
from barelm.dialect.rooms import Failure
from barelm.dialect.types import I64, U8
from barelm.kernels.text.chat_turn import encode_plain_prompt, has_chat, takes_system
from barelm.kernels.text.tokenizer import Vocabulary
from barelm.metal.conversation.talk import Talk, bytes_of, transcript_of, vocabulary_of
from barelm.metal.conversation.turns import add_turn, end_of
from barelm.metal.processors.cores import place

TOO_LONG = "the prompt is longer than the context of the model"
SHORTEN = "Shorten it, or take a model with a longer context."


def append_prompt(t: Talk) -> int:
    """The configured prompt as the session's first ids; returns how many.

    A chat model gets it through its template, for one turn, unless told not to.
    """
    v = vocabulary_of(t)
    prompt = bytes_of(t.settings.prompt)
    tokens = transcript_of(t).tokens
    if t.settings.template != 0 and has_chat(v):
        check_system(t)
        if not add_turn(t, prompt):
            raise Failure(uefi.EFI_INVALID_PARAMETER, TOO_LONG, SHORTEN)
        return end_of(t.conversation, 1)
    ids = plain_ids(v, t.conversation.encoding, prompt)
    n = len(ids)
    if n == 0 and v.bos_id >= 0:
        place(t.job, tokens, 0, v.bos_id)
        return 1
    if n == 0:
        raise Failure(uefi.EFI_INVALID_PARAMETER, "the prompt is empty, and this model needs one",
                      "Give `prompt` in barelm.toml.")
    if n > t.header.seq_len:
        raise Failure(uefi.EFI_INVALID_PARAMETER, TOO_LONG, SHORTEN)
    for i in range(n):
        place(t.job, tokens, i, ids[i])
    return n


def check_system(t: Talk) -> None:
    """Refuse a configured system text the model's template has no place for."""
    if t.settings.system.n_bytes > 0 and not takes_system(vocabulary_of(t)):
        raise Failure(uefi.EFI_UNSUPPORTED, "the chat template of this model has no place for a system text",
                      "Leave `system` out of barelm.toml.")


def plain_ids(v: Vocabulary, space: EncodingSpace, prompt: U8) -> I64:
    """The ids of a text as it stands; a chat model's special tokens count in it."""
    # Malformed UTF-8 grows when it is replaced; what fits a configuration fits the space all the same.
    n = encode_plain_prompt(v, prompt, space.text, space.ids, space.ranks)
    if n < 0:
        raise Failure(uefi.EFI_INVALID_PARAMETER, "the prompt is not text in UTF-8", "Save barelm.toml in UTF-8.")
    return space.ids[:n]
