"""`barelm verify` and `barelm sbom`: what the files say of themselves, checked."""

import sys
from pathlib import Path

from barelm.commands.progress import ProgressBar
from barelm.errors import BarelmError
from barelm.host_files import reading, replace_file
from barelm.machine.choice import quick_machine
from barelm.printed import printable
from barelm.settings import Settings
from barelm.trust.manifest import verify_image
from barelm.trust.quote import judge_quote
from barelm.trust.receipt_file import MOST_BYTES, Receipt, is_receipt, parse_receipt, parting

_BEGINNING = 4096


def verify(path: Path, model: str | None, machine: str, settings: Settings) -> int:
    """Check a receipt or an image, and say what is so; the code is 1 where something is not."""
    with reading(path), open(path, "rb") as file:
        beginning = file.read(_BEGINNING)
    if is_receipt(beginning):
        return verify_receipt(path, model, machine, settings)
    if beginning[510:512] != b"\x55\xaa":
        raise BarelmError(f"{path} is neither a receipt nor an image", "Give what `--receipt`, `/receipt` or "
                          "`barelm image` wrote.")
    found = verify_image(path)
    for line in found.notes:
        print(printable(line))
    for line in found.faults:
        print(printable(f"DIFFERS: {line}"))
    print("the image is not as it was made" if found.faults else "the image is as it was made")
    return 1 if found.faults else 0


def verify_receipt(path: Path, model: str | None, machine: str, settings: Settings) -> int:
    """Compute the answer of a receipt again, and say whether it is equal or where it parts."""
    from barelm.trust.receipt_replay import computed_again, model_of

    with reading(path):
        if path.stat().st_size > MOST_BYTES:
            raise BarelmError(f"{path} is too large to be a receipt", "Take it from where it was written again.")
        told = parse_receipt(path.read_bytes(), path.name)
    for line in judge_quote(told.quote, bytes.fromhex(told.last)) if told.quote else ():
        print(line)
    with ProgressBar() as bar:
        packed = model_of(told, model, bar)
        again = computed_again(told, packed, quick_machine(machine, bar.note), bar, settings)
    at = parting(told, again)
    print(f"{told.n_tokens} tokens of {packed.name} behind {len(told.before)}, made by "
          f"{'this program' if told.program == again.program else 'another program, ' + told.program[:16]}")
    if at is None:
        print(f"equal: every token and the hash of its logits; {told.last}")
        return 0
    print(f"DIFFERS at token {at + 1} of {told.n_tokens}: {_difference(told, again, at)}")
    return 1


def _difference(told: Receipt, again: Receipt, at: int) -> str:
    if told.ids[at:at + 1] != again.ids[at:at + 1]:
        here, there = (receipt.ids[at:at + 1] for receipt in (again, told))
        return f"{here[0] if here else 'none'} is chosen here, the receipt has {there[0] if there else 'none'}"
    return "the same token is chosen, from other logits"


def write_bill(output: Path | None) -> int:
    """Write the bill of materials of the program, or print it."""
    from barelm import pipeline
    from barelm.trust.bill_of_materials import bill_of_materials

    with ProgressBar() as bar:
        content = bill_of_materials(pipeline.built_program(bar).read_bytes())
    if output is None:
        sys.stdout.write(content.decode())
    else:
        replace_file(output, content)
    return 0
