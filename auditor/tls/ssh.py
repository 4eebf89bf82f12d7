"""What the two sides of an SSH connection agree on, by the lists of algorithms behind their greetings (RFC 4253 7.1).

No TLS, but put together as its handshakes over datagrams are: from the pieces of both streams that the kernels kept.
"""

import re
from dataclasses import dataclass, field

from auditor.flows.state import AGREED
from auditor.recognise.numbers import SSH_CLEAR, SSH_WEAK
from auditor.tls.datagram_messages import Datagram, FlowMarks, Messages

KEXINIT, COOKIE = 20, 16
GREETING = re.compile(rb"(?:^|\n)SSH-([0-9.]+)-[^\n]*\n")  # lines of other text may come before it (RFC 4253 4.2)
NO_CIPHER = "none"  # RFC 4253 6.3: "not recommended"
# Names without what is behind "@", which says whose an algorithm is. RC4 (RFC 8758); DES, and 3DES with its 112 bits; blocks
# of 64 bits (CVE-2016-2183).
WEAK_CIPHERS = re.compile(r"arcfour.*|(?:3?des|blowfish|cast128|idea)-.*")
# RFC 9142 3.1, 3.2: 1024 bits, and groups of any length with SHA-1.
WEAK_EXCHANGES = re.compile(r"(?:gss-)?(?:diffie-hellman-)?(?:group1|group-exchange|gex)-sha1.*|rsa1024-sha1")
# Signatures with SHA-1, and DSA of 1024 bits (RFC 8332 1, RFC 6187 3).
WEAK_KEYS = re.compile(r"(?:ssh|x509v3-ssh|x509v3-sign)-(?:rsa|dss)(?:-cert-v0[01])?")
WEAK_MACS = re.compile(r"none|hmac-md5.*")
WITH_OWN_MAC = re.compile(r"aes\d+-gcm|AEAD_.*|chacha20-poly1305")  # RFC 5647, PROTOCOL.chacha20poly1305 of OpenSSH
# What is told of the weak ones, by numbers from 1 on in ``answer`` of the flow; of longer names the beginning.
VERSION_1 = "version 1"
WEAK_NAMES = (
    *(VERSION_1, "diffie-hellman-group1-sha1", "diffie-hellman-group-exchange-sha1", "rsa1024-sha1"),
    *("gss-group1-sha1", "gss-gex-sha1", "ssh-rsa", "ssh-dss"),
    *(f"x509v3-{how}-{kind}" for how in ("ssh", "sign") for kind in ("rsa", "dss")),
    *("arcfour", "arcfour128", "arcfour256"),
    *(f"{name}-{mode}" for name in ("des", "3des", "blowfish", "cast128", "idea") for mode in ("cbc", "ctr")),
    *("hmac-md5", "hmac-md5-96", "none in place of a MAC"),
)
EXCHANGE, KEY, CIPHERS, MACS = 0, 1, (2, 3), (4, 5)  # where their lists stand; of the client's side and of the server's


@dataclass(eq=False, repr=False)
class Ssh:
    """Reads the lists of both sides of one connection. There are no handshakes of TLS in it."""

    client: int
    shown: FlowMarks = field(default_factory=FlowMarks)

    def run(self, datagrams: list[Datagram]) -> list[Messages]:
        sides = [b"".join(one.data for one in datagrams if one.side == side) for side in (0, 1)]
        greetings = [GREETING.search(side) for side in sides]
        if any(one is not None and re.match(rb"1\.(?!99)", one[1]) for one in greetings):
            self.shown.application = SSH_WEAK  # version 1 has a CRC in a MAC's place
            self.shown.answer = _told(VERSION_1)
            return []
        lists = [_lists(side, one) for side, one in zip(sides, greetings, strict=True)]
        if lists[0] and lists[1]:
            # Where nobody knows who is the client, what either would choose has to be of one kind.
            clients = [self.client] if self.client in (0, 1) else [0, 1]
            kinds = {_kind(list(map(_chosen, lists[client], lists[1 - client]))) for client in clients}
            if len(kinds) == 1:
                self.shown.application, self.shown.upgrade, self.shown.answer = kinds.pop()
        return []


def _kind(agreed: list[str | None]) -> tuple[int, int, int]:
    """The application, the bit of what is known to be strong, and the number of what is weak.

    ``agreed``: by the order of their lists; None where both sides have nothing in common, and so no connection.
    """
    names = [(one or "").partition("@")[0] for one in agreed]
    if NO_CIPHER in (names[at] for at in CIPHERS):
        return SSH_CLEAR, 0, 0
    weak = _weak(names)
    if weak is not None:
        return SSH_WEAK, 0, _told(weak)
    return 0, AGREED if all(names[at] for at in (EXCHANGE, KEY, *CIPHERS)) else 0, 0


def _weak(names: list[str]) -> str | None:
    """The first weak one of the algorithms agreed on; None where there is none."""
    judged = (
        (WEAK_EXCHANGES, names[EXCHANGE]),
        (WEAK_KEYS, names[KEY]),
        *((WEAK_CIPHERS, names[at]) for at in CIPHERS),
    )
    weak = [name for pattern, name in judged if pattern.fullmatch(name)]
    for cipher, mac in zip(CIPHERS, MACS, strict=True):
        if WEAK_MACS.fullmatch(names[mac]) and not WITH_OWN_MAC.fullmatch(names[cipher]):
            weak.append(WEAK_NAMES[-1] if names[mac] == NO_CIPHER else names[mac])
    return weak[0] if weak else None


def _told(name: str) -> int:
    """The number of the longest of the names that this one begins with; 0 for none."""
    fitting = [known for known in WEAK_NAMES if name.startswith(known)]
    return WEAK_NAMES.index(max(fitting, key=len)) + 1 if fitting else 0


def _lists(stream: bytes, greeting: "re.Match[bytes] | None") -> list[list[str]]:
    """The lists of a side's KEXINIT, the first message behind its greeting; empty where that is not there, or not whole."""
    if greeting is None:
        return []
    packet = stream[greeting.end() :]
    size = int.from_bytes(packet[:4], "big")
    if len(packet) < 6 + COOKIE or packet[5] != KEXINIT or len(packet) < 4 + size:
        return []
    body, at, lists = packet[: 4 + size - packet[4]], 6 + COOKIE, []
    for _ in range(max(MACS) + 1):
        length = int.from_bytes(body[at : at + 4], "big")
        if at + 4 + length > len(body):
            return []
        lists.append(body[at + 4 : at + 4 + length].decode("ascii", "replace").split(","))
        at += 4 + length
    return lists


def _chosen(client: list[str], server: list[str]) -> str | None:
    """The first of the client's algorithms that the server has too (RFC 4253 7.1)."""
    return next((one for one in client if one in server and one), None)
