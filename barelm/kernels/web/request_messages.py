"""The messages and tools of a request as rows of `kernels.text.tool_turns`.

System texts come first, wherever they stood, then tools, then what was said in its order.  Messages of one role in a
row are one row, an empty line between them: templates know only turns.
"""

from barelm.contract.serving import request_fields as fields
from barelm.contract.serving.request_state import MOST_ROWS, OLLAMA_CHAT
from barelm.dialect.memory import text
from barelm.kernels.text.dates import put_name
from barelm.kernels.text.json_steps import check_json
from barelm.kernels.text.json_text import next_solid, put_byte
from barelm.kernels.text.tool_turns import CALL, ID, KIND, NAME, QUESTION, REPLY, RESULT, ROW_WORDS, SYSTEM, TEXT, TOOL
from barelm.kernels.text.utf8 import byte_at, copy_clean
from barelm.kernels.web import json_reading as json
from barelm.kernels.web.json_reading import copy_string, find_text, first_item, item_after, kind_at, value_end
from barelm.kernels.web.request_members import Asked, fail, find_members, take_members

ROLES = "system\0developer\0user\0assistant\0tool"
ROLE_KINDS = (SYSTEM, SYSTEM, QUESTION, REPLY, RESULT)
PARTS = "text\0input_text\0output_text\0thinking\0redacted_thinking\0reasoning\0refusal\0tool_use\0tool_result"
TEXT_PARTS, TOOL_USE, TOOL_RESULT = 3, 7, 8
TOOL_KINDS = "function\0custom"
LINE_FEED = 10
AROUND_TOOL = ('{"type": "function", "function": ', '{"name": ', ', "description": ', ', "parameters": ')


def read_messages(a: Asked, api: int, bare_tools: int) -> None:
    """All messages and tools of a chat."""
    at = int(a.r.places[fields.MESSAGES])
    tools = int(a.r.places[fields.TOOLS])
    if at < 0 or kind_at(a.data, at) != json.LIST:
        fail(a, fields.MISSING if at < 0 else fields.WANTS_LIST, fields.MESSAGES)
        return
    first = first_item(a.data, at, a.hi)
    read_each(a, first, 1)
    before = a.q.n_rows
    if tools >= 0:
        read_tools(a, tools, bare_tools)
    n_tools = a.q.n_rows - before
    read_each(a, first, 0)
    if a.terms.tools == 0 and find_row(a, CALL) < 0:
        drop_rows(a, before, n_tools)
    a.terms.tools = n_tools if a.terms.tools != 0 else 0
    if api == OLLAMA_CHAT and first < 0:
        a.q.n_rows = 0
    else:
        check_order(a)


def check_order(a: Asked) -> None:
    """Whether a question comes first, what wants an answer last, and tools where there are calls."""
    row = 0
    while row < a.q.n_rows and kind_of_row(a, row) <= TOOL:
        row += 1
    last = kind_of_row(a, a.q.n_rows - 1) if a.q.n_rows > 0 else -1
    if row >= a.q.n_rows or kind_of_row(a, row) != QUESTION or (last != QUESTION and last != RESULT):
        fail(a, fields.WRONG_ORDER, fields.MESSAGES)
    elif find_row(a, TOOL) < 0 and (find_row(a, CALL) >= 0 or find_row(a, RESULT) >= 0):
        fail(a, fields.NEEDS_TOOLS, fields.MESSAGES)


def kind_of_row(a: Asked, row: int) -> int:
    """The kind of a row."""
    return int(a.q.rows[ROW_WORDS * row + KIND])


def find_row(a: Asked, kind: int) -> int:
    """The first row of a kind, or -1."""
    for row in range(a.q.n_rows):
        if kind_of_row(a, row) == kind:
            return row
    return -1


def drop_rows(a: Asked, row: int, n: int) -> None:
    """Take n rows out from one on."""
    for i in range(ROW_WORDS * row, ROW_WORDS * (a.q.n_rows - n)):
        a.q.rows[i] = a.q.rows[i + ROW_WORDS * n]
    a.q.n_rows -= n


def read_each(a: Asked, at: int, systems: int) -> None:
    """The messages from this one on: those of the system, or the others."""
    while at >= 0 and a.r.reason == 0:
        read_message(a, at, systems)
        at = item_after(a.data, at, a.hi)


def read_message(a: Asked, at: int, systems: int) -> None:
    """One message, if it is of the kind looked for."""
    if kind_at(a.data, at) != json.OBJECT:
        fail(a, fields.WANTS_OBJECT, fields.MESSAGES)
        return
    find_members(a, at, fields.MESSAGE)
    take_members(a, 1 << fields.MESSAGE)
    role_at = int(a.r.places[fields.ROLE])
    role = find_text(a.data, role_at, a.hi, text(ROLES)) if role_at >= 0 and (
        kind_at(a.data, role_at) == json.STRING) else -1
    if role < 0:
        fail(a, fields.MISSING if role_at < 0 else fields.UNKNOWN_VALUE, fields.ROLE)
        return
    kind = ROLE_KINDS[role]
    if (kind == SYSTEM) != (systems != 0):
        return
    content = int(a.r.places[fields.CONTENT])
    calls = int(a.r.places[fields.TOOL_CALLS])
    name = int(a.r.places[fields.NAME])
    if kind == RESULT:
        name = int(a.r.places[fields.TOOL_NAME]) if a.r.places[fields.TOOL_NAME] >= 0 else name
        add_result(a, int(a.r.places[fields.TOOL_CALL_ID]), name, content)
    elif content >= 0:
        read_content(a, kind, content)
    elif calls < 0:
        fail(a, fields.MISSING, fields.CONTENT)
    if calls >= 0 and kind == REPLY:
        last = a.q.n_rows - 1
        if content >= 0 and a.q.rows[ROW_WORDS * last + TEXT] == a.q.rows[ROW_WORDS * last + TEXT + 1]:
            a.q.n_rows -= 1
        read_calls(a, calls)


def read_content(a: Asked, kind: int, at: int) -> None:
    """What a message says: a text, or parts."""
    if kind_at(a.data, at) == json.STRING:
        say(a, kind, at, 2)
        return
    if kind_at(a.data, at) != json.LIST:
        fail(a, fields.WANTS_TEXT, fields.CONTENT)
        return
    breaks = 2
    at = first_item(a.data, at, a.hi)
    while at >= 0 and a.r.reason == 0:
        part = part_of(a, at)
        if part == TOOL_USE and kind == REPLY:
            add_call(a, int(a.r.places[fields.ID]), int(a.r.places[fields.NAME]), int(a.r.places[fields.INPUT]))
        elif part == TOOL_RESULT and (kind == QUESTION or kind == RESULT):
            add_result(a, int(a.r.places[fields.TOOL_USE_ID]), -1, int(a.r.places[fields.CONTENT]))
            kind = RESULT  # what the same message says behind it belongs to it: a question there has no place
        elif part >= TOOL_USE:
            fail(a, fields.UNKNOWN_VALUE, fields.TYPE)
        elif 0 <= part < TEXT_PARTS:
            say(a, kind, int(a.r.places[fields.TEXT]), breaks)
            breaks = 1
        at = item_after(a.data, at, a.hi)


def part_of(a: Asked, at: int) -> int:
    """Of which kind the part of a content is that begins here, its members found; -1: it is refused."""
    if kind_at(a.data, at) != json.OBJECT:
        fail(a, fields.WANTS_OBJECT, fields.CONTENT)
        return -1
    find_members(a, at, fields.PART)
    kind_place = int(a.r.places[fields.TYPE])
    if kind_place < 0 or kind_at(a.data, kind_place) != json.STRING:
        fail(a, fields.MISSING if kind_place < 0 else fields.WANTS_TEXT, fields.TYPE)
        return -1
    part = find_text(a.data, kind_place, a.hi, text(PARTS))
    words = int(a.r.places[fields.TEXT])
    if part < 0:
        fail(a, fields.ONLY_TEXT, fields.TYPE)
    elif part < TEXT_PARTS and (words < 0 or kind_at(a.data, words) != json.STRING):
        fail(a, fields.WANTS_TEXT, fields.TEXT)
        return -1
    return part


def say(a: Asked, kind: int, at: int, breaks: int) -> None:
    """A string as a row of its own, or behind one of its kind with so many line feeds between them."""
    row = a.q.n_rows - 1
    n = a.q.n_said
    if row >= 0 and kind_of_row(a, row) == kind:
        for _ in range(breaks if a.q.rows[ROW_WORDS * row + TEXT] < n else 0):
            n = put_byte(a.q.said, n, LINE_FEED)
    else:
        row = add_row(a, kind)
    end_text(a, row, copy_string(a.q.said, n, a.data, at, a.hi))


def add_row(a: Asked, kind: int) -> int:
    """A row more, with nothing in it; -1: there are too many."""
    row = a.q.n_rows
    if row >= MOST_ROWS:
        fail(a, fields.TOO_MUCH, fields.MESSAGES)
        return -1
    a.q.rows[ROW_WORDS * row + KIND] = kind
    for word in range(1, ROW_WORDS):
        a.q.rows[ROW_WORDS * row + word] = a.q.n_said
    a.q.n_rows = row + 1
    return row


def end_text(a: Asked, row: int, n: int) -> None:
    """The text of the last row ends here; -1: it did not fit."""
    if n < 0:
        fail(a, fields.TOO_MUCH, fields.MESSAGES)
    elif row >= 0:
        a.q.rows[ROW_WORDS * row + TEXT + 1] = n
        a.q.n_said = n


def add_name(a: Asked, row: int, word: int, at: int, member: int) -> None:
    """The string that begins here (-1: none does) as the name or id of the last row, in front of its text."""
    if at < 0 or row < 0:
        return
    if kind_at(a.data, at) != json.STRING:
        fail(a, fields.WANTS_TEXT, member)
        return
    lo = a.q.n_said
    end_text(a, row, copy_string(a.q.said, lo, a.data, at, a.hi))
    a.q.rows[ROW_WORDS * row + word] = lo
    a.q.rows[ROW_WORDS * row + word + 1] = a.q.n_said
    a.q.rows[ROW_WORDS * row + TEXT] = a.q.n_said


def read_calls(a: Asked, at: int) -> None:
    """The calls that a reply made."""
    if kind_at(a.data, at) != json.LIST:
        fail(a, fields.WANTS_LIST, fields.TOOL_CALLS)
        return
    at = first_item(a.data, at, a.hi)
    while at >= 0 and a.r.reason == 0:
        function = -1
        if kind_at(a.data, at) == json.OBJECT:
            find_members(a, at, fields.CALLED)
            function = int(a.r.places[fields.FUNCTION_OF])
        if function < 0 or kind_at(a.data, function) != json.OBJECT:
            fail(a, fields.WANTS_OBJECT, fields.FUNCTION_OF)
            return
        find_members(a, function, fields.FUNCTION)
        add_call(a, int(a.r.places[fields.ID]), int(a.r.places[fields.NAME]), int(a.r.places[fields.ARGUMENTS]))
        at = item_after(a.data, at, a.hi)


def add_call(a: Asked, id_at: int, name: int, arguments: int) -> None:
    """A call; its arguments are an object, or a string that holds one, or left out."""
    if name < 0:
        fail(a, fields.MISSING, fields.NAME)
        return
    row = add_row(a, CALL)
    add_name(a, row, NAME, name, fields.NAME)
    add_name(a, row, ID, id_at, fields.ID)
    lo = a.q.n_said
    n = lo
    if arguments >= 0 and kind_at(a.data, arguments) == json.STRING:
        n = copy_string(a.q.said, lo, a.data, arguments, a.hi)
    elif arguments >= 0:
        n = copy_clean(a.q.said, lo, a.data, arguments, value_end(a.data, arguments, a.hi))
    if n == lo:
        n = put_name(a.q.said, n, text("{}"), 2)
    first = next_solid(a.q.said, lo, n)
    if n > 0 and (check_json(a.q.said, lo, n) >= 0 or byte_at(a.q.said, first) != 0x7B):
        fail(a, fields.NO_ARGUMENTS, fields.ARGUMENTS)
    end_text(a, row, n)


def add_result(a: Asked, id_at: int, name: int, content: int) -> None:
    """What a tool said: a text, or parts of text; without a name it has that of the call with its id."""
    row = add_row(a, RESULT)
    add_name(a, row, ID, id_at, fields.TOOL_CALL_ID)
    add_name(a, row, NAME, name, fields.NAME)
    if name < 0 and id_at >= 0 and row >= 0:
        call = call_with_id(a, row)
        for word in range(NAME, NAME + 2):
            a.q.rows[ROW_WORDS * row + word] = a.q.rows[ROW_WORDS * call + word] if call >= 0 else 0
    n = a.q.n_said
    if content >= 0 and kind_at(a.data, content) == json.STRING:
        n = copy_string(a.q.said, n, a.data, content, a.hi)
    elif content >= 0 and kind_at(a.data, content) == json.LIST:
        at = first_item(a.data, content, a.hi)
        while at >= 0 and a.r.reason == 0:
            if part_of(a, at) >= TEXT_PARTS:
                fail(a, fields.ONLY_TEXT, fields.TYPE)
            elif a.r.reason == 0:
                n = put_byte(a.q.said, n, LINE_FEED) if n > a.q.n_said else n
                n = copy_string(a.q.said, n, a.data, int(a.r.places[fields.TEXT]), a.hi)
            at = item_after(a.data, at, a.hi)
    elif content >= 0:
        fail(a, fields.WANTS_TEXT, fields.CONTENT)
    end_text(a, row, n)


def call_with_id(a: Asked, row: int) -> int:
    """The last call before a row that has its id, or -1."""
    lo = int(a.q.rows[ROW_WORDS * row + ID])
    length = int(a.q.rows[ROW_WORDS * row + ID + 1]) - lo
    for call in range(row - 1, -1, -1):
        at = int(a.q.rows[ROW_WORDS * call + ID])
        if kind_of_row(a, call) == CALL and int(a.q.rows[ROW_WORDS * call + ID + 1]) - at == length:
            same = 0
            while same < length and a.q.said[at + same] == a.q.said[lo + same]:
                same += 1
            if same == length:
                return call
    return -1


def read_tools(a: Asked, at: int, bare_tools: int) -> None:
    """Every tool as a row, as the template wants it."""
    if kind_at(a.data, at) != json.LIST:
        fail(a, fields.WANTS_LIST, fields.TOOLS)
        return
    at = first_item(a.data, at, a.hi)
    while at >= 0 and a.r.reason == 0:
        if kind_at(a.data, at) == json.OBJECT:
            find_members(a, at, fields.TOOL)
            read_tool(a, at, bare_tools)
        else:
            fail(a, fields.WANTS_OBJECT, fields.TOOLS)
        at = item_after(a.data, at, a.hi)


def read_tool(a: Asked, at: int, bare_tools: int) -> None:
    """One tool, its members found; Anthropic's have no function in them, so that is put around."""
    kind = int(a.r.places[fields.TYPE])
    function = int(a.r.places[fields.FUNCTION_OF])
    schema = int(a.r.places[fields.INPUT_SCHEMA])
    description = int(a.r.places[fields.DESCRIPTION])
    if kind >= 0 and (kind_at(a.data, kind) != json.STRING or find_text(a.data, kind, a.hi, text(TOOL_KINDS)) < 0):
        fail(a, fields.UNSUPPORTED_VALUE, fields.TOOLS)
        return
    if function >= 0 and kind_at(a.data, function) == json.OBJECT:
        find_members(a, function, fields.FUNCTION)
    elif schema < 0 or kind_at(a.data, schema) != json.OBJECT:
        fail(a, fields.WANTS_OBJECT, fields.FUNCTION_OF if schema < 0 else fields.INPUT_SCHEMA)
        return
    name = int(a.r.places[fields.NAME])
    if name < 0 or kind_at(a.data, name) != json.STRING:
        fail(a, fields.MISSING if name < 0 else fields.WANTS_TEXT, fields.NAME)
        return
    row = add_row(a, TOOL)
    n = a.q.n_said
    if function >= 0:
        n = put_value(a, n, function if bare_tools != 0 else at)
    else:
        n = put_name(a.q.said, n, text(AROUND_TOOL[0]), 0 if bare_tools != 0 else 99)
        n = put_value(a, put_name(a.q.said, n, text(AROUND_TOOL[1]), 99), name)
        if description >= 0:
            n = put_value(a, put_name(a.q.said, n, text(AROUND_TOOL[2]), 99), description)
        n = put_value(a, put_name(a.q.said, n, text(AROUND_TOOL[3]), 99), schema)
        n = put_name(a.q.said, n, text("}}"), 1 if bare_tools != 0 else 2)
    end_text(a, row, n)


def put_value(a: Asked, n: int, at: int) -> int:
    """The value that begins here as it came; where it ends in what was said, or -1 where it does not fit (or n is)."""
    return copy_clean(a.q.said, n, a.data, at, value_end(a.data, at, a.hi)) if n >= 0 else -1
