"""How far a JSON text has come that is read or made byte by byte (`kernels.text.json_steps`)."""

from barelm.dialect.structs import Struct

MOST_DEPTH = 60
"""Of lists and objects in one another."""


class JsonSteps(Struct):
    """All there is to know of the bytes so far; to copy it is to go back to it later."""

    mode: int
    depth: int
    kinds: int  # of what is open, a bit each from the innermost on: 1 for an object
    is_key: int  # 1: the string is the name of a member
    rest: int  # of a word, a character or an escape: what has to come
    blanks: int  # in a row
    most_blanks: int
