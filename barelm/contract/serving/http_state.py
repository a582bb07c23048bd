"""A request of HTTP/1.1 as far as it is read, which paths there are, and what is refused.

Tables are rows of texts and numbers; compiled code finds a text in `joined` ones (`kernels.web.request_names`).
"""

from typing import NamedTuple

from barelm.contract.serving.request_state import BODY_BYTES
from barelm.dialect.structs import Struct, room
from barelm.dialect.types import I64

HEAD_BYTES, LINE_BYTES, MOST_FIELDS, CHUNK_LINE_BYTES = 20 << 10, 8 << 10, 100, 256
"""Limits of what comes before a body: all of it, one line, header fields; of the line before a chunk."""
RECEIVED_BYTES = HEAD_BYTES + BODY_BYTES
"""What a buffer has to hold for the longest request."""

METHODS = ("GET", "HEAD", "POST", "OPTIONS")
GET, HEAD, POST, OPTIONS, OTHER_METHOD = range(5)

FIELD_NAMES = ("host", "content-length", "transfer-encoding", "connection", "expect", "authorization", "x-api-key",
               "origin", "access-control-request-headers", "content-type")
HOST, LENGTH, TRANSFER, CONNECTION, EXPECT, AUTHORIZATION, API_KEY, ORIGIN, ASKED_HEADERS, CONTENT_TYPE = range(10)
"""Header fields that are remembered."""


class Route(NamedTuple):
    """A path, `*` for the rest of one, what it leads to, and the methods it takes, a bit each."""

    path: str
    number: int
    methods: int = 1 << GET | 1 << HEAD


(PAGE, HEALTH, MODELS, MODEL, CHAT, COMPLETIONS, EMBEDDINGS, TOKENIZE, DETOKENIZE, PROPS, SLOTS, METRICS, TAGS,
 OLLAMA_CHAT_ROUTE, OLLAMA_GENERATE, OLLAMA_VERSION, OLLAMA_SHOW, OLLAMA_PS, MESSAGES, COUNT_TOKENS, PREFLIGHT,
 NOT_FOUND, WRONG_METHOD) = range(23)
POSTED = 1 << POST

ROUTES = (
    Route("/", PAGE), Route("/index.html", PAGE), Route("/health", HEALTH), Route("/v1/health", HEALTH),
    Route("/v1/models", MODELS), Route("/models", MODELS), Route("/v1/models/*", MODEL),
    Route("/v1/chat/completions", CHAT, POSTED), Route("/chat/completions", CHAT, POSTED),
    Route("/v1/completions", COMPLETIONS, POSTED), Route("/completions", COMPLETIONS, POSTED),
    Route("/v1/embeddings", EMBEDDINGS, POSTED), Route("/embeddings", EMBEDDINGS, POSTED),
    Route("/api/embed", EMBEDDINGS, POSTED), Route("/api/embeddings", EMBEDDINGS, POSTED),
    Route("/tokenize", TOKENIZE, POSTED), Route("/detokenize", DETOKENIZE, POSTED), Route("/props", PROPS),
    Route("/slots", SLOTS), Route("/metrics", METRICS), Route("/api/tags", TAGS),
    Route("/api/chat", OLLAMA_CHAT_ROUTE, POSTED), Route("/api/generate", OLLAMA_GENERATE, POSTED),
    Route("/api/version", OLLAMA_VERSION), Route("/version", OLLAMA_VERSION),
    Route("/api/show", OLLAMA_SHOW, POSTED), Route("/api/ps", OLLAMA_PS),
    Route("/v1/messages", MESSAGES, POSTED), Route("/v1/messages/count_tokens", COUNT_TOKENS, POSTED))


class HttpRefusal(NamedTuple):
    """A status and its sentence."""

    status: int
    sentence: str


HTTP_REFUSALS = (
    HttpRefusal(200, ""),
    HttpRefusal(400, "The request is not HTTP/1.1: a line ends or a character stands where none may."),
    HttpRefusal(400, "The request line is malformed."),
    HttpRefusal(400, "A header field is malformed."),
    HttpRefusal(400, "The request has to name its host once."),
    HttpRefusal(400, "The length of the body is said twice or wrongly."),
    HttpRefusal(400, "A chunk of the body is malformed."),
    HttpRefusal(404, "There is no such path here."),
    HttpRefusal(405, "This path takes another method."),
    HttpRefusal(413, "The request is too long for this node."),
    HttpRefusal(414, "The request line is too long."),
    HttpRefusal(417, "No expectation but 100-continue is met here."),
    HttpRefusal(431, "The header fields are too long or too many."),
    HttpRefusal(501, "A body may come in chunks, and coded in no other way."),
    HttpRefusal(505, "Only HTTP/1.0 and HTTP/1.1 are spoken here."))
(FINE, BAD_CHARACTER, BAD_LINE, BAD_FIELD, BAD_HOST, BAD_LENGTH, BAD_CHUNK, NO_PATH, OTHER_METHODS, TOO_LARGE,
 LONG_LINE, BAD_EXPECTATION, LONG_FIELDS, BAD_CODING, BAD_VERSION) = range(len(HTTP_REFUSALS))
HTTP_STATUSES = tuple(refusal.status for refusal in HTTP_REFUSALS)

IN_LINE, IN_FIELDS, IN_SIZED, IN_CHUNK_LINE, IN_CHUNK, IN_CHUNK_END, IN_TRAILERS, AT_END, AT_REFUSAL = range(9)
"""Where a request is being read."""


class RequestHead(Struct):
    """A request in a buffer as far as it has been read, but for its body's meaning.  Places are in the buffer."""

    stage: int
    at: int  # where what is not read yet begins,
    seen: int  # and up to where its line has been looked at
    limit: int  # where lines have to end
    n_fields: int
    method: int
    route: int
    allowed: int  # methods that the path takes, a bit each
    minor: int  # of the version
    keep_alive: int  # 1: another request may follow on the connection
    says_close: int
    says_keep: int
    chunked: int
    length: int  # that was said; -1: none was
    left: int  # bytes of a chunk that have not come
    expects_continue: int  # 1: the client waits for leave to send the body
    path_lo: int
    path_hi: int
    query_lo: int
    query_hi: int
    body_lo: int
    body_hi: int
    n_bytes: int  # of the whole request, once it is complete: another may begin there
    refusal: int  # its status, where something is wrong; else 0
    why: int  # and the number of it in HTTP_REFUSALS
    fields: I64 = room(2 * len(FIELD_NAMES))  # where the value of each begins and ends
    has: I64 = room(len(FIELD_NAMES))  # 1: it was there
