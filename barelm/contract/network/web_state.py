"""Files of a web server, kept as the firmware's are: where one was started from the network it is all there is."""

from barelm.contract.network.network_protocols import Tcp4ConfigData, Tcp4Data, Tcp4IoToken, Tcp4Option
from barelm.dialect.structs import Array, Struct, room
from barelm.dialect.types import U8

WEB_REVISION = 0x77656266696C6573
"""No firmware has a file protocol of this revision: a file that begins so is a `WebFile`."""
PATH_BYTES, HEAD_BYTES, MOST_WEB_FILES = 512, 8192, 8


class WebFile(Struct):
    """A file, or the folder they are in; it begins as EFI_FILE_PROTOCOL does."""

    revision: int
    volume: int  # address of the `WebVolume`
    open: int  # 1: it is in use
    size: int  # -1: it is the folder
    position: int
    n_path: int
    path: U8 = room(PATH_BYTES)  # as in a request


class WebVolume(Struct):
    """A server, and the connection to it: one request at a time."""

    root: WebFile
    files: Array[WebFile] = room(MOST_WEB_FILES)
    image: int  # the firmware it is reached by, and the ledger
    table: int
    ledger: int
    binding: int  # of the card's TCP, and who it has its address from
    config: int
    child: int  # 0: there is no connection
    tcp: int
    event: int
    ip: int
    port: int
    total: int  # bytes of the file asked for last
    n_head: int  # bytes of the answer in `head`,
    at: int  # how many of them were used,
    left: int  # and how many of its body are still to come or to be used
    token: Tcp4IoToken
    data: Tcp4Data
    config_data: Tcp4ConfigData
    option: Tcp4Option
    head: U8 = room(HEAD_BYTES)
