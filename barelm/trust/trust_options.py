"""The options of `barelm keys` and `verify`, and those of `image` that sign; as `cli.py` has those of the others."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


@Parameter(name="*")
@dataclass(frozen=True)
class Signing:
    """With which key."""

    sign: Annotated[Path | None, Parameter(help="A private key, PEM: sign the program, bound to what is on the image."
                                           )] = None
    cert: Annotated[Path | None, Parameter(help="The certificate of that key.")] = None

NOT_SIGNED = Signing()


def keys(folder: Path, /, *, owner: Annotated[str, Parameter(help="Whose, in the certificates.")] = "barelm") -> int:
    """Make keys for Secure Boot: PK, KEK and db, with the files that firmware set-ups enrol them from.

    docs/SECURE_BOOT.md goes through it step by step.  db.key and db.pem are those to sign images with.

    Examples:

        barelm keys my-keys
        barelm image smollm2 --chat --sign my-keys/db.key --cert my-keys/db.pem --output signed.img

    Parameters
    ----------
    folder
        Where to write them; nothing there is overwritten.
    """
    from barelm.trust.secure_boot_keys import make_keys

    for path in make_keys(folder, owner):
        print(path)
    return 0
