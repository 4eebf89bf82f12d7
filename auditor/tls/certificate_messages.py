"""The Certificate message up to TLS 1.2: what a side shows its key in."""

from auditor.tls import der as der_of


def ders(message: bytes) -> list[bytes]:
    """The certificates of a Certificate message up to TLS 1.2 (RFC 5246 7.4.2), as far as their lengths hold.

    A raw public key stands there alone, without a list around it (RFC 7250 3).
    """
    certificates, at, end = [], 3, min(len(message), 3 + int.from_bytes(message[:3], "big"))
    if der_of.is_sequence(message[3:end]):  # as a list's first length this would be three million bytes
        return [message[3:end]]
    while at + 3 <= end:
        size = int.from_bytes(message[at : at + 3], "big")
        if size == 0 or at + 3 + size > end:
            break
        certificates.append(message[at + 3 : at + 3 + size])
        at += 3 + size
    return certificates


def is_empty(message: bytes) -> bool:
    """Whether a Certificate message has no certificate (RFC 5246 7.4.2: a server must not send one)."""
    return not any(message[:3])


def message_of(certificates: list[bytes]) -> bytes:
    """The Certificate message up to TLS 1.2 that shows these."""
    listed = b"".join(len(one).to_bytes(3, "big") + one for one in certificates)
    return len(listed).to_bytes(3, "big") + listed
