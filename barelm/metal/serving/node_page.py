"""The page of a node."""

from barelm.dialect.types import U8


def put_page(target: U8, n: int, connection: int) -> int:
    """The whole answer that has the page."""
    return -1
