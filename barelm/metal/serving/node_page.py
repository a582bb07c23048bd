"""The page of a node: a chat in a browser, frozen into the program as `page.html` has it."""

import numpy as np

from barelm.dialect.types import U8
from barelm.kernels.web.answers.http_heads import HTML
from barelm.kernels.web.answers.node_facts import put_document

PAGE: U8 = np.fromfile(__file__.rpartition("node_page")[0] + "page.html", np.uint8)


def put_page(target: U8, n: int, connection: int) -> int:
    """The whole answer that has the page."""
    return put_document(target, n, connection, HTML, PAGE)
