"""What a cipher suite is, property by property, as policies ask for it: worked out from its IANA name."""

import re
from functools import cache
from typing import NamedTuple

from auditor.tls.names import Suite, suites

_BITS = re.compile(r"(?:^|_)(40|56|128|192|256)L?(?=_|$)")
_BITS_OF = {"3DES": 112, "DES": 56, "DES40": 40, "CHACHA20": 256, "KUZNYECHIK": 256, "MAGMA": 256, "28147": 256}
_BITS_OF |= {"SEED": 128, "IDEA": 128, "SM4": 128, "RC2": 128}
_CIPHERS = (
    *("CHACHA20", "CAMELLIA", "KUZNYECHIK", "AEGIS", "MAGMA", "28147", "ARIA", "SEED"),
    *("IDEA", "3DES", "AES", "DES", "DES40", "RC4", "RC2", "SM4", "NULL"),
)
_MODES = ("GCM", "CCM_8", "CCM", "CBC", "POLY1305", "OCB", "MGM", "CTR", "CNT")
AEAD = ("GCM", "CCM", "CCM_8", "POLY1305", "OCB", "MGM", "AEGIS")

INTEGRITY_ONLY = ("SHA256_SHA256", "SHA384_SHA384")  # TLS 1.3 without encryption: RFC 9150


class Properties(NamedTuple):
    """A suite's properties. ``bits``: strength of the cipher's key; ``forward_secrecy``: None where the suite does not say."""

    name: str
    key_exchange: str
    authentication: str
    cipher: str
    mode: str
    mac: str
    bits: int
    forward_secrecy: bool | None
    export: bool
    anonymous: bool
    recommended: str  # IANA's column after RFC 10015: Y, N, D

    def value(self, name: str) -> str:
        """A property as policies write it."""
        raw = getattr(self, name)
        return {True: "yes", False: "no", None: "unknown"}[raw] if raw is None or isinstance(raw, bool) else str(raw)


NAMES = tuple(Properties._fields)


def _first(words: tuple[str, ...], text: str, otherwise: str) -> str:
    parts = f"_{text}_"
    return next((word for word in words if f"_{word}_" in parts or f"_{word}L" in parts), otherwise)


def _properties(suite: Suite) -> Properties:
    encryption = suite.encryption
    cipher = _first(_CIPHERS, encryption, "NULL" if "NULL" in encryption or not encryption else "?")
    mode = "AEGIS" if cipher == "AEGIS" else _first(_MODES, encryption, "STREAM" if cipher == "RC4" else "NULL")
    if suite.key_exchange == "" and not suite.encryption:
        cipher = mode = "?"
    if encryption in INTEGRITY_ONLY:
        cipher = mode = "NULL"
    mac = "AEAD" if mode in AEAD else suite.name.rpartition("_")[2]
    size = _BITS.search(encryption)
    bits = 0 if cipher == "NULL" else int(size[1]) if size else _BITS_OF.get(cipher, 0)
    return Properties(
        suite.name,
        suite.key_exchange,
        suite.authentication,
        cipher,
        mode,
        mac,
        bits,
        suite.ephemeral,
        "EXPORT" in suite.name,
        suite.authentication == "anon",
        suite.recommended,
    )


@cache
def _by_name() -> dict[str, Suite]:
    return {suite.name: suite for suite in suites().values()}


@cache
def values_of(name: str) -> frozenset[str]:
    """All values that a property has among the suites that are known."""
    return frozenset(_properties(suite).value(name) for suite in suites().values())


@cache
def properties(name: str | None) -> Properties | None:
    """The properties of a suite by its IANA name; None for one that is not in IANA's registry."""
    suite = _by_name().get(name or "")
    return None if suite is None else _properties(suite)
