"""ASN.1 in DER (X.690), as far as signatures need it to be written."""

INTEGER, BIT_STRING, OCTET_STRING, NULL, OID, SEQUENCE, SET = 0x02, 0x03, 0x04, 0x05, 0x06, 0x30, 0x31


def encoded(tag: int, content: bytes) -> bytes:
    """A value with its tag and length (8.1)."""
    n = len(content)
    length = bytes([n]) if n < 0x80 else bytes([0x80 | (n.bit_length() + 7) // 8]) + n.to_bytes(
        (n.bit_length() + 7) // 8, "big")
    return bytes([tag]) + length + content


def sequence(*parts: bytes) -> bytes:
    """SEQUENCE."""
    return encoded(SEQUENCE, b"".join(parts))


def set_of(*parts: bytes) -> bytes:
    """SET OF, in the order DER asks for (11.6)."""
    return encoded(SET, b"".join(sorted(parts)))


def tagged(number: int, *parts: bytes) -> bytes:
    """[number], constructed."""
    return encoded(0xA0 | number, b"".join(parts))


def integer(value: int) -> bytes:
    """INTEGER, not negative."""
    return encoded(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def octets(content: bytes) -> bytes:
    """OCTET STRING."""
    return encoded(OCTET_STRING, content)


def object_id(text: str) -> bytes:
    """OBJECT IDENTIFIER, from "1.2.840.113549"."""
    first, second, *rest = map(int, text.split("."))
    content = bytearray()
    for number in (40 * first + second, *rest):
        groups = [number & 0x7F]
        while number := number >> 7:
            groups.append(number & 0x7F | 0x80)
        content += bytes(reversed(groups))
    return encoded(OID, bytes(content))


def null() -> bytes:
    """NULL."""
    return encoded(NULL, b"")
