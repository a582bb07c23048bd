"""What was loaded goes into the TPM, where there is one: a register that is only ever extended, and the log of by what.

The register is number 12.  Firmware has 0 to 7 (PC Client Platform Firmware Profile), boot loaders 8 and 9, and 12 is
where systemd's loaders put what configures the system that is started.  The program itself is in number 4: the firmware
puts it there.  What is hashed is the event's own text, name, size and SHA-256 of a file: so whoever has the log can
compute the register again, and the TPM is not given gigabytes.
"""

from barelm.contract.board import LoadedModel
from barelm.contract.layout import Header
from barelm.contract.regions import Workspace
from barelm.contract.settings import SettingsView
from barelm.contract.trust.trust_state import Trust
from barelm.dialect.memory import text
from barelm.dialect.sentences import sentence
from barelm.dialect.types import U8, U16
from barelm.metal.console.sinks import Console
from barelm.metal.console.writing import begin_text, end_text, put
from barelm.metal.storage.configuration import hash_in
from barelm.metal.trust.loaded_files import hash_model, put_digest, say_hashing, trust_in
from barelm.metal.uefi.runtime_services import extend_pcr, find_tpm

PCR = 12
EV_IPL = 0xD  # what a loader starts with (PC Client Platform Firmware Profile, 10.4.1)
HEADER_BYTES = 14  # EFI_TCG2_EVENT_HEADER, packed; in front of it the size of all
EVENT_AT = 4 + HEADER_BYTES


def measure_loaded(con: Console, workspace: Workspace, settings: SettingsView, header: Header, model: LoadedModel,
                   name: U16) -> None:
    """Measure configuration and model; where there is no TPM, nothing is hashed and nothing said."""
    trust = trust_in(workspace)
    tpm = find_tpm(con.fw) if settings.measure != 0 else 0
    trust.measured = 0
    configuration = hash_in(workspace)
    if tpm == 0 or measure(con, trust, tpm, text("barelm.toml"), configuration.n_bytes, configuration.digest) != 0:
        return
    if trust.has_model == 0:
        say_hashing(con, settings, header)
    hash_model(trust, header, model)
    if measure(con, trust, tpm, name, header.file_bytes, trust.model) == 0:
        trust.measured = PCR


def measure(con: Console, trust: Trust, tpm: int, name: U16, n_bytes: int, digest: U8) -> int:
    """Extend the register by a file; returns the status."""
    event = trust.event
    begin_text(con, event[EVENT_AT:])
    put(con, sentence("barelm {} {} ", (name, n_bytes)))
    put_digest(con, digest)
    n = end_text(con)
    put_little(event, 0, EVENT_AT + n, 4)
    put_little(event, 4, HEADER_BYTES, 4)
    put_little(event, 8, 1, 2)  # the version of the header
    put_little(event, 10, PCR, 4)
    put_little(event, 14, EV_IPL, 4)
    return extend_pcr(tpm, event[EVENT_AT:EVENT_AT + n], event[:EVENT_AT + n])


def put_little(data: U8, at: int, value: int, n: int) -> None:
    """n bytes of a number, the lowest first."""
    for i in range(n):
        data[at + i] = value >> 8 * i & 0xFF


def put_measured(con: Console, workspace: Workspace) -> None:
    """For the report: the register, or that there is none; and whether the program is bound to its files."""
    trust = trust_in(workspace)
    put(con, sentence(',\n "trust": {{"pcr": {}, "bound": {}}}', (
        trust.measured, text("true") if trust.bound != 0 else text("false"))))
