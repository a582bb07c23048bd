"""The one exception a person can cause; only `cli.py` prints it."""


from barelm.printed import printable

_LINES = "\n\t"


class BarelmError(Exception):
    """Something the user can mend: what is wrong with what, and what to do about it.

    `message` is one sentence without a trailing full stop's worth of advice; `hint` is the sentence that says
    what to do.  The command line prints both on stderr and exits with 1.  Whatever
    names of others are in them, they can be printed.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        self.message, self.hint = printable(message, _LINES), printable(hint, _LINES)
        super().__init__(self.message)
