"""How far the calls of tools in a reply have been read (`kernels.text.tool_calls`)."""

from barelm.dialect.structs import Struct


class CallReading(Struct):
    """Places in the text of a reply."""

    at: int  # what is before it is told, or was a call
    free: int  # up to here it is text and may be told
    behind: int  # 1: what is before `at` ends a call's arguments
    fresh: int  # 1: nothing of the reply came before `at` but white space and calls
    n_calls: int
    name_lo: int  # of the call just found
    name_hi: int
    id_lo: int
    id_hi: int
    arguments_lo: int  # JSON, an object
    arguments_hi: int
