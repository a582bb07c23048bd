"""The one exception a person can cause; only `cli.py` prints it."""


class BarelmError(Exception):
    """Something the user can mend: what is wrong with what, and what to do about it.

    `message` is one sentence without a trailing full stop's worth of advice; `hint` is the sentence that says
    what to do.  The command line prints both on stderr and exits with 1.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
