"""A failure as a constant of the program (`aot.messages`)."""

from barelm.dialect.structs import Struct


class FailureRecord(Struct):
    """What `raise Failure(...)` points at."""

    status: int  # EFI's, its error bit set
    message: int  # addresses of texts in UTF-16
    hint: int
    place: int  # file and line
