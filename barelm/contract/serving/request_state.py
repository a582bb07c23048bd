"""What a client asks for: `Terms` stay with the answer, a `Question` only until it is encoded."""

from barelm.contract.settings import MOST_TEXT_BYTES, MOST_TEXTS
from barelm.dialect.structs import Struct, room
from barelm.dialect.types import I64, U8, Real

OPENAI_CHAT, OPENAI_TEXT, OLLAMA_CHAT, OLLAMA_TEXT, ANTHROPIC, TOKENS = range(6)
"""In whose form a request came and its answer goes: OpenAI's chat and completions, Ollama's chat and generate,
Anthropic's messages; to and from tokens, as llama.cpp and vLLM have it."""

BODY_BYTES = 1 << 18
"""The longest body of a request."""
MOST_ROWS, ROW_WORDS = 512, 7
"""Parts of a conversation, and the words of each: `kernels.text.tool_turns` says which."""
MOST_ALTERNATIVES = 20
"""That may be told beside the token chosen, with their probabilities."""


class Terms(Struct):
    """How an answer is to be made and told."""

    api: int
    stream: int
    include_usage: int  # of a stream: a last event with how many tokens there were
    max_tokens: int  # 0: as many as fit
    temperature: Real
    top_p: Real
    min_p: Real
    repeat: Real
    top_k: int
    seed: int  # 0: a fresh one
    alternatives: int  # so many are told beside each token, with their probabilities; -1: not even its own
    json_object: int  # 1: the answer has to be a JSON object
    think: int  # as the setting: a number of `settings.THINKS`
    tools: int  # how many there are; 0: what looks like a call is text
    one_call: int  # 1: an answer ends with its first call
    stop_bytes: int
    stops: U8 = room(MOST_TEXTS * (MOST_TEXT_BYTES + 1))  # each with a zero behind it


class Question(Struct):
    """What is asked: rows of `kernels.text.tool_turns`, over what was said in them; of plain completions one row."""

    n_rows: int  # 0: nothing is asked but that the model be there, as Ollama's clients do
    n_said: int
    plain: int  # 1: the text as it is, without the template
    add_special: int  # of a text for its tokens: with what begins a sequence,
    with_pieces: int  # and told with what each stands for
    rows: I64 = room(MOST_ROWS * ROW_WORDS)
    said: U8 = room(BODY_BYTES)
