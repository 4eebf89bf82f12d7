"""Parts of a certificate read from its DER where ``cryptography`` refuses to: an odd key, a list with an odd name."""

import ipaddress
from collections.abc import Iterator

SEQUENCE, OCTETS, IDENTIFIER = 0x30, 0x04, 0x06
ALT_NAME = bytes.fromhex("0603551d11")  # the object identifier of subjectAltName
# Tags of GeneralName (RFC 5280 4.2.1.6).
EMAIL, DNS, ADDRESS = 0x81, 0x82, 0x87


def elements(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Tag, whole bytes and contents of one element after another, as far as their lengths hold."""
    at = 0
    while at + 2 <= len(data):
        size, head = data[at + 1], 2
        if size & 0x80:
            count = size & 0x7F
            size, head = int.from_bytes(data[at + 2 : at + 2 + count], "big"), 2 + count
        if at + head + size > len(data):
            return
        yield data[at], data[at : at + head + size], data[at + head : at + head + size]
        at += head + size


def is_sequence(data: bytes) -> bool:
    """Whether these bytes are one SEQUENCE and nothing else."""
    tag, whole, _ = next(elements(data), (0, b"", b""))
    return tag == SEQUENCE and len(whole) == len(data)


def spki(tbs: bytes) -> bytes | None:
    """The SubjectPublicKeyInfo inside a TBSCertificate: the element that holds the key's algorithm."""
    inside = next((contents for _, _, contents in elements(tbs)), b"")
    sequences = [whole for tag, whole, _ in elements(inside) if tag == SEQUENCE]
    return sequences[4] if len(sequences) > 4 else None  # signature, issuer, validity, subject, key


def curve(spki: bytes) -> str | None:
    """The object identifier of the named curve of an ECDSA key (RFC 5480 2.1.1); None where its curve has no name."""
    inside = next((contents for _, _, contents in elements(spki)), b"")
    algorithm = next((contents for tag, _, contents in elements(inside) if tag == SEQUENCE), b"")
    _, parameters = ([*elements(algorithm), (0, b"", b""), (0, b"", b"")])[:2]
    return dotted(parameters[2]) if parameters[0] == IDENTIFIER and parameters[2] else None


def dotted(identifier: bytes) -> str:
    """An object identifier as text; its first two numbers are in one (X.690 8.19)."""
    numbers, number = [], 0
    for byte in identifier:
        number = number << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(number)
            number = 0
    first = min(numbers[0] // 40, 2) if numbers else 0
    return ".".join(map(str, [first, numbers[0] - 40 * first, *numbers[1:]])) if numbers else ""


def names(tbs: bytes) -> dict[str, list[str]]:
    """The names of subjectAltName; bytes that are no ASCII are escaped, so that such a name fits nothing."""
    alternative_names: dict[str, list[str]] = {"dns": [], "ip": [], "email": []}
    at = tbs.find(ALT_NAME)
    if at < 0:
        return alternative_names
    value = next((contents for tag, _, contents in elements(tbs[at + len(ALT_NAME) :]) if tag == OCTETS), b"")
    for _, _, listed in elements(value):
        for tag, _, contents in elements(listed):
            if tag in (DNS, EMAIL):
                alternative_names["dns" if tag == DNS else "email"].append(contents.decode("ascii", "backslashreplace"))
            elif tag == ADDRESS and len(contents) in (4, 16):
                alternative_names["ip"].append(str(ipaddress.ip_address(contents)))
    return alternative_names


def rsa_bits(spki: bytes) -> tuple[int, int] | None:
    """Modulus length and exponent of an RSA key that ``cryptography`` refuses, by its DER (RFC 3279 2.3.1)."""

    def element(data: bytes, at: int) -> tuple[int, int]:
        size, at = data[at + 1], at + 2
        if size & 0x80:
            count = size & 0x7F
            size, at = int.from_bytes(data[at : at + count], "big"), at + count
        return at, at + size

    try:
        inside, _ = element(spki, 0)
        _, after_algorithm = element(spki, inside)
        bits, _ = element(spki, after_algorithm)
        sequence, _ = element(spki, bits + 1)
        first, after = element(spki, sequence)
        begin, end = element(spki, after)
    except IndexError:
        return None
    return int.from_bytes(spki[first:after], "big").bit_length(), int.from_bytes(spki[begin:end], "big")
