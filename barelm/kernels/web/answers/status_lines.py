"""Short words of answers, in tables: why an answer ended, in every API; statuses, with what an error is called."""

from barelm.contract.settings import joined

REASONS = 5
REASON_NAMES, REASON_NAMES_AT = joined((
    "stop", "length", "stop", "tool_calls", "stop",  # OpenAI's chat
    "stop", "length", "stop", "stop", "stop",  # and completions
    "stop", "length", "stop", "stop", "stop",  # Ollama's chat
    "stop", "length", "stop", "stop", "stop",  # and generate
    "end_turn", "max_tokens", "stop_sequence", "tool_use", "end_turn"))
"""For each API, in the order of `answer_state`: why an answer ended."""

TOO_LONG = 1400
"""A status of our own: 400, because prompt and answer do not fit the context.  Clients know its code."""
STATUS_ROWS = (
    (200, "OK", "", "null", ""),
    (204, "No Content", "", "null", ""),
    (400, "Bad Request", "invalid_request_error", "null", "invalid_request_error"),
    (TOO_LONG, "Bad Request", "invalid_request_error", '"context_length_exceeded"', "invalid_request_error"),
    (401, "Unauthorized", "authentication_error", '"invalid_api_key"', "authentication_error"),
    (403, "Forbidden", "permission_error", "null", "permission_error"),
    (404, "Not Found", "not_found_error", "null", "not_found_error"),
    (405, "Method Not Allowed", "invalid_request_error", "null", "invalid_request_error"),
    (408, "Request Timeout", "invalid_request_error", "null", "timeout_error"),
    (411, "Length Required", "invalid_request_error", "null", "invalid_request_error"),
    (413, "Content Too Large", "invalid_request_error", "null", "request_too_large"),
    (414, "URI Too Long", "invalid_request_error", "null", "invalid_request_error"),
    (415, "Unsupported Media Type", "invalid_request_error", "null", "invalid_request_error"),
    (417, "Expectation Failed", "invalid_request_error", "null", "invalid_request_error"),
    (429, "Too Many Requests", "rate_limit_error", '"rate_limit_exceeded"', "rate_limit_error"),
    (431, "Request Header Fields Too Large", "invalid_request_error", "null", "request_too_large"),
    (500, "Internal Server Error", "server_error", "null", "api_error"),
    (501, "Not Implemented", "not_supported_error", "null", "invalid_request_error"),
    (503, "Service Unavailable", "unavailable_error", "null", "overloaded_error"),
    (505, "HTTP Version Not Supported", "invalid_request_error", "null", "invalid_request_error"))
"""Statuses: number, reason, what OpenAI calls such an error, its code as JSON, what Anthropic calls it."""
STATUSES = tuple(row[0] for row in STATUS_ROWS)
PHRASE, OPENAI_KIND, CODE, ANTHROPIC_KIND, STATUS_WORDS = range(5)
STATUS_TEXTS, STATUS_TEXTS_AT = joined(word for row in STATUS_ROWS for word in row[1:])


def status_row(status: int) -> int:
    """The row of a status; of one that is not there, that of 500."""
    unknown = 0
    for row in range(len(STATUSES)):
        if STATUSES[row] == status:
            return row
        unknown = row if STATUSES[row] == 500 else unknown
    return unknown
