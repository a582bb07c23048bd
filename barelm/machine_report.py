"""What a machine measured of itself: the `report.json` the program leaves on its volume, checked, and its figures.

A report comes from a machine of somebody else's: nothing in it is believed, and no text of it reaches a terminal as it
is.  Whatever the machine did not know is null, here None.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn, cast, get_args, get_origin, get_type_hints

from barelm.disk import open_volume
from barelm.errors import BarelmError
from barelm.host_files import reading
from barelm.printed import printable

FORMAT = 4
REPORT_PATH = "report.json"

_MOST_BYTES = 1 << 20
_MOST_TEXT = 200
_MOST_SPEEDS = 1024
_BLANK = b" \t\r\n\0"           # a file made ahead at full length is filled with these
_HINT = "Take report.json from the machine's volume again."


@dataclass(frozen=True)
class ReportedFirmware:
    """Who made it, its revision, the UEFI it implements; its service that failed last, and how."""

    vendor: str | None
    revision: str | None
    uefi: str | None
    failed_call: str | None
    failed_status: int | None


@dataclass(frozen=True)
class ReportedProgram:
    """Which build of the program: the number its linker made of its bytes; the version of the models it reads."""

    build: str | None
    layout: int | None


@dataclass(frozen=True)
class ReportedCpu:
    """What CPUID says, the level the engine ran at, the clock, and by what the highest was asked for."""

    name: str | None
    vendor: str | None
    family: int | None
    model: int | None
    stepping: int | None
    level: str | None
    clock_khz: int | None
    clock_asked: str | None


@dataclass(frozen=True)
class ReportedCores:
    """As the firmware counts them, and how many answered when woken."""

    present: int | None
    enabled: int | None
    answered: int | None


@dataclass(frozen=True)
class ReportedMemory:
    """The memory map, summed up by kind."""

    total_bytes: int | None
    free_bytes: int | None
    largest_free_bytes: int | None
    regions: int | None
    loader_bytes: int | None
    boot_services_bytes: int | None
    runtime_bytes: int | None
    reserved_bytes: int | None


@dataclass(frozen=True)
class ReportedScreen:
    """The screen in pixels and in characters."""

    width: int | None
    height: int | None
    columns: int | None
    rows: int | None


@dataclass(frozen=True)
class ReportedModel:
    """What ran: its name, length, checksum and room for tokens."""

    name: str | None
    bytes: int | None
    sum: str | None
    context: int | None


@dataclass(frozen=True)
class ReportedLoad:
    """How long the model took to read."""

    bytes: int | None
    us: int | None


@dataclass(frozen=True)
class ReportedGuesses:
    """Tokens read before they were chosen, since the start, and how many of them were chosen then."""

    read: int | None
    right: int | None


@dataclass(frozen=True)
class Speed:
    """One measurement on some cores."""

    cores: int
    prefill_tokens: int | None
    prefill_us: int | None
    decode_tokens: int | None
    decode_us: int | None

    def __post_init__(self) -> None:
        if not self.cores:
            raise ValueError("a measurement does not say on how many cores")

    @property
    def prefill_tokens_s(self) -> float | None:
        """Tokens of a prompt read in a second."""
        return _a_second(self.prefill_tokens, self.prefill_us)

    @property
    def decode_tokens_s(self) -> float | None:
        """Tokens made in a second."""
        return _a_second(self.decode_tokens, self.decode_us)


@dataclass(frozen=True)
class MachineReport:
    """All of it."""

    time: str | None
    program: ReportedProgram
    firmware: ReportedFirmware
    cpu: ReportedCpu
    cores: ReportedCores
    memory: ReportedMemory
    screen: ReportedScreen | None
    model: ReportedModel
    load: ReportedLoad
    speed: tuple[Speed, ...]  # in the order of the cores
    guesses: ReportedGuesses
    selftest: str | None

    def __post_init__(self) -> None:
        if self.selftest not in ("passed", "failed", "none", None):
            raise ValueError("selftest is none of passed, failed, none")
        object.__setattr__(self, "speed", tuple(sorted(self.speed, key=lambda speed: speed.cores)))

    @property
    def machine(self) -> str:
        """What a person would call it."""
        return self.cpu.name or self.cpu.vendor or "unknown machine"

    @property
    def load_bytes_s(self) -> float | None:
        """How fast the model was read."""
        return _a_second(self.load.bytes, self.load.us)

    def fastest(self) -> Speed | None:
        """The measurement that made the most tokens a second."""
        return max((speed for speed in self.speed if speed.decode_tokens_s),
                   key=lambda speed: speed.decode_tokens_s or 0, default=None)

    def alone(self) -> Speed | None:
        """The measurement on one core."""
        return next((speed for speed in self.speed if speed.cores == 1), None)

    def figures(self) -> dict[str, Any]:
        """What follows from the measurements, for JSON; scaling is against one core."""
        return {"load_bytes_s": _rounded(self.load_bytes_s),
                "speed": [self._figures_of(speed, self.alone()) for speed in self.speed]}

    def decode_bytes_s(self, speed: Speed) -> float | None:
        """Memory read in a second by decoding: every token takes all the weights once."""
        tokens_s = speed.decode_tokens_s
        return self.model.bytes * tokens_s if self.model.bytes and tokens_s is not None else None

    def _figures_of(self, speed: Speed, alone: Speed | None) -> dict[str, Any]:
        prefill, decode = speed.prefill_tokens_s, speed.decode_tokens_s
        return {"cores": speed.cores, "prefill_tokens_s": _rounded(prefill), "decode_tokens_s": _rounded(decode),
                "prefill_scaling": _rounded(_ratio(prefill, alone.prefill_tokens_s if alone else None)),
                "decode_scaling": _rounded(_ratio(decode, alone.decode_tokens_s if alone else None)),
                "prefill_tokens_s_core": _rounded(_ratio(prefill, speed.cores)),
                "decode_tokens_s_core": _rounded(_ratio(decode, speed.cores)),
                "decode_bytes_s": _rounded(self.decode_bytes_s(speed))}

    def as_json(self) -> dict[str, Any]:
        """The report as it was written, in its own form."""
        return {"format": FORMAT, **asdict(self)}


def scaling(report: MachineReport) -> float | None:
    """How many times the speed of one core the fastest measurement decodes at."""
    fastest, alone = report.fastest(), report.alone()
    return None if fastest is None or alone is None else _ratio(fastest.decode_tokens_s, alone.decode_tokens_s)


def read_reports(path: Path) -> list[tuple[str, MachineReport]]:
    """(where it was found, report) for a report.json, a folder that holds some, or an image or stick with one on it.

    Raises BarelmError where there is none, or one is damaged.
    """
    if not path.is_dir():
        return [(printable(str(path)), _read_one(path))]
    with reading(path):
        found = sorted(path.glob("*.json")) + sorted(path.glob(f"*/{REPORT_PATH}"))
    if not found:
        raise BarelmError(f"there is no report in {path}", f"Give a folder that holds {REPORT_PATH}, or the file.")
    return [(printable(str(name)), _read_one(name)) for name in found]


def parse_report(content: bytes, where: str) -> MachineReport:
    """The report in a file's bytes; BarelmError, naming `where`, for anything else."""
    if not content.strip(_BLANK):
        raise BarelmError(f"{where} is empty: the machine has not measured itself yet",
                          "Boot it, and let it come to its end.")
    try:
        raw = json.loads(content.strip(_BLANK).decode("utf-8-sig"), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise BarelmError(f"{where} is no report, or a damaged one: it is not JSON", _HINT) from error
    if not isinstance(raw, dict) or "format" not in raw:
        raise BarelmError(f"{where} is JSON, but no report of barelm", f"Give the {REPORT_PATH} of a machine.")
    if raw["format"] != FORMAT or isinstance(raw["format"], bool):
        shown = printable(str(raw["format"]))[:20]
        raise BarelmError(f"{where} is a report of format {shown}, and this barelm reads format {FORMAT}",
                          "Take the barelm that made the image.")
    try:
        return cast(MachineReport, _read(MachineReport, raw, ""))
    except ValueError as error:
        raise BarelmError(f"{where} is a damaged report: {error}", _HINT) from error


def _read_one(path: Path) -> MachineReport:
    with reading(path), open(path, "rb", buffering=0) as file:
        content = file.read(_MOST_BYTES + 1) or b""
    if content[510:512] == b"\x55\xaa":
        return _read_from_volume(path)
    if len(content) > _MOST_BYTES or content.strip(_BLANK)[:1] not in (b"{", b"[", b"\xef", b""):
        raise BarelmError(f"{printable(str(path))} is no report",
                          f"Give a {REPORT_PATH}, a folder that holds some, or the image or stick with one on it.")
    return parse_report(content, printable(str(path)))


def _read_from_volume(path: Path) -> MachineReport:
    with open_volume(path) as volume:
        entry = volume.lookup(REPORT_PATH)
        if entry is None:
            raise BarelmError(f"there is no {REPORT_PATH} on {path}",
                              "Boot a machine from it first, with the report switched on.")
        if entry.size > _MOST_BYTES:
            raise BarelmError(f"{REPORT_PATH} on {path} is no report: it has {entry.size:,} bytes", _HINT)
        return parse_report(volume.read(entry, 0, entry.size), f"{REPORT_PATH} on {path}")


def _read(kind: Any, raw: Any, where: str) -> Any:
    """What stands at `where`, as a `kind`: a class above by its fields, a tuple of one, a text made safe to show, or
    a count.  ValueError, with the place, for anything else.
    """
    of = next(iter(get_args(kind)), kind)
    if raw is None and (of in (str, int) or type(None) in get_args(kind)):
        return None
    if get_origin(kind) is tuple:
        if not isinstance(raw, list) or len(raw) > _MOST_SPEEDS:
            raise ValueError(f"{where} is not a list of measurements")
        return tuple(_read(of, one, f"{where}[{number}]") for number, one in enumerate(raw))
    if of is str:
        if not isinstance(raw, str):
            raise ValueError(f"{where} is not a text")
        return printable(" ".join(raw[:_MOST_TEXT].split()))
    if of is int:
        if not isinstance(raw, int) or isinstance(raw, bool) or not 0 <= raw < 1 << 63:
            raise ValueError(f"{where} is not a count")
        return raw
    if not isinstance(raw, dict):
        raise ValueError(f"{where} is not an object")
    places = {key: f"{where}.{key}" if where else key for key in get_type_hints(of)}
    if missing := [place for key, place in places.items() if key not in raw]:
        raise ValueError(f"{missing[0]} is missing")
    return of(**{key: _read(hint, raw[key], places[key]) for key, hint in get_type_hints(of).items()})


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")


def _a_second(amount: int | None, us: int | None) -> float | None:
    """A rate; None where nothing was done or no time was measured."""
    return amount * 1e6 / us if amount and us else None


def _ratio(value: float | None, by: float | None) -> float | None:
    return value / by if value is not None and by else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")
