"""What a client asks for, out of the JSON of its request: terms and a question.

    reason = read_request(body, lo, hi, api, settings, bare_tools, terms, q, reading)
    n = put_reason(target, n, reading)  # where it is not 0: put_param and put_code tell the rest

Forms differ in names and places, which a table has (`request_fields`); what was said comes from `request_messages`.
"""

from barelm.contract.serving import http_state as http
from barelm.contract.serving import request_fields as fields
from barelm.contract.serving import request_state as forms
from barelm.contract.serving.request_fields import RequestReading
from barelm.contract.serving.request_state import Question, Terms
from barelm.contract.settings import SettingsView
from barelm.dialect.memory import memory
from barelm.dialect.types import I64, U8, f32
from barelm.kernels.text.json_steps import check_json
from barelm.kernels.text.json_text import next_solid
from barelm.kernels.text.tool_turns import QUESTION, SYSTEM
from barelm.kernels.web import json_reading as json
from barelm.kernels.web.json_reading import first_item, item_after, kind_at, whole_at
from barelm.kernels.web.request_members import LOWEST_TOP_P, Asked, fail, find_members, take_members
from barelm.kernels.web.request_messages import read_content, read_messages, say

TOP_P = fields.NAMES.index("top_p")
FORM_ROUTES = (http.CHAT, http.COMPLETIONS, http.OLLAMA_CHAT_ROUTE, http.OLLAMA_GENERATE, http.MESSAGES, http.TOKENIZE,
               http.DETOKENIZE, http.COUNT_TOKENS)
FORMS = (forms.OPENAI_CHAT, forms.OPENAI_TEXT, forms.OLLAMA_CHAT, forms.OLLAMA_TEXT, forms.ANTHROPIC, forms.TOKENS,
         forms.TOKENS, forms.ANTHROPIC)


def form_of(route: int) -> int:
    """In which form a request of a route comes, or -1."""
    for k in range(len(FORM_ROUTES)):
        if FORM_ROUTES[k] == route:
            return FORMS[k]
    return -1


def read_request(data: U8, lo: int, hi: int, api: int, settings: SettingsView, bare_tools: int, terms: Terms,
                 q: Question, r: RequestReading) -> int:
    """What the body data[lo:hi] asks for in a form; returns 0, or the number of the reason why it is refused.

    `bare_tools`: the model's template prints the "function" of a tool alone (`layout.BARE_TOOLS`).
    """
    a = Asked(data, hi, terms, q, r)
    set_defaults(a, api, settings)
    at = find_body(a, lo, api)
    if at >= 0:
        take_members(a, 1 << api)
        if terms.top_p == f32(0) and r.places[TOP_P] >= 0:
            terms.top_p = f32(LOWEST_TOP_P)  # of ours 0 is all, of others the most likely alone
    if r.reason == 0:
        read_said(a, api, bare_tools)
    return r.reason


def find_body(a: Asked, lo: int, api: int) -> int:
    """Where the object of a body begins, its members found; -1: it is refused."""
    a.r.reason = 0
    a.r.member = -1
    for k in range(len(a.r.places)):
        a.r.places[k] = -1
    if check_json(a.data, lo, a.hi) >= 0:
        fail(a, fields.NOT_JSON, -1)
        return -1
    at = next_solid(a.data, lo, a.hi)
    if kind_at(a.data, at) != json.OBJECT:
        fail(a, fields.NOT_AN_OBJECT, -1)
        return -1
    find_members(a, at, api)
    return at


def set_defaults(a: Asked, api: int, settings: SettingsView) -> None:
    """What holds where a request is silent: the node's settings."""
    terms = a.terms
    terms.api = api
    terms.stream = int(api == forms.OLLAMA_CHAT or api == forms.OLLAMA_TEXT)
    terms.include_usage = 0
    terms.max_tokens = settings.tokens
    terms.temperature = settings.temperature
    terms.top_p = settings.top_p
    terms.min_p = settings.min_p
    terms.repeat = settings.repeat
    terms.top_k = settings.top_k
    terms.seed = settings.seed
    terms.alternatives = -1
    terms.json_object = 0
    terms.think = settings.think
    terms.tools = 1
    terms.one_call = 0
    terms.stop_bytes = min(settings.stop.n_bytes, len(terms.stops))
    stops = memory(settings.stop.address, terms.stop_bytes)
    for i in range(terms.stop_bytes):
        terms.stops[i] = stops[i]
    a.q.n_rows = 0
    a.q.n_said = 0
    a.q.plain = int(api == forms.OPENAI_TEXT or api == forms.TOKENS)
    a.q.add_special = 0
    a.q.with_pieces = 0


def read_said(a: Asked, api: int, bare_tools: int) -> None:
    """What was said, by a form."""
    system = int(a.r.places[fields.SYSTEM_TEXT])
    if system >= 0:
        read_content(a, SYSTEM, system)
    prompt = int(a.r.places[fields.PROMPT])
    a.terms.tools *= int(a.r.places[fields.MESSAGES] >= 0)
    if api == forms.TOKENS and prompt < 0:
        prompt = int(a.r.places[fields.CONTENT])
    if api == forms.OLLAMA_TEXT and (prompt < 0 or is_empty(a, prompt)):
        a.q.n_rows = 0
    elif api == forms.OPENAI_TEXT or api == forms.TOKENS or api == forms.OLLAMA_TEXT:
        if a.q.plain != 0:
            a.q.n_rows = 0
        read_prompt(a, prompt, fields.CONTENT if api == forms.TOKENS else fields.PROMPT)
    else:
        read_messages(a, api, bare_tools)


def is_empty(a: Asked, at: int) -> bool:
    """Whether the value that begins here is an empty string."""
    return kind_at(a.data, at) == json.STRING and json.value_end(a.data, at, a.hi) == at + 2


def read_prompt(a: Asked, at: int, member: int) -> None:
    """A text, or a list of one."""
    if at < 0:
        fail(a, fields.MISSING, member)
        return
    if kind_at(a.data, at) == json.LIST:
        first = first_item(a.data, at, a.hi)
        if first < 0 or item_after(a.data, first, a.hi) >= 0 or kind_at(a.data, first) != json.STRING:
            fail(a, fields.SEVERAL_PROMPTS, member)
            return
        at = first
    if kind_at(a.data, at) != json.STRING:
        fail(a, fields.WANTS_TEXT, member)
        return
    say(a, QUESTION, at, 0)


def read_tokens(data: U8, lo: int, hi: int, most: int, ids: I64, terms: Terms, q: Question, r: RequestReading) -> int:
    """The tokens of a body that wants their text, all below `most`, into `ids`; how many, or -1 where it is refused."""
    a = Asked(data, hi, terms, q, r)
    if find_body(a, lo, forms.TOKENS) < 0:
        return -1
    at = int(r.places[fields.TOKEN_LIST])
    if at < 0 or kind_at(data, at) != json.LIST:
        fail(a, fields.MISSING if at < 0 else fields.WANTS_LIST, fields.TOKEN_LIST)
        return -1
    n = 0
    at = first_item(data, at, hi)
    while at >= 0:
        value, whole = whole_at(data, at, hi) if kind_at(data, at) == json.NUMBER else (-1, False)
        if not whole or not 0 <= value < most:
            fail(a, fields.UNKNOWN_VALUE, fields.TOKEN_LIST)
            return -1
        if n >= len(ids):
            fail(a, fields.TOO_MUCH, fields.TOKEN_LIST)
            return -1
        ids[n] = value
        n += 1
        at = item_after(data, at, hi)
    return n
