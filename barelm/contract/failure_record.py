"""A failure as a constant of the program (`aot.messages`), and the firmware's that may be behind it."""

from barelm.dialect.structs import Struct


class FailureRecord(Struct):
    """What `raise Failure(...)` points at."""

    status: int  # EFI's, its error bit set
    message: int  # addresses of texts in UTF-16
    hint: int
    place: int  # file and line


class FailedCall(Struct):
    """What `failed_call` of `dialect.processor` points at: zeros while no call has failed."""

    service: int  # address of its name, a text in UTF-16
    status: int
