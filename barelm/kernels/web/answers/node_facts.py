"""What a node says of itself, its model, its slots, and texts as ids: answers that need no slot."""

from barelm.contract.serving.answer_state import NodeNames
from barelm.contract.serving.form_language import forms
from barelm.contract.serving.node_figures import NodeFigures, SlotFigures, SlotsOfNode
from barelm.dialect.memory import address_of, cells, copy_bytes, text
from barelm.dialect.types import I64, U8
from barelm.kernels.text.json_text import put_byte
from barelm.kernels.text.tokenizer import Vocabulary, piece
from barelm.kernels.web.answers.answer_fields import rate
from barelm.kernels.web.answers.form_filling import at_address, fill, put_number, zero_in
from barelm.kernels.web.answers.http_heads import JSON, METRICS_TEXT, SIZED, end_sized, put_head


class FactFields(NodeFigures):
    """See `contract.serving.form_language`."""

    read_rate: int  # thousandths of ids a second
    made_rate: int
    together: int  # thousandths of answers in a pass
    share: int  # millionths of the caches in use
    context: int
    n_slots: int
    n_vocabulary: int
    n_trained: int
    size: int
    model: int
    model_bytes: int
    version: int
    version_bytes: int
    said: int
    said_bytes: int
    id: int


FACT_WORDS = 32


def _metric(name: str, kind: str, about: str, value: str) -> str:
    """One of Prometheus' metrics; vLLM's have the model as a label."""
    label = '{model_name=<"model">}' if name.startswith("vllm") else ""
    return f"# HELP {name} {about}\n# TYPE {name} {kind}\n{name}{label} <{value}>\n"


_LLAMA = (
    ("prompt_tokens_total", "counter", "Number of prompt tokens processed.", "n_read"),
    ("prompt_seconds_total", "counter", "Prompt process time.", "read_us/1000000"),
    ("tokens_predicted_total", "counter", "Number of generation tokens processed.", "n_made"),
    ("tokens_predicted_seconds_total", "counter", "Predict process time.", "made_us/1000000"),
    ("n_decode_total", "counter", "Passes over the weights.", "n_passes"),
    ("n_busy_slots_per_decode", "gauge", "Average number of busy slots in a pass.", "together/1000"),
    ("prompt_tokens_seconds", "gauge", "Average prompt throughput in tokens/s.", "read_rate/1000"),
    ("predicted_tokens_seconds", "gauge", "Average generation throughput in tokens/s.", "made_rate/1000"),
    ("kv_cache_usage_ratio", "gauge", "KV-cache usage. 1 means 100 percent usage.", "share/1000000"),
    ("kv_cache_tokens", "gauge", "KV-cache tokens.", "n_held"),
    ("requests_processing", "gauge", "Number of requests processing.", "n_running"),
    ("requests_deferred", "gauge", "Number of requests deferred.", "n_waiting"))
_VLLM = (
    ("num_requests_running", "gauge", "Number of requests in model execution batches.", "n_running"),
    ("num_requests_waiting", "gauge", "Number of requests waiting to be processed.", "n_waiting"),
    ("gpu_cache_usage_perc", "gauge", "KV-cache usage. 1 means 100 percent usage.", "share/1000000"),
    ("kv_cache_usage_perc", "gauge", "KV-cache usage. 1 means 100 percent usage.", "share/1000000"),
    ("prompt_tokens_total", "counter", "Number of prefill tokens processed.", "n_read"),
    ("generation_tokens_total", "counter", "Number of generation tokens processed.", "n_made"),
    ("request_success_total", "counter", "Count of requests that got their answer.", "n_answered"))
_BARELM = (("requests_refused_total", "counter", "Requests that were told to come again.", "n_refused"),)
_METRICS = "".join(_metric(f"{whose}:{row[0]}", *row[1:]) for whose, rows in (
    ("llamacpp", _LLAMA), ("vllm", _VLLM), ("barelm", _BARELM)) for row in rows)

_DETAILS = ('"details":{"parent_model":"","format":"blm","family":"","families":[],"parameter_size":"",'
            '"quantization_level":""}')
_MODEL = ('{"id":<"model">,"object":"model","created":0,"owned_by":"barelm","max_model_len":<context>,"meta":{'
          '"n_vocab":<n_vocabulary>,"n_ctx":<context>,"n_ctx_train":<n_trained>,"size":<size>}}')
_TAG = f'{{"name":<"model">,"model":<"model">,"size":<size>,"digest":"",{_DETAILS}'
HEALTH, MODELS, MODEL, PROPS, TAGS, RUNNING, SHOW, VERSION, METRICS, _TOKENS, _TOKEN, _CONTENT, _COUNT = range(13)
"""What may be asked: OpenAI's models and one of them, llama.cpp's props, Ollama's tags, ps, show, version; metrics."""
FORMS, FORMS_AT = forms((
    '{"status":"ok"}', f'{{"object":"list","data":[{_MODEL}],"models":[{_TAG}}}]}}', _MODEL,
    '{"default_generation_settings":{"id":0,"n_ctx":<context>,"params":{}},"total_slots":<n_slots>,'
    '"model_alias":<"model">,"model_path":<"model">,"chat_template":"","modalities":{"vision":false,"audio":false},'
    '"build_info":<"version">,"is_sleeping":false}',
    f'{{"models":[{_TAG},"modified_at":"1970-01-01T00:00:00Z"}}]}}',
    f'{{"models":[{_TAG},"expires_at":"9999-12-31T23:59:59Z","size_vram":0,"context_length":<context>}}]}}',
    f'{{"modelfile":"","parameters":"","template":"",{_DETAILS},"model_info":{{"general.architecture":"blm",'
    '"blm.context_length":<context>},"capabilities":["completion"]}',
    '{"version":<"version">}', _METRICS,
    '{"tokens":[', '{"id":<id>,"piece":<"said">}', '{"content":<"said">}', '{"input_tokens":<id>}'), FactFields)
SLOT_FORM, _ = forms((
    '{"id":<number>,"n_ctx":<context>,"speculative":false,"is_processing":<busy?>,"n_prompt_tokens":<n_prompt>,'
    '"n_prompt_tokens_cache":<n_cached>,"n_past":<n_held>,"next_token":[{"n_decoded":<n_made>}]}',), SlotFigures)


def put_fact(target: U8, n: int, fact: int, connection: int, names: NodeNames, figures: NodeFigures) -> int:
    """The whole answer to a question about the node."""
    words = cells(FACT_WORDS)
    f = FactFields(address_of(words))
    copy_bytes(f.address, figures.address, NodeFigures.BYTES)
    f.read_rate, f.made_rate = rate(figures.n_read, figures.read_us), rate(figures.n_made, figures.made_us)
    f.together = 1000 * figures.n_passed // max(figures.n_passes, 1)
    f.share = 10**6 * figures.n_held // max(figures.n_room, 1)
    f.context, f.n_slots = names.context, names.n_slots
    f.n_vocabulary, f.n_trained, f.size = names.n_vocabulary, names.n_trained, names.model_bytes
    f.model, f.model_bytes = address_of(names.model), zero_in(names.model)
    f.version, f.version_bytes = address_of(names.version), zero_in(names.version)
    body = put_head(target, n, 200, METRICS_TEXT if fact == METRICS else JSON, SIZED, connection, 0)
    return end_sized(target, body, fill(target, body, text(FORMS)[FORMS_AT[fact]:], f.address))


def put_slots(target: U8, n: int, connection: int, slots: SlotsOfNode) -> int:
    """The whole answer to a question about the slots."""
    body = put_head(target, n, 200, JSON, SIZED, connection, 0)
    n = put_byte(target, body, 0x5B)
    for k in range(slots.n):
        if k > 0:
            n = put_byte(target, n, 0x2C)
        n = fill(target, n, text(SLOT_FORM), slots.slots[k].address)
    return end_sized(target, body, put_byte(target, n, 0x5D))


def put_tokens(target: U8, n: int, connection: int, ids: I64, v: Vocabulary, with_pieces: int) -> int:
    """The whole answer to a text that is to be ids, or ids with what each prints."""
    words = cells(FACT_WORDS)
    f = FactFields(address_of(words))
    body = put_head(target, n, 200, JSON, SIZED, connection, 0)
    n = fill(target, body, text(FORMS)[FORMS_AT[_TOKENS]:], f.address)
    for k in range(len(ids)):
        if k > 0:
            n = put_byte(target, n, 0x2C)
        if with_pieces == 0:
            n = put_number(target, n, ids[k])
        else:
            lo, hi = piece(v, -1, ids[k])
            f.id, f.said, f.said_bytes = ids[k], at_address(v.pieces[lo:hi]), hi - lo
            n = fill(target, n, text(FORMS)[FORMS_AT[_TOKEN]:], f.address)
    return end_sized(target, body, put_byte(target, put_byte(target, n, 0x5D), 0x7D))


def put_count(target: U8, n: int, connection: int, count: int) -> int:
    """The whole answer to how many ids a question is, as Anthropic has it."""
    words = cells(FACT_WORDS)
    f = FactFields(address_of(words))
    f.id = count
    body = put_head(target, n, 200, JSON, SIZED, connection, 0)
    return end_sized(target, body, fill(target, body, text(FORMS)[FORMS_AT[_COUNT]:], f.address))


def put_content(target: U8, n: int, connection: int, content: U8) -> int:
    """The whole answer to ids that are to be a text."""
    words = cells(FACT_WORDS)
    f = FactFields(address_of(words))
    f.said, f.said_bytes = at_address(content), len(content)
    body = put_head(target, n, 200, JSON, SIZED, connection, 0)
    return end_sized(target, body, fill(target, body, text(FORMS)[FORMS_AT[_CONTENT]:], f.address))


def put_document(target: U8, n: int, connection: int, content: int, document: U8) -> int:
    """A document as it is, such as the page; `content` of `http_heads`."""
    body = n = put_head(target, n, 200, content, SIZED, connection, 0)
    if n < 0 or n + len(document) > len(target):
        return -1
    copy_bytes(address_of(target) + n, address_of(document), len(document))
    return end_sized(target, body, n + len(document))
