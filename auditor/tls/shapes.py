"""What a hello's shape says (see ``hello_kernels`` for the form of a shape), worked out once for each distinct one."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from auditor.tls import fingerprints
from auditor.tls.hello_kernels import (
    ALPN,
    EARLY_DRAFT,
    ECH,
    GROUPS,
    KEY_SHARE,
    OLD_KEY_SHARE,
    PARTLY,
    POINT_FORMATS,
    PSK_MODES,
    SIGNATURES,
    SUITES_OF_1_3,
    TLS_1_2,
    TLS_1_3,
    VERSIONS,
)
from auditor.tls.names import (
    extension_name,
    group_name,
    is_grease,
    is_post_quantum,
    signature_name,
    suite_name,
    suites,
    version_name,
    version_rank,
)

PRE_SHARED_KEY, EARLY_DATA, EXTENDED_MASTER_SECRET = 41, 42, 23
TRUNCATED_HMAC, HEARTBEAT_EXTENSION, ENCRYPT_THEN_MAC, RENEGOTIATION_INFO = 4, 15, 22, 0xFF01
VISIBLE = re.compile(rb"[!-\[\]-~]*")


def numbers(data: bytes) -> list[int]:
    """Big-endian 16-bit numbers; an odd byte at the end is left out."""
    return [int.from_bytes(data[k : k + 2], "big") for k in range(0, len(data) - 1, 2)]


def listed(data: bytes, length_bytes: int) -> bytes:
    """The contents of a vector with its length in front, as far as they are there (RFC 8446 3.4)."""
    return data[length_bytes : length_bytes + int.from_bytes(data[:length_bytes], "big")]


def protocols(data: bytes) -> list[bytes]:
    """The names of an ALPN list (RFC 7301 3.1)."""
    names, rest = [], listed(data, 2)
    while rest:
        size = rest[0]
        names.append(rest[1 : 1 + size])
        rest = rest[1 + size :]
    return names


def printable(name: bytes) -> str:
    r"""Text from the network: anything but visible ASCII is written as ``\xNN``."""
    if VISIBLE.fullmatch(name):
        return name.decode("ascii")
    return "".join(chr(b) if 0x20 < b < 0x7F and b != 0x5C else f"\\x{b:02x}" for b in name)


def words(names: list[str]) -> str | None:
    """A list as text: names with spaces between; None for an empty list."""
    return " ".join(names) or None


def _extensions(data: bytes) -> Iterator[tuple[int, bytes]]:
    if not data or not data[0]:
        return
    at = 1
    while at + 4 <= len(data):
        kind, size = int.from_bytes(data[at : at + 2], "big"), int.from_bytes(data[at + 2 : at + 4], "big")
        yield kind, data[at + 4 : at + 4 + size]
        at += 4 + size


@dataclass(eq=False, repr=False)
class ClientShape:
    """A ClientHello without what differs between connections. Lists are code points in the order offered."""

    legacy_version: int
    suites: list[int]
    compressions: list[int]
    extensions: list[int]
    groups: list[int] = field(default_factory=list)
    key_shares: list[int] = field(default_factory=list)
    signature_schemes: list[int] = field(default_factory=list)
    point_formats: list[int] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    alpn: list[bytes] = field(default_factory=list)
    psk_modes: list[int] = field(default_factory=list)
    ech_kind: int | None = None
    is_whole: bool = True  # what is not there was not sent

    @classmethod
    def parse(cls, data: bytes) -> "ClientShape":
        """Read a shape that ``hello_kernels.client_hello`` built."""
        size = int.from_bytes(data[2:4], "big")
        at = 4 + size
        compressions = list(data[at + 1 : at + 1 + data[at]])
        extensions = list(_extensions(data[at + 1 + data[at] :]))
        first: dict[int, bytes] = {}
        for kind, contents in extensions:
            first.setdefault(kind, contents)
        shares = first.get(KEY_SHARE, first.get(OLD_KEY_SHARE, b""))
        return cls(
            legacy_version=int.from_bytes(data[:2], "big"),
            suites=numbers(data[4:at]),
            compressions=compressions,
            extensions=[kind for kind, _ in extensions],
            groups=numbers(listed(first.get(GROUPS, b""), 2)),
            key_shares=numbers(shares),
            signature_schemes=numbers(listed(first.get(SIGNATURES, b""), 2)),
            point_formats=list(listed(first.get(POINT_FORMATS, b""), 1)),
            versions=numbers(listed(first.get(VERSIONS, b""), 1)),
            alpn=protocols(first.get(ALPN, b"")),
            psk_modes=list(listed(first.get(PSK_MODES, b""), 1)),
            ech_kind=first[ECH][0] if first.get(ECH) else None,
            is_whole=data[at + 1 + data[at]] != PARTLY,
        )

    @property
    def version_offered(self) -> int | None:
        """The highest version offered that has a name; else the legacy version. None: it is not in what is there."""
        offered = [code for code in self.versions if not is_grease(code)]
        if offered:
            return max(offered, key=version_rank)
        if self.legacy_version == TLS_1_3:  # drafts before 16 had no list of versions
            return EARLY_DRAFT
        return self.legacy_version if self.is_whole or self.legacy_version < TLS_1_2 else None

    @property
    def offers_forward_secrecy(self) -> bool | None:
        """Whether a suite with (EC)DHE is offered, or TLS 1.3 with a key exchange besides a mere PSK."""
        known = [suites().get(code) for code in self.suites]
        if any(suite is not None and suite.ephemeral for suite in known):
            return True
        if any(suite is not None and suite.key_exchange == "TLS13" for suite in known):
            return self._unless_cut(bool(self.groups or self.key_shares) or self.psk_modes != [0])
        if any(suite is None and not is_grease(code) for suite, code in zip(known, self.suites, strict=True)):
            return None
        return self._unless_cut(known=False)

    def _unless_cut(self, known: bool) -> bool | None:
        """What a hello says, if all of it is there."""
        return known if self.is_whole else None

    @property
    def ja3(self) -> str:
        return fingerprints.ja3(self.legacy_version, self.suites, self.extensions, self.groups, self.point_formats)

    def ja4(self, transport: str) -> str:
        """``transport``: t (TCP), d (DTLS) or q (QUIC)."""
        offered = [code for code in self.versions if not is_grease(code)]
        best = min if transport == "d" else max  # DTLS counts its versions down
        version = best(offered) if offered else self.legacy_version
        alpn = self.alpn[0] if self.alpn else None
        return fingerprints.ja4(transport, version, self.suites, self.extensions, self.signature_schemes, alpn)

    def row(self, transport: str = "t") -> dict[str, object]:
        """The columns of ``handshakes`` that depend on the ClientHello alone."""
        offered = self.version_offered
        is_ssl2 = not self.compressions and not self.extensions
        has_print = self.is_whole and not is_ssl2
        post_quantum = any(is_post_quantum(code) for code in self.groups + self.key_shares)
        early_data = EARLY_DATA in self.extensions
        ech = {None: "none", 0: "outer"}.get(self.ech_kind, "none")
        return {
            "tls_version_offered": version_name(offered) if offered is not None else None,
            "cipher_suites_offered": words([suite_name(code) for code in self.suites]),
            "groups_offered": words([group_name(code) for code in self.groups]),
            "key_shares_offered": words([group_name(code) for code in self.key_shares]),
            "signature_schemes_offered": words([signature_name(code) for code in self.signature_schemes]),
            "post_quantum_offered": post_quantum or self._unless_cut(known=False),
            "alpn_offered": words([printable(name) for name in self.alpn]),
            "extensions": words([extension_name(code) for code in self.extensions]),
            "ja3": self.ja3 if has_print else None,
            "ja4": self.ja4(transport) if has_print else None,
            "ech": ech if self.is_whole or ech != "none" else None,
            "offers_forward_secrecy": self.offers_forward_secrecy,
            "offers_early_data": early_data or self._unless_cut(known=False),
        }


@dataclass(eq=False, repr=False)
class ServerShape:
    """A ServerHello without what differs between connections."""

    legacy_version: int
    version: int
    suite: int
    compression: int
    extensions: list[int]
    group: int | None
    alpn: bytes | None
    is_whole: bool = True

    @classmethod
    def parse(cls, data: bytes) -> "ServerShape":
        """Read a shape that ``hello_kernels.server_hello`` built."""
        extensions = list(_extensions(data[5:]))
        first: dict[int, bytes] = {}
        for kind, contents in extensions:
            first.setdefault(kind, contents)
        legacy = int.from_bytes(data[:2], "big")
        is_whole = data[5] != PARTLY
        version = int.from_bytes(first[VERSIONS], "big") if first.get(VERSIONS) else legacy
        if version == TLS_1_3 == legacy:
            version = EARLY_DRAFT
        elif not is_whole and version == TLS_1_2 and data[2] == SUITES_OF_1_3:
            version = TLS_1_3  # the extension that says so is not there
        share = first.get(KEY_SHARE) or first.get(OLD_KEY_SHARE)
        chosen = protocols(first.get(ALPN, b""))
        return cls(
            legacy_version=legacy,
            version=version,
            suite=int.from_bytes(data[2:4], "big"),
            compression=data[4],
            extensions=[kind for kind, _ in extensions],
            group=int.from_bytes(share[:2], "big") if share else None,
            alpn=chosen[0] if chosen else None,
            is_whole=is_whole,
        )

    @property
    def is_tls13(self) -> bool:
        return self.version in (0x0304, 0xFEFC) or self.version >> 8 in (0x7F, 0x7E, 0xFB)

    @property
    def ja3s(self) -> str | None:
        if not self.is_whole:
            return None
        return fingerprints.ja3s(self.legacy_version, self.suite, self.extensions)
