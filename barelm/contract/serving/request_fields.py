"""What may stand in the JSON of a request: a row for each member, and why a request is refused.

Where a member may stand is its scope: at the top of a body, one for each of `request_state`'s forms, or within another
member.  Members that no row names are passed over, as other servers do; those that would change the answer and cannot
be done have rows that say so.
"""

from __future__ import annotations

from typing import NamedTuple

from barelm.contract.serving.request_state import (
    ANTHROPIC,
    MOST_ALTERNATIVES,
    OLLAMA_CHAT,
    OLLAMA_TEXT,
    OPENAI_CHAT,
    OPENAI_TEXT,
    TOKENS,
    Question,
    Terms,
)
from barelm.contract.settings import LARGEST_WHOLE, MOST_TEXT_BYTES, MOST_TEXTS, THINKS
from barelm.dialect.structs import Struct, room
from barelm.dialect.types import I64

(OPTIONS, STREAM_OPTIONS, TEMPLATE, FORMAT, CHOICE_OF_TOOL, THINKING, MESSAGE, PART, CALLED, FUNCTION, TOOL
 ) = range(6, 17)
"""Scopes behind the forms: Ollama's options, ..., a message, a part of its content, a call, its function, a tool."""
SCOPES = {STREAM_OPTIONS: "stream_options", TEMPLATE: "chat_template_kwargs",
          FORMAT: "response_format", CHOICE_OF_TOOL: "tool_choice", THINKING: "thinking", MESSAGE: "messages",
          PART: "messages.content", CALLED: "messages.tool_calls", FUNCTION: "function", TOOL: "tools"}
"""What they are called where a member is named."""
OPENAI, OLLAMA = (OPENAI_CHAT, OPENAI_TEXT), (OLLAMA_CHAT, OLLAMA_TEXT)
SAMPLED = (*OPENAI, ANTHROPIC, OPTIONS)

LATER, FLAG, WHOLE, LIMIT, REAL, SEED, STOPS, CHOICE, GROUP, NEUTRAL, ALTERNATIVES = range(11)
"""What becomes of a value: it is read where its meaning is; true or false; a whole number; one, where less than 0 is
none; a decimal; a whole number of any kind; texts that end an answer; one of some words, `true` and `false` among them;
members of another scope; refused unless it says what holds anyway; a number of alternatives."""
REFUSED_CHOICE = -2
AUTO, ON, OFF = (THINKS.index(name) for name in ("auto", "on", "off"))


class Member(NamedTuple):
    """A member of a request."""

    name: str
    scopes: tuple[int, ...]
    kind: int = LATER
    target: str = ""  # a field of Terms, or of Question
    least: int = 0  # of numbers; the neutral one; the scope of a GROUP
    most: int = LARGEST_WHOLE
    choices: tuple[tuple[str, int], ...] = ()  # words and what they are stored as
    shown: str = ""  # its name where one is said; none: its own behind that of its scope, if it has only one


SWITCH = (("true", ON), ("false", OFF))
EFFORT = (("none", OFF), ("minimal", OFF), ("low", OFF), ("medium", AUTO), ("high", ON), ("xhigh", ON), ("max", ON))


def _neutral(scopes: tuple[int, ...], *names: str, least: int = 0) -> tuple[Member, ...]:
    return tuple(Member(name, scopes, NEUTRAL, least=least) for name in names)


MEMBERS = (
    # Read where their meaning is; these come first, so that they have the names below.
    Member("messages", (OPENAI_CHAT, OLLAMA_CHAT, ANTHROPIC)), Member("prompt", (OPENAI_TEXT, OLLAMA_TEXT, TOKENS)),
    Member("system", (OLLAMA_TEXT, ANTHROPIC)), Member("tools", (OPENAI_CHAT, OLLAMA_CHAT, ANTHROPIC)),
    Member("tokens", (TOKENS,)), Member("role", (MESSAGE,)),
    Member("content", (MESSAGE, PART, TOKENS), shown="messages.content"),
    Member("tool_calls", (MESSAGE,)), Member("tool_call_id", (MESSAGE,)), Member("tool_use_id", (PART,)),
    Member("tool_name", (MESSAGE,)), Member("name", (MESSAGE, PART, FUNCTION, TOOL)),
    Member("type", (PART, TOOL), shown="messages.content.type"),
    Member("text", (PART,)), Member("id", (PART, CALLED)), Member("input", (PART,)),
    Member("function", (CALLED, TOOL)), Member("arguments", (FUNCTION,)), Member("description", (TOOL,)),
    Member("input_schema", (TOOL,)),
    # How the answer is told.
    Member("stream", (*OPENAI, *OLLAMA, ANTHROPIC), FLAG, "stream"),
    Member("stream_options", OPENAI, GROUP, least=STREAM_OPTIONS),
    Member("include_usage", (STREAM_OPTIONS,), FLAG, "include_usage"),
    Member("logprobs", (OPENAI_CHAT, *OLLAMA), CHOICE, "alternatives", choices=(("true", 0), ("false", -1))),
    Member("logprobs", (OPENAI_TEXT,), WHOLE, "alternatives", most=MOST_ALTERNATIVES),
    Member("top_logprobs", (OPENAI_CHAT, *OLLAMA), ALTERNATIVES, "alternatives", most=MOST_ALTERNATIVES),
    # How it is made.
    Member("options", OLLAMA, GROUP, least=OPTIONS),
    Member("max_tokens", (*OPENAI, ANTHROPIC), LIMIT, "max_tokens", 1),
    Member("max_completion_tokens", OPENAI, LIMIT, "max_tokens", 1),
    Member("num_predict", (OPTIONS,), LIMIT, "max_tokens", 1),
    Member("temperature", SAMPLED, REAL, "temperature", most=100),
    Member("top_p", SAMPLED, REAL, "top_p", most=1),
    Member("min_p", SAMPLED, REAL, "min_p", most=1),
    Member("top_k", SAMPLED, LIMIT, "top_k", most=1 << 24),
    Member("repeat_penalty", SAMPLED, REAL, "repeat", most=100),
    Member("repetition_penalty", OPENAI, REAL, "repeat", most=100),
    Member("seed", SAMPLED, SEED, "seed"),
    Member("stop", (*OPENAI, OPTIONS), STOPS), Member("stop_sequences", (ANTHROPIC,), STOPS),
    # What it is to be like.
    Member("response_format", OPENAI, GROUP, least=FORMAT),
    Member("type", (FORMAT,), CHOICE, "json_object",
           choices=(("text", 0), ("json_object", 1), ("json_schema", REFUSED_CHOICE))),
    Member("format", OLLAMA, CHOICE, "json_object", choices=(("", 0), ("json", 1))),
    Member("reasoning_effort", OPENAI, CHOICE, "think", choices=EFFORT),
    Member("chat_template_kwargs", OPENAI, GROUP, least=TEMPLATE),
    Member("enable_thinking", (TEMPLATE,), CHOICE, "think", choices=SWITCH),
    Member("thinking", (TEMPLATE,), CHOICE, "think", choices=SWITCH),
    Member("reasoning_effort", (TEMPLATE,), CHOICE, "think", choices=EFFORT),
    Member("think", OLLAMA, CHOICE, "think", choices=SWITCH + EFFORT),
    Member("thinking", (ANTHROPIC,), GROUP, least=THINKING),
    Member("type", (THINKING,), CHOICE, "think", choices=(("enabled", ON), ("disabled", OFF), ("adaptive", AUTO))),
    Member("tool_choice", (OPENAI_CHAT,), CHOICE, "tools",
           choices=(("auto", 1), ("none", 0), ("required", REFUSED_CHOICE))),
    Member("tool_choice", (ANTHROPIC,), GROUP, least=CHOICE_OF_TOOL),
    Member("type", (CHOICE_OF_TOOL,), CHOICE, "tools",
           choices=(("auto", 1), ("none", 0), ("any", REFUSED_CHOICE), ("tool", REFUSED_CHOICE))),
    Member("disable_parallel_tool_use", (CHOICE_OF_TOOL,), FLAG, "one_call"),
    Member("parallel_tool_calls", (OPENAI_CHAT,), CHOICE, "one_call", choices=(("true", 0), ("false", 1))),
    Member("raw", (OLLAMA_TEXT,), FLAG, "plain"),
    Member("add_special", (TOKENS,), FLAG, "add_special"), Member("add_special_tokens", (TOKENS,), FLAG, "add_special"),
    Member("with_pieces", (TOKENS,), FLAG, "with_pieces"),
    # What would change the answer and cannot be done.
    *_neutral(OPENAI, "n", "best_of", "typical_p", least=1), *_neutral((OPTIONS,), "typical_p", "tfs_z", least=1),
    *_neutral((*OPENAI, OPTIONS), "frequency_penalty", "presence_penalty", "mirostat"),
    *_neutral(OPENAI, "logit_bias", "suffix", "echo", "functions", "function_call", "audio", "web_search_options",
              "min_tokens", "ignore_eos", "guided_json", "guided_regex", "guided_choice", "guided_grammar", "grammar",
              "json_schema", "dry_multiplier", "xtc_probability", "input_audio", "prompt_logprobs", "use_beam_search"),
    *_neutral(OLLAMA, "suffix", "template", "context", "images"), *_neutral((MESSAGE,), "images", "audio"),
    *_neutral((MESSAGE,), "function_call"), *_neutral((ANTHROPIC,), "mcp_servers", "container"))

(MESSAGES, PROMPT, SYSTEM_TEXT, TOOLS, TOKEN_LIST, ROLE, CONTENT, TOOL_CALLS, TOOL_CALL_ID, TOOL_USE_ID, TOOL_NAME,
 NAME, TYPE, TEXT, ID, INPUT, FUNCTION_OF, ARGUMENTS, DESCRIPTION, INPUT_SCHEMA) = range(20)
"""Numbers of those that are read where their meaning is."""
IN_QUESTION = 1 << 20
"""Added to the place of a target that is in a Question."""


def _place(target: str) -> int:
    if target in Question.FIELDS:
        return IN_QUESTION + Question.offset_of(target)
    return Terms.offset_of(target) if target else 0


def _shown(member: Member) -> str:
    scope = SCOPES.get(member.scopes[0], "")
    return member.shown or (f"{scope}.{member.name}" if scope and len(member.scopes) == 1 else member.name)


NAMES = tuple(member.name for member in MEMBERS)
SHOWN = tuple(map(_shown, MEMBERS))
SCOPE_BITS = tuple(sum(1 << scope for scope in set(member.scopes)) for member in MEMBERS)
KINDS = tuple(member.kind for member in MEMBERS)
PLACES = tuple(_place(member.target) for member in MEMBERS)
LEAST, MOST = tuple(member.least for member in MEMBERS), tuple(member.most for member in MEMBERS)
CHOICES = tuple("\0".join(word for word, _ in member.choices) for member in MEMBERS)
"""The words of a member, a zero between two."""
CHOSEN = tuple(value for member in MEMBERS for _, value in member.choices)
CHOSEN_AT = tuple(sum(len(member.choices) for member in MEMBERS[:k]) for k in range(len(MEMBERS)))
N_CHOICES = tuple(len(member.choices) for member in MEMBERS)


class Reason(NamedTuple):
    """Why a request is refused: OpenAI's code for it and a sentence with the member's name, {}, and its limits."""

    code: str
    sentence: str


REASONS = (
    Reason("", ""),
    Reason("invalid_json", "The body is not JSON."),
    Reason("invalid_type", "The body has to be a JSON object."),
    Reason("missing_required_parameter", "`{}` is missing."),
    Reason("invalid_type", "`{}` has to be a string."),
    Reason("invalid_type", "`{}` has to be true or false."),
    Reason("invalid_type", "`{}` has to be a whole number."),
    Reason("invalid_type", "`{}` has to be a number."),
    Reason("invalid_type", "`{}` has to be a list."),
    Reason("invalid_type", "`{}` has to be an object."),
    Reason("invalid_value", "`{}` has to be from {least} to {most}."),
    Reason("invalid_value", "`{}` has a value that is not known here."),
    Reason("unsupported_parameter", "`{}` is supported with its usual value only."),
    Reason("unsupported_value", "This value of `{}` is not supported."),
    Reason("unsupported_value", "`{}`: only text is read; no pictures, sounds or files."),
    Reason("invalid_value", "`{}` holds more texts, or longer ones, than are taken: "
           f"up to {MOST_TEXTS} of {MOST_TEXT_BYTES} bytes."),
    Reason("invalid_value", "`{}` needs `logprobs` to be true."),
    Reason("invalid_value", "`{}` is not a JSON object."),
    Reason("context_length_exceeded", "`{}` holds more than this node takes."),
    Reason("invalid_value", "`{}` has to begin with the user's and to end with the user's or with a tool's result."),
    Reason("unsupported_value", "`{}` holds several prompts, or tokens: only one text is taken."),
    Reason("invalid_value", "`{}` holds calls or results: say in `tools` of what."),
    Reason("unsupported_value", "The template of this model has no place for `{}` as they are."))
(NO_REASON, NOT_JSON, NOT_AN_OBJECT, MISSING, WANTS_TEXT, WANTS_FLAG, WANTS_WHOLE, WANTS_NUMBER, WANTS_LIST,
 WANTS_OBJECT, OUT_OF_RANGE, UNKNOWN_VALUE, UNSUPPORTED, UNSUPPORTED_VALUE, ONLY_TEXT, LONG_STOPS, NEEDS_LOGPROBS,
 NO_ARGUMENTS, TOO_MUCH, WRONG_ORDER, SEVERAL_PROMPTS, NEEDS_TOOLS, NO_PLACE) = range(len(REASONS))


class RequestReading(Struct):
    """What is found while the JSON of a request is read."""

    reason: int  # why it is refused; 0: it is not
    member: int  # and which one of MEMBERS is at fault; -1: none
    places: I64 = room(128)  # of each of MEMBERS: where its value begins in the body; -1: nowhere, or null
