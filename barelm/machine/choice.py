"""Which machine: the one asked for, or the first that works here."""

from collections.abc import Callable

from barelm.errors import BarelmError
from barelm.machine.accelerator import TCG, best_accelerator
from barelm.machine.hosted import Hosted
from barelm.machine.machine import Machine
from barelm.machine.qemu import Qemu, find_program


def machines(display: bool = False) -> dict[str, Machine]:
    """Every machine by its name, the preferred first; with `display`, QEMU opens a window."""
    return {"qemu": Qemu(display=display), "hosted": Hosted()}


def quick_machine(name: str | None, note: Callable[[str], None], display: bool = False) -> Machine:
    """The same for whoever waits for words: the hosted firmware too where QEMU has but its translator."""
    hosted = Hosted()
    if name is None and not display and hosted.why_not() is None and Qemu().why_not() is None and (
            best_accelerator(find_program()) == TCG):
        note("Running on the hosted firmware: QEMU would have to translate here, tens of times slower.")
        return hosted
    return choose_machine(name, note, display)


def choose_machine(name: str | None, note: Callable[[str], None], display: bool = False) -> Machine:
    """The machine called `name`; without one, QEMU where it is installed and the hosted firmware else, said in a line.

    With `display` its screen is a window, which only QEMU has.  Raises BarelmError with the reason where it cannot be
    used.
    """
    if display:
        if name == "hosted":
            raise BarelmError("the hosted machine has no window", "Leave --display out, or take --machine qemu.")
        name = "qemu"
    known = machines(display)
    reason = known[name or "qemu"].why_not()
    if reason is None:
        return known[name or "qemu"]
    if name is not None:
        raise BarelmError(f"cannot boot on {name}: {reason}",
                          "`barelm doctor` says what is missing; the other machine may do.")
    if known["hosted"].why_not() is not None:
        raise BarelmError(f"there is no machine to boot on: {reason}", "`barelm doctor` says what is missing.")
    note(f"Running on the hosted firmware: {reason}")
    return known["hosted"]
