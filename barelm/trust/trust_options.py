"""The options of `barelm keys`, `verify` and `sbom`, and those of `image` that sign; `cli.py` has all the others."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

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


def verify(file: Path, model: str | None = None, /, *,
           machine: Annotated[Literal["qemu", "hosted"], Parameter(help="That computes.")] = "hosted",
           cores: Annotated[int, Parameter(help="To compute with.")] = 1,
           cpu: Annotated[str, Parameter(help="The highest CPU level to compute at.")] = "auto") -> int:
    """Compute the answer of a receipt again and compare; or compare an image with its manifest.

    A receipt parts from what is computed here at the first token whose id or logits are others: exit code 1.

    Examples:

        barelm run smollm2 "Why is the sky blue?" --receipt
        barelm verify smollm2.receipt.json
        barelm verify stick.img

    Parameters
    ----------
    file
        A receipt (.json), or an image or a stick.
    model
        The model of the receipt: a .blm, or a checkpoint or a name that is packed to it.
    """
    from barelm.settings import Settings
    from barelm.trust.verifying import verify as verify_file

    return verify_file(file, model, machine, Settings(cpu=cpu, cores=cores))


def sbom(*, output: Annotated[Path | None, Parameter(name=["--output", "-o"], help="Default: to stdout.")] = None
         ) -> int:
    """Write what is inside the program and what built it, a bill of materials in CycloneDX."""
    from barelm.trust.verifying import write_bill

    return write_bill(output)
