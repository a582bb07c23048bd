"""Chat templates with tools in the ways of well-known families, and what jinja2 makes of a conversation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from barelm.pack.chat.tool_pieces import Said

QWEN = """\
{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n\\n' }}{%- endif %}
    {{- "# Tools\\n\\nWithin <tools></tools>:\\n<tools>" }}
    {%- for tool in tools %}{{- "\\n" }}{{- tool | tojson }}{%- endfor %}
    {{- "\\n</tools>\\n\\nAnswer <tool_call>{\\"name\\": ...}</tool_call><|im_end|>\\n" }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'user' or message.role == 'assistant' and not message.tool_calls %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
    {%- elif message.role == 'assistant' %}
        {{- '<|im_start|>assistant' }}
        {%- if message.content %}{{- '\\n' + message.content }}{%- endif %}
        {%- for call in message.tool_calls %}
            {{- '\\n<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}
            {{- call.function.arguments | tojson }}{{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == 'tool' %}
        {%- if loop.index0 == 0 or messages[loop.index0 - 1].role != 'tool' %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\\n<tool_response>\\n' + message.content + '\\n</tool_response>' }}
        {%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{- '<|im_end|>\\n' }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
"""
LLAMA = """\
{{- '<|im_start|>system\\nCutting date: 2023\\n\\n' }}
{%- if messages[0].role == 'system' %}
    {{- messages[0].content | trim }}{%- set talk = messages[1:] %}
{%- else %}{%- set talk = messages %}{%- endif %}
{{- '<|eot_id|>' }}
{%- if tools is not none and tools is defined %}
    {{- '<|im_start|>user\\n\\nGiven these functions, answer with one.\\n\\n' }}
    {%- for t in tools %}{{- t | tojson(indent=4) }}{{- '\\n\\n' }}{%- endfor %}
    {{- talk[0].content | trim + '<|eot_id|>' }}{%- set talk = talk[1:] %}
{%- endif %}
{%- for message in talk %}
    {%- if message.tool_calls %}
        {%- if message.tool_calls | length != 1 %}{{- raise_exception('single calls only') }}{%- endif %}
        {%- set call = message.tool_calls[0].function %}
        {{- '<|im_start|>assistant\\n\\n{"name": "' + call.name + '", "parameters": ' }}
        {{- call.arguments | tojson }}{{- '}<|eot_id|>' }}
    {%- elif message.role == 'tool' %}
        {{- '<|im_start|>ipython\\n\\n' }}{{- message.content | tojson }}{{- '<|eot_id|>' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n\\n' + message.content | trim + '<|eot_id|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n\\n' }}{%- endif %}
"""
MISTRAL = """\
{{- bos_token }}
{%- if messages[0].role == 'system' %}
    {{- '[SYSTEM]' + messages[0].content + '[/SYSTEM]' }}{%- set talk = messages[1:] %}
{%- else %}{%- set talk = messages %}{%- endif %}
{%- if tools %}{{- '[AVAILABLE_TOOLS]' + tools | tojson + '[/AVAILABLE_TOOLS]' }}{%- endif %}
{%- for message in talk %}
    {%- if message.role == 'user' %}{{- '[INST]' + message.content + '[/INST]' }}
    {%- elif message.role == 'tool' %}
        {{- '[TOOL_RESULTS]' + message.tool_call_id + '[TOOL_CONTENT]' + message.content | trim + '[/TOOL_RESULTS]' }}
    {%- else %}
        {{- message.content }}
        {%- for call in message.tool_calls or [] %}
            {%- if call.id | length != 9 %}{{- raise_exception('ids of nine characters') }}{%- endif %}
            {{- '[TOOL_CALLS]' + call.function.name + '[CALL_ID]' + call.id + '[ARGS]' }}
            {{- call.function.arguments if call.function.arguments is string else call.function.arguments | tojson }}
        {%- endfor %}
        {{- eos_token }}
    {%- endif %}
{%- endfor %}
"""
# Only the functions, in one list of JSON that goes over lines; arguments that have to be text.
LISTED = """\
{%- if tools %}{{- '<tools>' }}{{- tools | map(attribute='function') | list | tojson(indent=2) }}{{- '</tools>\\n' }}
{%- endif %}
{%- for message in messages %}
    {{- '<' + message.role + '>' + message.content }}
    {%- if message.tool_calls %}{{- '<calls>' }}
        {%- for call in message.tool_calls %}
            {{- (', ' if not loop.first else '') + call.function.name + ':' + call.function.arguments }}
        {%- endfor %}{{- '</calls>' }}
    {%- endif %}
    {{- '</' + message.role + '>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<assistant>' }}{%- endif %}
"""
CUT = {"qwen": QWEN, "llama": LLAMA, "mistral": MISTRAL, "listed": LISTED}


def rendered(template: str, said: Sequence[Said], *, as_text: bool = False) -> str:
    """What Hugging Face's `apply_chat_template` makes of a conversation."""
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.globals["raise_exception"] = lambda message: pytest.fail(message)
    environment.filters["tojson"] = lambda value, indent=None: json.dumps(value, ensure_ascii=False, indent=indent)
    messages: list[dict[str, Any]] = []
    for part in said:
        if part.kind == "call":
            if messages[-1]["role"] != "assistant":
                messages.append({"role": "assistant", "content": ""})
            arguments = part.text if as_text else json.loads(part.text)
            messages[-1].setdefault("tool_calls", []).append(
                {"id": part.id, "type": "function", "function": {"name": part.name, "arguments": arguments}})
        elif part.kind == "result":
            messages.append({"role": "tool", "content": part.text, "tool_call_id": part.id, "name": part.name})
        elif part.kind != "tool":
            role = {"reply": "assistant"}.get(part.kind, part.kind)
            messages.append({"role": role, "content": part.text})
    tools = [json.loads(part.text) for part in said if part.kind == "tool"]
    return environment.from_string(template).render(
        messages=messages, tools=tools or None, add_generation_prompt=True, bos_token="<s>", eos_token="</s>")
