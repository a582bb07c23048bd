"""A receipt's last link, signed by the TPM together with the registers that say what was started and loaded."""

from barelm.contract.regions import Workspace
from barelm.contract.trust.hashing import SHA256_BYTES
from barelm.contract.trust.tpm_commands import CREATE_PRIMARY, FLUSH, HANDLE_AT, QUALIFYING_AT, QUOTE, READ_REGISTERS
from barelm.contract.trust.trust_state import Trust
from barelm.dialect.memory import address_of, copy_bytes, text
from barelm.dialect.sentences import sentence
from barelm.dialect.types import U8
from barelm.metal.console.sinks import Console
from barelm.metal.console.writing import put, put_text
from barelm.metal.trust.loaded_files import trust_in
from barelm.metal.uefi.runtime_services import find_tpm, submit_command


def put_quote(con: Console, workspace: Workspace, link: U8) -> None:
    """The member `quote` of a receipt: the TPM's answers behind one another; none where nothing was measured."""
    trust = trust_in(workspace)
    tpm = find_tpm(con.fw) if trust.measured != 0 else 0
    if tpm == 0:
        return
    put_text(con, text(',\n "quote": "'))
    if put_answer(con, trust, tpm, CREATE_PRIMARY):
        copy_bytes(address_of(trust.event), address_of(trust.answer) + HANDLE_AT, 4)
        command = with_key(trust, QUOTE)
        copy_bytes(address_of(command) + QUALIFYING_AT, address_of(link), SHA256_BYTES)
        put_answer(con, trust, tpm, command)
        put_answer(con, trust, tpm, READ_REGISTERS)
        submit_command(tpm, with_key(trust, FLUSH), trust.answer)
    put_text(con, text('"'))


def with_key(trust: Trust, template: U8) -> U8:
    """A command for the key whose handle is noted."""
    command = trust.event[4:4 + len(template)]
    copy_bytes(address_of(command), address_of(template), len(template))
    copy_bytes(address_of(command) + HANDLE_AT, address_of(trust.event), 4)
    return command


def put_answer(con: Console, trust: Trust, tpm: int, command: U8) -> bool:
    """What the TPM answers to a command, in hexadecimal; False, and nothing, where it refuses."""
    n = submit_command(tpm, command, trust.answer)
    for i in range(n):
        put(con, sentence("{:x2}", (int(trust.answer[i]),)))
    return n > 0
