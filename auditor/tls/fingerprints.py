"""JA3, JA3S and JA4 (client) fingerprints.

JA3: github.com/salesforce/ja3. JA4: github.com/FoxIO-LLC/ja4 technical details (the JA4 client fingerprint has a BSD
licence; other fingerprints of that family do not).
"""

import hashlib
from collections.abc import Sequence

from auditor.tls.names import is_grease

NO_HASH = "000000000000"
VERSION_CODES = {0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10", 0x0300: "s3", 0x0002: "s2"}
VERSION_CODES |= {0xFEFF: "d1", 0xFEFD: "d2", 0xFEFC: "d3"}
SERVER_NAME, ALPN = 0x0000, 0x0010


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def short_sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _numbers(codes: Sequence[int]) -> str:
    return "-".join(str(code) for code in codes if not is_grease(code))


def ja3(
    version: int, suites: Sequence[int], extensions: Sequence[int], groups: Sequence[int], point_formats: Sequence[int]
) -> str:
    """JA3 of a ClientHello: MD5 of version, suites, extensions, groups and point formats in decimal, GREASE left out.

    ``version`` is the legacy version of the hello's body.
    """
    formats = "-".join(map(str, point_formats))
    return md5(f"{version},{_numbers(suites)},{_numbers(extensions)},{_numbers(groups)},{formats}")


def ja3s(version: int, suite: int, extensions: Sequence[int]) -> str:
    """JA3S of a ServerHello: MD5 of version, chosen suite and extensions in decimal."""
    return md5(f"{version},{suite},{'-'.join(map(str, extensions))}")


def _alpn_code(protocol: bytes | None) -> str:
    """First and last character of the first ALPN value; of its hexadecimal form where either is no letter or digit.

    99 for bytes outside ASCII, as FoxIO's implementations have it.
    """
    if not protocol:
        return "00"
    if protocol[0] > 0x7F or protocol[-1] > 0x7F:
        return "99"
    ends = bytes([protocol[0], protocol[-1]])
    if ends.isalnum():
        return ends.decode("ascii")
    text = protocol.hex()
    return text[0] + text[-1]


def ja4(
    transport: str,
    version: int,
    suites: Sequence[int],
    extensions: Sequence[int],
    signature_schemes: Sequence[int],
    alpn: bytes | None,
) -> str:
    """JA4 of a ClientHello.

    ``transport`` is ``t`` (TCP), ``q`` (QUIC) or ``d`` (DTLS); ``version`` the highest version offered, GREASE left
    out; ``alpn`` the first protocol offered.
    """
    plain_suites = [code for code in suites if not is_grease(code)]
    plain_extensions = [code for code in extensions if not is_grease(code)]
    first = (
        f"{transport}{VERSION_CODES.get(version, '00')}{'d' if SERVER_NAME in extensions else 'i'}"
        f"{min(len(plain_suites), 99):02d}{min(len(plain_extensions), 99):02d}{_alpn_code(alpn)}"
    )
    second = short_sha256(",".join(sorted(f"{code:04x}" for code in plain_suites))) if plain_suites else NO_HASH
    named = sorted(f"{code:04x}" for code in plain_extensions if code not in (SERVER_NAME, ALPN))
    third = ",".join(named)
    plain_schemes = [code for code in signature_schemes if not is_grease(code)]
    if plain_schemes:
        third += "_" + ",".join(f"{code:04x}" for code in plain_schemes)
    return f"{first}_{second}_{short_sha256(third) if third else NO_HASH}"
