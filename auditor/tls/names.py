"""Names and properties of TLS code points, from the tables in ``auditor/data``; unknown ones as ``0x1234``."""

import csv
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from auditor import data
from auditor.tables.versions import VERSION_ORDER


def _rows(table: str) -> Iterator[list[str]]:
    """The rows of a table of ``auditor/data``, without its source line and header."""
    text = data.FOLDER.joinpath(table).read_text(encoding="utf-8")
    rows = csv.reader(text.splitlines()[2:])
    return (row for row in rows if row)


class Suite(NamedTuple):
    """A cipher suite: its IANA name and what the name says of it."""

    name: str
    key_exchange: str
    authentication: str
    encryption: str
    recommended: str = ""  # IANA's column, as RFC 10015 changed it

    @property
    def ephemeral(self) -> bool | None:
        """Whether its key exchange is (EC)DHE; None where the suite does not say (TLS 1.3, unknown)."""
        if self.key_exchange in ("DHE", "ECDHE", "CECPQ1"):
            return True
        if self.key_exchange in ("DH", "ECDH") and self.authentication == "anon":
            return True  # RFC 5246 F.1.1.1: anonymous Diffie-Hellman is ephemeral
        if self.key_exchange in ("", "TLS13", "ECCPWD", "SRP"):
            return None
        return False


@cache
def suites() -> dict[int, Suite]:
    return {int(r[0], 16): Suite(*r[1:6]) for r in _rows("cipher_suites.csv")}


@cache
def groups() -> dict[int, tuple[str, str]]:
    """Named groups: code -> (name, kind), kind one of ec, ffdhe, pq, hybrid."""
    return {int(r[0], 16): (r[1], r[2]) for r in _rows("groups.csv")}


@cache
def extensions() -> dict[int, str]:
    return {int(r[0], 16): r[1] for r in _rows("extensions.csv")}


@cache
def signature_schemes() -> dict[int, str]:
    return {int(r[0], 16): r[1] for r in _rows("signature_schemes.csv")}


@cache
def alerts() -> dict[int, str]:
    return {int(r[0]): r[1] for r in _rows("alerts.csv")}


# TLS 1.2 SignatureAndHashAlgorithm pairs without a TLS 1.3 name (RFC 5246 7.4.1.4.1).
HASHES = {0: "none", 1: "md5", 2: "sha1", 3: "sha224", 4: "sha256", 5: "sha384", 6: "sha512"}
SIGNATURES = {0: "anonymous", 1: "rsa_pkcs1", 2: "dsa", 3: "ecdsa"}


def hexadecimal(code: int) -> str:
    return f"0x{code:04X}"


def is_grease(code: int) -> bool:
    """RFC 8701: both bytes equal, low nibbles A."""
    return code & 0x0F0F == 0x0A0A and code >> 8 == code & 0xFF


def suite_name(code: int) -> str:
    suite = suites().get(code)
    return suite.name if suite else "GREASE" if is_grease(code) else hexadecimal(code)


def group_name(code: int) -> str:
    group = groups().get(code)
    return group[0] if group else "GREASE" if is_grease(code) else hexadecimal(code)


def extension_name(code: int) -> str:
    name = extensions().get(code)
    return name.replace(" ", "_") if name else "GREASE" if is_grease(code) else hexadecimal(code)


def signature_name(code: int) -> str:
    name = signature_schemes().get(code)
    if name:
        return name
    if is_grease(code):
        return "GREASE"
    if code >> 8 in HASHES and code & 0xFF in SIGNATURES:
        return f"{SIGNATURES[code & 0xFF]}_{HASHES[code >> 8]}"
    return hexadecimal(code)


def alert_name(code: int) -> str:
    return alerts().get(code, str(code))


def is_post_quantum(group: int) -> bool:
    """Whether a group is a post-quantum KEM or a hybrid with one."""
    return groups().get(group, ("", ""))[1] in ("pq", "hybrid")


VERSIONS = {
    0x0002: "SSL 2.0",
    0x0300: "SSL 3.0",
    0x0301: "TLS 1.0",
    0x0302: "TLS 1.1",
    0x0303: "TLS 1.2",
    0x0304: "TLS 1.3",
    0x7F00: "TLS 1.3 (draft)",
    0x0101: "TLCP 1.1",
    0xFEFF: "DTLS 1.0",
    0xFEFD: "DTLS 1.2",
    0xFEFC: "DTLS 1.3",
}


def version_name(code: int) -> str:
    """A version by its fixed name; drafts of TLS 1.3 (0x7Fnn) as ``TLS 1.3 (draft nn)``, those before 16 without number."""
    if code in VERSIONS:
        return VERSIONS[code]
    if code >> 8 == 0x7F and 1 <= code & 0xFF <= 28:
        return f"TLS 1.3 (draft {code & 0xFF})"
    return hexadecimal(code)


def version_rank(code: int) -> int:
    """A number by which versions are compared; unknown versions rank lowest."""
    name = version_name(code)
    return VERSION_ORDER.index(name) if name in VERSION_ORDER else -1
