"""What AWS's own policies refuse: by the lists of s2n-tls, and by what AWS's pages say of the words in the policies' names."""

import json
import re
import tomllib
from dataclasses import dataclass

from auditor import data
from tests.source_tables import NIST_EC, Shake, Table, bits_of_prime, is_weak_group, is_weak_key


def snapshots() -> dict[str, Table]:
    """AWS's own policies, of the lists as s2n-tls has them."""
    text = data.FOLDER.joinpath("aws_tls_policies.json").read_text(encoding="utf-8")
    tables = {}
    for name, one in json.loads(text)["policies"].items():
        begin = next((words for words in LISTED if name.startswith(words)), None)
        if begin is not None:
            ours = LISTED[begin] + name.removeprefix(begin).lower().replace("_", "-")
            tables[ours] = _listed(one, CLOUDFRONT if begin.startswith("Cloud") else ())
    return tables


LISTED = {
    "ELBSecurityPolicy-": "aws-elb-",
    "CloudFront-": "aws-cloudfront-",
    "KMS-": "aws-kms-",
    "AWS-CRT-SDK-": "aws-crt-",
}
CLOUDFRONT = ("X25519MLKEM768", "SecP256r1MLKEM768")  # its guide: with all of its policies
ECDSA = {"sha256": "ecdsa_secp256r1_sha256", "sha384": "ecdsa_secp384r1_sha384", "sha512": "ecdsa_secp521r1_sha512"}
LEAST = {"SSLv3": 1, "TLS1.0": 2, "TLS1.1": 3, "TLS1.2": 6, "TLS1.3": 8}
STEPS = (
    "SSL 2.0",
    "SSL 3.0",
    "TLS 1.0",
    "TLS 1.1",
    "DTLS 1.0",
    "TLCP 1.1",
    "TLS 1.2",
    "DTLS 1.2",
    "TLS 1.3",
    "DTLS 1.3",
)


def _listed(one: dict[str, list[str]], hybrids: tuple[str, ...]) -> Table:
    schemes = {
        ECDSA[name[6:]] if name in ("ecdsa_sha256", "ecdsa_sha384", "ecdsa_sha512") else name.replace("legacy_", "")
        for name in one["signature_schemes"]
    }
    schemes |= {"rsa_pkcs1_sha224"} if "rsa_sha224" in schemes else set()
    under = {name.rpartition("_")[2] for name in one.get("certificate_signature_schemes", ())}

    def table(shake: Shake) -> bool:
        primes = bits_of_prime(shake.group or "")  # of which the lists say nothing
        return (
            STEPS.index(shake.version) < LEAST[str(one["min_version"])]
            or shake.suite not in one["cipher_suites"]
            or (
                shake.group not in (None, *one["groups"], *hybrids)
                if shake.is_1_3 or not primes
                else is_weak_group(shake)
            )
            or (shake.signature is not None and shake.signature not in schemes)
            or bool(under and shake.signed and (shake.digest not in under or is_weak_key(shake, curve=0)))
        )

    return table


def pages() -> dict[str, Table]:
    """Load balancers and API Gateway: what AWS's pages say of the words in the policies' names."""
    names = tomllib.loads(data.FOLDER.joinpath("aws_listener_policies.toml").read_text(encoding="utf-8"))["policies"]
    prefixes = {"ELBSecurityPolicy-": "aws-elb-", "SecurityPolicy_": "aws-apigateway-"}
    return {
        f"{ours}{name.removeprefix(begin).lower().replace('_', '-')}": Page(name.replace("_", "-")).refuses
        for name in names
        for begin, ours in prefixes.items()
        if name.startswith(begin)
    }


@dataclass(frozen=True)
class Page:
    """What AWS's page says of a policy of load balancers or API Gateway, by its name."""

    name: str

    @property
    def is_strict(self) -> bool:
        return "RFC9151" in self.name and "INTEROP" not in self.name

    @property
    def is_edge(self) -> bool:
        return self.name.endswith("EDGE")

    @property
    def least(self) -> int:
        """The least version, as its place among all."""
        found = re.search(r"TLS13-1-(\d)|TLS(1[23])-", self.name)
        assert found is not None
        return {"0": 2, "1": 3, "2": 6, "3": 8, "12": 6, "13": 8}[found[1] or found[2]]

    @property
    def level(self) -> str:
        """Which suites of TLS 1.2 it takes: policies that take TLS 1.0 or 1.1 take those of Ext2."""
        found = re.search(r"Ext\d|Res|INTEROP\d|PFS|2018", self.name)
        plain = "gateway" if self.name.startswith("Security") else ""
        return "Ext2" if self.least < 6 else found[0] if found else plain

    def takes(self, shake: Shake) -> bool:
        """A suite is taken by its level: GCM, CBC with SHA-2, CBC with SHA-1, each by ECDHE or by RSA."""
        if not shake.exchange:
            if "CHACHA20" in shake.suite:
                return shake.cipher == "CHACHA20_POLY1305_SHA256" and "FIPS" not in self.name
            return shake.cipher == "AES_256_GCM_SHA384" or (shake.cipher == "AES_128_GCM_SHA256" and not self.is_strict)
        by_rsa = shake.exchange == "RSA"
        if self.least == 8 or shake.exchange not in ("RSA", "ECDHE_RSA", "ECDHE_ECDSA"):
            return False
        if self.is_strict:
            return shake.cipher == "AES_256_GCM_SHA384" and (not by_rsa or "Ext0" in self.name)
        if by_rsa and self.level not in ("Ext1", "Ext2", "INTEROP4", "gateway", "2018"):
            return False
        return self._takes_cipher(shake.cipher, by_rsa)

    def _takes_cipher(self, cipher: str, by_rsa: bool) -> bool:
        if cipher == "CHACHA20_POLY1305_SHA256":
            return self.is_edge and not by_rsa
        if re.fullmatch(r"AES_128_CBC_SHA256|AES_256_CBC_SHA(256|384)", cipher):
            return self.level not in ("Res", "PFS", "INTEROP1") and by_rsa == (
                cipher == "AES_256_CBC_SHA256" or (by_rsa and "128" in cipher)
            )
        if re.fullmatch(r"AES_(128|256)_CBC_SHA", cipher):
            return self.level in ("Ext2", "INTEROP4") or (not by_rsa and self.level in ("Ext0", "INTEROP3"))
        return cipher in ("AES_128_GCM_SHA256", "AES_256_GCM_SHA384")

    @property
    def groups(self) -> set[str | None]:
        """Those with PQ in their names take hybrids; with FIPS, no X25519 alone."""
        if self.is_strict:
            return {None, "secp384r1"}
        if self.is_edge:
            return {None, *CLOUDFRONT, "x25519", "secp256r1", "secp384r1"}
        hybrids = {"X25519MLKEM768", "SecP256r1MLKEM768", "SecP384r1MLKEM1024"} if "PQ" in self.name else set()
        return {None, *NIST_EC, *hybrids} | (set() if "FIPS" in self.name else {"x25519"})

    def refuses(self, shake: Shake) -> bool:
        if STEPS.index(shake.version) < self.least or not self.takes(shake) or shake.group not in self.groups:
            return True
        if "RFC9151" not in self.name:
            return False
        hashes = ("sha384",) if self.is_strict else ("sha256", "sha384", "sha512")
        signature = shake.signature is not None and (
            not shake.signature.endswith(hashes) or shake.signature.startswith("dsa")
        )
        pss = self.is_strict and "Pss" in (shake.signed or "")
        return (
            signature
            or pss
            or (shake.signed is not None and (shake.digest not in hashes or is_weak_key(shake, curve=0)))
        )
