"""The forms of answers: a column of rows for each API, in the order of `request_state`.

A stream is OPENING, pieces, ENDING, USAGE where it is asked for, and DONE.  Before the first piece of a kind stands its
BLOCK, and behind the last its BLOCK_END.  A piece is PIECE, probabilities, and PIECE_END.  BLOCK, BLOCK_END and PIECE
are a row for each kind.  An answer in one is WHOLE, its parts, all but the first with BETWEEN before them, MESSAGE_END,
probabilities, and WHOLE_END.  What an API lacks is empty.
"""

from barelm.contract.serving.answer_state import CALL, TEXT, THOUGHT
from barelm.contract.serving.form_language import forms
from barelm.dialect.memory import text
from barelm.dialect.types import U8
from barelm.kernels.web.answers.answer_fields import AnswerFields
from barelm.kernels.web.answers.form_filling import fill
from barelm.kernels.web.answers.http_heads import EVENTS, LINES

(OPENING, BLOCK, _, _, BLOCK_END, _, _, PIECE, _, _, PIECE_END, ENDING, USAGE, DONE, WAITING, ERROR, FAILURE, WHOLE,
 WHOLE_THOUGHT, WHOLE_TEXT, CALLS, WHOLE_CALL, BETWEEN_CALLS, CALLS_END, BETWEEN, MESSAGE_END, WHOLE_END,
 FORMS_OF_API) = (
    0, *(at + kind - TEXT for at in (1, 4, 7) for kind in (TEXT, THOUGHT, CALL)), *range(10, 28))
STREAMED_AS = (EVENTS, EVENTS, LINES, LINES, EVENTS)
"""What the body of a stream is, for each API."""

_COUNTS = ('"usage":{"prompt_tokens":<n_prompt>,"completion_tokens":<n_made>,"total_tokens":<n_total>,'
           '"prompt_tokens_details":{"cached_tokens":<n_cached>}}')
_TIMINGS = ('"timings":{"cache_n":<n_cached>,"prompt_n":<n_fresh>,"prompt_ms":<prompt_us/1000>,'
            '"prompt_per_second":<prompt_rate/1000>,"predicted_n":<n_made>,"predicted_ms":<making_us/1000>,'
            '"predicted_per_second":<making_rate/1000>}')
_ERROR = '{"error":{"message":<"said">,"type":"<kind=>","param":<"name">,"code":<code=>}}'
_FUNCTION = '"id":<"call_id">,"type":"function","function":{"name":<"name">,"arguments":<"arguments">}'


def _of_openai(what: str, name: str) -> str:
    """What every object of an answer begins with."""
    return (f'{{"id":"{name}-<number#>","object":"{what}","created":<created>,"model":<"model">,'
            '"system_fingerprint":<"version">,"choices":[')


_CHUNK = "data: " + _of_openai("chat.completion.chunk", "chatcmpl")
_DELTA = _CHUNK + '{"index":0,"delta":{'
_OPENAI_CHAT = {
    OPENING: _DELTA + '"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}\n\n',
    PIECE: _DELTA + '"content":<"said">}',
    PIECE + THOUGHT - TEXT: _DELTA + '"reasoning_content":<"said">}',
    PIECE + CALL - TEXT: _DELTA + f'"tool_calls":[{{"index":<call>,{_FUNCTION}}}]}}',
    PIECE_END: ',"finish_reason":null}]}\n\n',
    ENDING: _DELTA + f'}},"logprobs":null,"finish_reason":"<reason=>"}}],{_TIMINGS}}}\n\n',
    USAGE: _CHUNK + f'],{_COUNTS}}}\n\n',
    DONE: "data: [DONE]\n\n", WAITING: ": reading\n\n", ERROR: _ERROR, FAILURE: f"data: {_ERROR}\n\n",
    WHOLE: _of_openai("chat.completion", "chatcmpl") + '{"index":0,"message":{"role":"assistant"',
    WHOLE_THOUGHT: ',"reasoning_content":<"thought">', WHOLE_TEXT: ',"content":<"said">',
    CALLS: ',"tool_calls":[', WHOLE_CALL: f"{{{_FUNCTION}}}", BETWEEN_CALLS: ",", CALLS_END: "]", MESSAGE_END: "}",
    WHOLE_END: f',"finish_reason":"<reason=>"}}],{_COUNTS},{_TIMINGS}}}'}

_TEXT = _of_openai("text_completion", "cmpl")
_OPENAI_TEXT = _OPENAI_CHAT | {
    OPENING: "",
    **dict.fromkeys(range(PIECE, PIECE_END), f'data: {_TEXT}{{"index":0,"text":<"said">'),
    ENDING: f'data: {_TEXT}{{"index":0,"text":"","logprobs":null,"finish_reason":"<reason=>"}}],{_TIMINGS}}}\n\n',
    USAGE: f"data: {_TEXT}],{_COUNTS}}}\n\n",
    WHOLE: _TEXT + '{"index":0', WHOLE_TEXT: ',"text":<"said">',
    **dict.fromkeys((WHOLE_THOUGHT, CALLS, WHOLE_CALL, BETWEEN_CALLS, CALLS_END, MESSAGE_END), "")}

_LINE = '{"model":<"model">,"created_at":"<created@>",'
_OLLAMA_END = ('"done":true,"done_reason":"<reason=>","total_duration":<total_ns>,"load_duration":0,'
               '"prompt_eval_count":<n_prompt>,"prompt_eval_duration":<prompt_ns>,"eval_count":<n_made>,'
               '"eval_duration":<making_ns>}')
_MESSAGE = _LINE + '"message":{"role":"assistant","content":'
_OLLAMA_CALL = '{"function":{"index":<call>,"name":<"name">,"arguments":<arguments{}>}}'
_OLLAMA_CHAT = {
    PIECE: _MESSAGE + '<"said">}', PIECE + THOUGHT - TEXT: _MESSAGE + '"","thinking":<"said">}',
    PIECE + CALL - TEXT: f'{_MESSAGE}"","tool_calls":[{_OLLAMA_CALL}]}}', PIECE_END: ',"done":false}\n',
    ENDING: f'{_MESSAGE}""}},{_OLLAMA_END}\n', ERROR: '{"error":<"said">}', FAILURE: '{"error":<"said">}\n',
    WHOLE: _LINE + '"message":{"role":"assistant"', WHOLE_THOUGHT: ',"thinking":<"thought">',
    WHOLE_TEXT: ',"content":<"said">', CALLS: ',"tool_calls":[', WHOLE_CALL: _OLLAMA_CALL, BETWEEN_CALLS: ",",
    CALLS_END: "]", MESSAGE_END: "}", WHOLE_END: f",{_OLLAMA_END}"}
_OLLAMA_TEXT = _OLLAMA_CHAT | {
    **dict.fromkeys(range(PIECE, PIECE_END), _LINE + '"response":<"said">'),
    PIECE + THOUGHT - TEXT: _LINE + '"response":"","thinking":<"said">',
    ENDING: f'{_LINE}"response":"",{_OLLAMA_END}\n',
    WHOLE: f'{_LINE}"context":[]', WHOLE_TEXT: ',"response":<"said">', WHOLE_END: f",{_OLLAMA_END}",
    **dict.fromkeys((CALLS, WHOLE_CALL, BETWEEN_CALLS, CALLS_END, MESSAGE_END), "")}


def _event(name: str, rest: str) -> str:
    """One of Anthropic's events."""
    return f'event: {name}\ndata: {{"type":"{name}"{rest}}}\n\n'


def _delta(rest: str) -> str:
    """A piece of a block."""
    return _event("content_block_delta", f',"index":<index>,"delta":{{{rest}}}')


def _block(rest: str) -> str:
    """The beginning of a block."""
    return _event("content_block_start", f',"index":<index>,"content_block":{{{rest}}}')


_STOP = _event("content_block_stop", ',"index":<index>')
_USED = '"usage":{"input_tokens":<n_fresh>,"cache_creation_input_tokens":0,"cache_read_input_tokens":<n_cached>,'
_TOOL_USE = '"type":"tool_use","id":<"call_id">,"name":<"name">,"input":'
_MESSAGE_HEAD = '{"id":"msg_<number#>","type":"message","role":"assistant","model":<"model">,"content":['
_ANTHROPIC_ERROR = '{"type":"error","error":{"type":"<kind=>","message":<"said">}}'
_ANTHROPIC = {
    OPENING: _event("message_start", f',"message":{_MESSAGE_HEAD}],"stop_reason":null,"stop_sequence":null,{_USED}'
                                     '"output_tokens":0}}'),
    BLOCK: _block('"type":"text","text":""'),
    BLOCK + THOUGHT - TEXT: _block('"type":"thinking","thinking":"","signature":""'),
    BLOCK + CALL - TEXT: _block(_TOOL_USE + "{}"),
    BLOCK_END: _STOP, BLOCK_END + CALL - TEXT: _STOP,
    BLOCK_END + THOUGHT - TEXT: _delta('"type":"signature_delta","signature":""') + _STOP,
    PIECE: _delta('"type":"text_delta","text":<"said">'),
    PIECE + THOUGHT - TEXT: _delta('"type":"thinking_delta","thinking":<"said">'),
    PIECE + CALL - TEXT: _delta('"type":"input_json_delta","partial_json":<"arguments">'),
    ENDING: _event("message_delta", f',"delta":{{"stop_reason":"<reason=>","stop_sequence":null}},{_USED}'
                                    '"output_tokens":<n_made>}'),
    DONE: _event("message_stop", ""), WAITING: _event("ping", ""),
    ERROR: _ANTHROPIC_ERROR, FAILURE: f"event: error\ndata: {_ANTHROPIC_ERROR}\n\n",
    WHOLE: _MESSAGE_HEAD, WHOLE_THOUGHT: '{"type":"thinking","thinking":<"thought">,"signature":""}',
    WHOLE_TEXT: '{"type":"text","text":<"said">}', WHOLE_CALL: f"{{{_TOOL_USE}<arguments{{}}>}}",
    BETWEEN_CALLS: ",", BETWEEN: ",",
    WHOLE_END: f'],"stop_reason":"<reason=>","stop_sequence":null,{_USED}"output_tokens":<n_made>}}}}'}

FORMS, FORMS_AT = forms((column.get(row, "") for column in (
    _OPENAI_CHAT, _OPENAI_TEXT, _OLLAMA_CHAT, _OLLAMA_TEXT, _ANTHROPIC) for row in range(FORMS_OF_API)), AnswerFields)


def put_form(target: U8, n: int, api: int, form: int, f: AnswerFields) -> int:
    """A form of an API, filled."""
    return fill(target, n, text(FORMS)[FORMS_AT[FORMS_OF_API * api + form]:], f.address)
