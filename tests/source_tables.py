"""What the sources of policies refuse, by IANA's names alone: tables that know nothing of how the policies are written.

Each says of a handshake whether the source refuses it, or advises against it: its version, suite, group, signature and
certificate. Numbers of sections are those of the sources. ``aws_tables`` has those of AWS's own policies.
"""

import re
from collections.abc import Callable
from typing import NamedTuple


class Shake(NamedTuple):
    """A handshake: what does not apply to it, or is encrypted, is None."""

    version: str
    suite: str
    group: str | None = None
    signature: str | None = None
    key: str | None = None  # of the server's certificate: its kind, and bits or curve
    signed: str | None = None  # the signature under it

    @property
    def digest(self) -> str | None:
        """The hash of the signature under the certificate; EdDSA has its own."""
        found = re.search("md5|sha1|sha224|sha256|sha384|sha512", (self.signed or "").lower())
        return found[0] if found else self.signed

    @property
    def is_1_3(self) -> bool:
        return self.version.endswith("1.3")

    @property
    def exchange(self) -> str:
        """How keys are exchanged, as the suite's name has it; a suite of TLS 1.3 has nothing of it in its name."""
        before, found, _ = self.suite.partition("_WITH_")
        return before.removeprefix("TLS_").removeprefix("SSL_") if found else ""

    @property
    def cipher(self) -> str:
        return self.suite.partition("_WITH_")[2] or self.suite.removeprefix("TLS_")

    @property
    def is_ephemeral(self) -> bool:
        return (
            not self.exchange
            or re.match(r"(EC)?DHE(_|$)|PSK_DHE$|(EC)?DH_anon|SRP|ECCPWD|CECPQ1", self.exchange) is not None
        )


Table = Callable[[Shake], bool]
OLD = ("SSL 2.0", "SSL 3.0", "TLS 1.0", "TLS 1.1", "DTLS 1.0", "TLCP 1.1")
NIST_EC = ("secp256r1", "secp384r1", "secp521r1")
NO_CIPHER = ("NULL", "SHA256_SHA256", "SHA384_SHA384")
WEAK_CURVES = re.compile(r"(?:sect|secp)1\d\d\w+|arbitrary\w+|P-192")


def is_broken(one: Shake) -> bool:
    """No encryption, RC4, export strength, less than 112 bits, nobody authenticated."""
    words = one.cipher.split("_")
    weak = {"NULL", "RC4", "RC2", "DES40", "DES"} & set(words) or "EXPORT" in one.suite or "anon" in one.exchange
    return bool(weak) or one.cipher in NO_CIPHER


def bits_of_prime(group: str) -> int | None:
    found = re.fullmatch(r"(?:dh|ffdhe)(\d+)", group)
    return int(found[1]) if found else None


def is_weak_group(one: Shake, least: int = 2048) -> bool:
    """SP 800-57 part 1: 112 bits of strength are 2048 bits of a finite field, 224 of a curve."""
    bits = bits_of_prime(one.group or "")
    return bits < least if bits is not None else WEAK_CURVES.fullmatch(one.group or "") is not None


def is_weak_signature(one: Shake) -> bool:
    """MD5 or SHA-1, which is also what TLS 1.0 and 1.1 sign with."""
    return one.signature is not None and one.signature.endswith(("md5", "sha1"))


def is_weak_key(one: Shake, least: int = 2048, curve: int = 224) -> bool:
    """Keys of less strength than ``least`` bits of RSA's or DSA's, or ``curve`` bits of a curve's, and what MD5 or SHA-1 signed."""
    if one.key is None:
        return False
    if one.digest in ("md5", "sha1"):
        return True
    kind, size = one.key.split()
    if kind in ("rsa", "dsa"):
        return int(size) < least
    digits = re.search(r"\d{3}", size)
    return kind == "ecdsa" and digits is not None and int(digits[0]) < curve


def rfc9325(one: Shake) -> bool:
    """RFC 9325 3.1.1, 4.1, 4.5; RFC 9155: must not, or should not."""
    weak = "3DES" in one.suite or not one.is_ephemeral or re.match(r"(PSK_)?DHE", one.exchange) is not None
    return (
        one.version in OLD or is_broken(one) or weak or is_weak_group(one) or is_weak_signature(one) or is_weak_key(one)
    )


def rfc10015(one: Shake) -> bool:
    """RFC 10015 2 to 4 besides, whose suites RFC 9325 advises against already, but for RSA_PSK's."""
    return rfc9325(one) or re.match(r"(RSA|DH|DHE|ECDH|PSK_DHE)(_|$)", one.exchange) is not None


def pinpoint(one: Shake) -> bool:
    """The guide asks for TLS 1.2 and DHE or ECDHE; what is no encryption, or none that protects, does not count."""
    return one.version in OLD or is_broken(one) or not one.is_ephemeral or is_weak_group(one)


def pci(one: Shake) -> bool:
    """PCI DSS 4.2.1 and its glossary: 112 bits of strength; no SHA-1 in signatures, and no 3DES, MD5 in MACs or old versions."""
    poor = "3DES" in one.suite or one.suite.endswith("MD5")
    return (
        one.version in OLD or is_broken(one) or poor or is_weak_group(one) or is_weak_signature(one) or is_weak_key(one)
    )


def nist(one: Shake) -> bool:
    """SP 800-52r2 3.1, 3.2, 3.3.1, 3.4.2.2, table 3-1: AES with (EC)DHE, on curves and in fields of SP 800-56A."""
    suite = re.fullmatch(r"(AES_(128|256)_(GCM|CCM|CCM_8|CBC)_?(SHA(256|384)?)?)", one.cipher) is None
    group = is_weak_group(one) or not (
        one.group is None
        or bits_of_prime(one.group)
        or one.group in ("secp224r1", *NIST_EC, "SecP256r1MLKEM768", "SecP384r1MLKEM1024")
    )
    signature = one.signature is not None and not re.fullmatch(r"(rsa|ecdsa)_.*sha(224|256|384|512).*", one.signature)
    key = one.key is not None and not re.fullmatch(r"rsa (2048|3072|4096)|ecdsa (prime256v1|secp384r1)", one.key)
    # 3.1: TLS 1.3 is to be supported by 2024; 3.3.1: ephemeral keys are preferred to static ones
    return (
        not one.is_1_3
        or suite
        or not one.is_ephemeral
        or "anon" in one.exchange
        or group
        or signature
        or key
        or is_weak_key(one)
    )


def cnsa_1(one: Shake) -> bool:
    """RFC 9151 5, 6, 7: five suites, P-384 and two finite fields, SHA-384, RSA of 3072 or 4096 bits and P-384."""
    listed = ("ECDHE_ECDSA", "ECDHE_RSA", "RSA", "DHE_RSA", "")
    return (
        one.version in OLD
        or one.exchange not in listed
        or one.cipher != "AES_256_GCM_SHA384"
        or one.group not in (None, "secp384r1", "ffdhe3072", "ffdhe4096")
        or one.signature
        not in (None, "rsa_pkcs1_sha384", "rsa_pss_rsae_sha384", "rsa_pss_pss_sha384", "ecdsa_secp384r1_sha384")
        or one.key not in (None, "rsa 3072", "rsa 4096", "ecdsa secp384r1")
        or one.signed not in (None, "sha384WithRSAEncryption", "ecdsa-with-SHA384", "rsassaPss (sha384)")
    )


def cnsa_2(one: Shake) -> bool:
    """draft-becker-cnsa2-tls-profile-03: TLS 1.3 with one suite and ML-KEM-1024."""
    return not one.is_1_3 or one.suite != "TLS_AES_256_GCM_SHA384" or one.group != "MLKEM1024"


def bsi(one: Shake) -> bool:
    """TR-02102-2 3.2, 3.3.1 to 3.3.3, 3.4, 3.6: AES, (EC)DHE, its curves, 3000 bits, RSA, DSA and ECDSA with SHA-2."""
    suite = re.fullmatch(r"AES_(128|256)_(GCM|CBC)_SHA(256|384)|AES_(128|256)_CCM(_SHA256)?", one.cipher) is None
    listed = r"secp(256|384|521)r1|brainpoolP\w+|ffdhe(3072|4096)|SecP(256|384)r1MLKEM\d+"
    # A prime of the server's own, or another's, if it is long enough.
    is_prime = bool(bits_of_prime(one.group or "")) and not one.is_1_3
    group = is_weak_group(one, 3000) or not (one.group is None or is_prime or re.fullmatch(listed, one.group))
    signature = one.signature is not None and not re.fullmatch(r"(rsa_pss|dsa|ecdsa)_.*sha(256|384|512)", one.signature)
    key = one.key is not None and not re.fullmatch(
        r"(rsa|dsa) (3072|4096)|ecdsa (prime256v1|secp384r1|secp521r1|brainpoolP\d+r1)", one.key
    )
    signed = one.digest in ("sha224", "md5", "sha1") or "WithRSA" in (one.signed or "")
    return (
        one.version in OLD
        or suite
        or not one.is_ephemeral
        or "anon" in one.exchange
        or group
        or signature
        or key
        or signed
        or is_weak_key(one, 3000, 250)
    )


def anssi(one: Shake) -> bool:
    """SDE-NT-35 2.1 to 2.3, 3.1: (EC)DHE, AES, ChaCha20, Camellia and ARIA, AEAD or HMAC with SHA-2, its groups, SHA-2."""
    suite = (
        re.fullmatch(
            r"(AES|CAMELLIA|ARIA)_\d+_(GCM_SHA\d+|CBC_SHA(256|384)|CCM(_8)?(_SHA256)?)|AES_128_CCM_8_SHA256|CHACHA20_POLY1305_SHA256(_OLD)?",
            one.cipher,
        )
        is None
    )
    exchange = one.exchange not in (
        "",
        "ECDHE_RSA",
        "ECDHE_ECDSA",
        "ECDHE_PSK",
        "DHE_RSA",
        "DHE_DSS",
        "DHE_PSK",
        "PSK_DHE",
    )
    groups = r"secp(256|384|521)r1|x25519|x448|brainpoolP\w+|ffdhe\d+|dh\d+|X25519MLKEM768|SecP(256|384)r1MLKEM\d+"
    group = one.group is not None and (is_weak_group(one) or not re.fullmatch(groups, one.group))
    signature = (
        one.signature is not None and re.fullmatch(r"(rsa|dsa|ecdsa)_.*sha(256|384|512)|ed\d+", one.signature) is None
    )
    key = is_weak_key(one, 2048, 256) or one.digest == "sha224" or (one.key or "").startswith("dsa")
    return one.version in OLD or suite or exchange or group or signature or key


def mozilla(kind: str, edition: str) -> Table:
    """The guidelines' JSON: versions, suites, groups, kinds of certificates."""
    gcm = [
        f"{kx}_WITH_{cipher}"
        for kx in ("ECDHE_ECDSA", "ECDHE_RSA")
        for cipher in ("AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256")
    ]
    dhe = [
        f"DHE_RSA_WITH_{cipher}" for cipher in ("AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256")
    ]
    suites = {f"TLS_{one}" for one in ("AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256")}
    if kind == "intermediate":
        suites |= {f"TLS_{one}" for one in (gcm if edition == "6.0" else [*gcm, *dhe])}
    groups = {None, "x25519", "secp256r1", "secp384r1"} | ({"X25519MLKEM768"} if edition == "6.0" else set())
    groups |= {"ffdhe2048", "ffdhe3072"} if (kind, edition) == ("intermediate", "5.7") else set()

    def table(one: Shake) -> bool:
        version = one.version in OLD or (kind == "modern" and not one.is_1_3)
        group = one.group not in groups
        key = one.key is not None and not re.fullmatch(r"rsa (2048|3072|4096)|ecdsa (prime256v1|secp384r1)", one.key)
        return (
            version
            or one.suite not in suites
            or group
            or is_weak_signature(one)
            or key
            or one.digest in ("md5", "sha1", "sha224")
        )

    return table


def post_quantum(one: Shake) -> bool:
    """RFC 10024: a key exchange with ML-KEM; drafts do not count."""
    return one.group is None or "MLKEM" not in one.group


def fips(one: Shake) -> bool:
    """SP 800-140C, SP 800-56A, SP 800-131A: AES, approved groups, no transport of keys by RSA, SHA-2 and approved keys."""
    approved = (
        r"secp(224|256|384|521)r1|sect(233|283|409|571)[kr]1|ffdhe\d+|MLKEM\d+|(X25519|SecP256r1)MLKEM768|SecP384r1MLKEM1024"
        r"|SecP256r1Kyber768Draft00"
    )
    suite = "AES" not in one.cipher.split("_") or "anon" in one.exchange or "EXPORT" in one.suite
    exchange = re.match(r"(RSA|KRB5|SRP|ECCPWD|CECPQ1)(_|$)", one.exchange) is not None
    group = one.group is not None and re.fullmatch(approved, one.group) is None
    signature = one.signature is not None and not re.fullmatch(
        r"(rsa|ecdsa)_.*sha(224|256|384|512).*|ed\d+", one.signature
    )
    key = is_weak_key(one) or (one.key or "").startswith("dsa") or (one.key or "").endswith("secp256k1")
    return one.version in OLD or suite or exchange or group or signature or key


TABLES: dict[str, Table] = {
    "rfc9325": rfc9325, "rfc10015": rfc10015, "aws-pinpoint": pinpoint, "pci-dss-4.0.1": pci, "nist-800-52r2": nist,
    "cnsa-1.0": cnsa_1, "cnsa-2.0": cnsa_2, "bsi-tr-02102-2": bsi, "anssi": anssi, "pq-ready": post_quantum, "fips-endpoints": fips,
    **{f"mozilla-{kind}-{edition}": mozilla(kind, edition) for kind in ("modern", "intermediate") for edition in ("5.7", "6.0")},
}  # fmt: skip
