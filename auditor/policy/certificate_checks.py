"""Checks of certificates: the server's own, and every other of the chain that it sent."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from auditor.border.words import counted
from auditor.policy.check import (
    NOT_APPLICABLE,
    NOT_OBSERVABLE,
    PASS,
    RESUMED,
    CheckResult,
    JoinedTexts,
    agreed_once,
    check,
    is_given,
    no_handshake,
    unmet,
)
from auditor.policy.facts import NO, UNKNOWN, Facts
from auditor.policy.tls_checks import curve_bits
from auditor.tls.algorithms import NO_CERTIFICATE, RAW_KEY
from auditor.tls.suites import properties

WEAK_HASHES = ("md2", "md4", "md5", "sha1", "ripemd")  # RIPEMD-160 gives 80 bits of strength against collisions
_SHA = re.compile(r"sha(?:512[-/]|3-)?(224|256|384|512)")  # also SHA-512/256 and SHA-3
# Algorithms with a hash of their own (RFC 8032, FIPS 204 and 205), and SHAKE (RFC 8692: as strong as SHA-256 and SHA-512).
_OWN_HASH = re.compile(r"ed(?:25519|448)|(?:ml|slh)-dsa.*|.*shake(?:128|256).*")
USUAL_EXPONENT = 65537
LONGEST_SHOWN = 20  # digits of an exponent that a reason has room for


class Shown(NamedTuple):
    """One certificate of a chain, as ``tls.certificate_columns`` describes it; ``exponent`` is an RSA key's, None where it is not known."""

    kind: str
    size: str
    signed: str
    exponent: int | None

    @classmethod
    def all_of(cls, chain: str) -> "list[Shown]":
        """The certificates of a chain, the server's or the client's own first."""
        return [cls._of(one) for one in chain.split(";")]

    @classmethod
    def _of(cls, text: str) -> "Shown":
        kind, size, signed, *exponent = text.split("\t")
        if not exponent:
            return cls(kind, size, signed, USUAL_EXPONENT if kind == "rsa" else None)
        return cls(kind, size, signed, None if exponent[0] == "?" else int(exponent[0]))

    @property
    def exponent_words(self) -> str:
        """What a reason says of the exponent."""
        digits = str(self.exponent)
        return digits if len(digits) <= LONGEST_SHOWN else f"of {(self.exponent or 0).bit_length()} bits"


class Strength(NamedTuple):
    """What a rule asks of keys and signatures: least bits by type of key; empty lists ask nothing."""

    bits: dict[str, int]
    rsa_sizes: tuple[int, ...]
    ec_bits: int
    curves: tuple[str, ...]
    kinds: tuple[str, ...]
    signatures: tuple[str, ...]
    hash_bits: int

    def objection(self, one: Shown) -> str | None:
        """What is wrong with a key, or with the signature under it; None for nothing."""
        # RFC 8017 3.1: from 3 on, and odd. With 1 every text is its own signature, and an even one has no private key.
        if one.exponent is not None and (one.exponent < 3 or one.exponent % 2 == 0):
            return f"RSA key with the public exponent {one.exponent_words}, which protects nothing"
        return self._objection_to_key(one.kind, one.size) or self._objection_to_signature(one.signed)

    def _objection_to_key(self, kind: str, size: str) -> str | None:
        if self.kinds and kind not in self.kinds:
            return f"{kind} key"
        is_short = kind in self.bits and size.isdigit() and int(size) < self.bits[kind]
        is_other = kind == "rsa" and size.isdigit() and bool(self.rsa_sizes) and int(size) not in self.rsa_sizes
        if is_short or is_other:
            return f"{kind.upper()} key of {size} bits"
        if kind != "ecdsa":
            return None
        bits = curve_bits(size.lower())
        if (self.curves and size not in self.curves) or (self.ec_bits and (bits is None or bits < self.ec_bits)):
            return f"key on {size}"
        return None

    def _objection_to_signature(self, signed: str) -> str | None:
        """``signed``: the algorithm, or the weak hash alone; ``-`` for a root, ``?`` where it is not known; a raw public key has none."""
        if signed in ("-", RAW_KEY):
            return None
        lower = signed.lower()
        short = _SHA.search(lower)
        if any(weak in lower for weak in WEAK_HASHES) or (short is not None and int(short[1]) < self.hash_bits):
            return f"signed with {signed}"
        if self.signatures and not any(re.fullmatch(pattern, signed) for pattern in self.signatures):
            return f"signed with {signed}"
        return None

    def is_hash_known(self, signed: str) -> bool:
        """Whether a signature without objection has one of the hashes known to be strong, or is of ``signatures``."""
        lower = signed.lower()
        return (
            bool(self.signatures)
            or signed in ("-", RAW_KEY)
            or _SHA.search(lower) is not None
            or _OWN_HASH.fullmatch(lower) is not None
        )


@check(
    "rsa_bits",
    "rsa_sizes",
    "dsa_bits",
    "ec_bits",
    "curves",
    "kinds",
    "leaf_kinds",
    "signatures",
    "hash_bits",
    "match",
    "client_certificates",
    of_any_server=True,
)
def certificate_strength(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """Every certificate of the server's chain has a strong key and a strong signature; a root's signature does not count.

    ``rsa_bits`` and ``dsa_bits``: least length of such keys; ``rsa_sizes``: lengths of RSA keys allowed; ``ec_bits``: of curves; ``curves``: those allowed;
    ``kinds``: types of keys allowed, ``leaf_kinds``: of the server's own certificate; ``signatures``: patterns of signatures allowed; ``hash_bits``: least
    length of their hashes (SHA-224 is one of 224). MD5, SHA-1 and RIPEMD never are, and hashes that are not known do not pass.
    With ``match`` each is also valid when seen, and the server's own good for its name. With ``client_certificates`` the client's
    chain, where it sent one, has to be as good.
    """
    curves, kinds, signatures = (
        tuple(str(one) for one in parameters.get(name, [])) for name in ("curves", "kinds", "signatures")
    )
    strength = Strength(
        bits={"rsa": int(parameters.get("rsa_bits", 2048)), "dsa": int(parameters.get("dsa_bits", 2048))},
        rsa_sizes=tuple(int(size) for size in parameters.get("rsa_sizes", [])),
        ec_bits=int(parameters.get("ec_bits", 0)),
        curves=curves,
        kinds=kinds,
        signatures=signatures,
        hash_bits=int(parameters.get("hash_bits", 0)),
    )
    leaf_kinds = [str(kind) for kind in parameters.get("leaf_kinds", [])]
    answer = _by_chain(facts, required, bool(parameters.get("client_certificates")), _strong(strength, leaf_kinds))
    if parameters.get("match"):
        answer.put(facts.certificate_matches == NO, unmet(required), "the certificate is not good for the server name")
        raw = _is_raw(facts.certificates)
        answer.put(
            raw & (answer.verdict == PASS), NOT_OBSERVABLE, f"a {RAW_KEY}: whose it is, the traffic does not say"
        )
        _put_validity(facts, required, bool(parameters.get("client_certificates")), answer)
        no_handshake(facts, answer)
    return answer


@check("exponent_from", "exponent_bits", "client_certificates", of_any_server=True)
def rsa_exponents(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """The public exponent of every RSA key of the chain is odd, at least ``exponent_from`` and of at most ``exponent_bits`` bits."""
    least, most = int(parameters.get("exponent_from", USUAL_EXPONENT)), int(parameters.get("exponent_bits", 256))

    def judge(chain: list[Shown], required: bool) -> Judged:
        keys = [one for one in chain if one.kind == "rsa"]
        if not keys:
            return NOT_APPLICABLE, "no RSA key"
        for one in keys:
            exponent = one.exponent
            if exponent is not None and not (exponent % 2 and least <= exponent and exponent.bit_length() <= most):
                return unmet(required), f"RSA key with the public exponent {one.exponent_words}"
        if any(one.exponent is None for one in keys):
            return NOT_OBSERVABLE, "the exponent of an RSA key cannot be parsed"
        return PASS, f"RSA with the public exponent {keys[0].exponent_words}"

    return _by_chain(facts, required, bool(parameters.get("client_certificates")), judge)


@check("curves", "client_certificates", of_any_server=True)
def certificate_curves(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """Every ECDSA key of the chain is on one of ``curves``."""
    curves = [str(name) for name in parameters.get("curves", [])]

    def judge(chain: list[Shown], required: bool) -> Judged:
        found = [one.size for one in chain if one.kind == "ecdsa"]
        if not found:
            return NOT_APPLICABLE, "no ECDSA key"
        other = next((size for size in found if size not in curves), None)
        if other == "?":
            return NOT_OBSERVABLE, "the curve of a key cannot be parsed"
        return (PASS, f"ECDSA key on {found[0]}") if other is None else (unmet(required), f"ECDSA key on {other}")

    return _by_chain(facts, required, bool(parameters.get("client_certificates")), judge)


@check("client_certificates", of_any_server=True)
def no_raw_keys(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """Keys are shown in certificates, not alone (RFC 7250)."""

    def judge(chain: list[Shown], required: bool) -> Judged:
        if chain[0].signed == RAW_KEY:
            return unmet(required), f"a {RAW_KEY}"
        return PASS, "a certificate"

    return _by_chain(facts, required, bool(parameters.get("client_certificates")), judge)


@check("days", of_any_server=True)
def certificate_lifetime(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """The server's own certificate is good for at most ``days``, from its beginning to its end."""
    most = int(parameters.get("days", 366))
    answer = _by_chain(facts, required, False, lambda *_: (NOT_OBSERVABLE, "how long is not known"))
    answer.put(_is_raw(facts.certificates), NOT_APPLICABLE, f"a {RAW_KEY}")
    for at in np.flatnonzero(is_given(facts.certificate_days)).tolist():
        days = int(facts.certificate_days[at])
        answer.verdict[at] = PASS if days <= most else unmet(required)
        answer.reason[at] = (
            f"a certificate good for {counted(days, 'day')}{'' if days <= most else f', {most} are the most'}"
        )
    agreed_once(facts, answer)
    return answer


@check("client_certificates", of_any_server=True)
def certificate_validity(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """Every certificate of the chain was valid when the handshake began; a root, which is trusted as it is, is not judged (RFC 5280 6.1)."""
    answer = _by_chain(facts, required, False, lambda *_: (PASS, "every certificate was valid when seen"))
    answer.put(_is_raw(facts.certificates), NOT_APPLICABLE, f"a {RAW_KEY}")
    _put_validity(facts, required, bool(parameters.get("client_certificates")), answer)
    no_handshake(facts, answer)
    return answer


Judged = tuple[int, str]
JudgeOfChain = Callable[[list[Shown], bool], Judged]


def _by_chain(facts: Facts, required: bool, with_clients: bool, judge: JudgeOfChain) -> CheckResult:
    """The verdicts on servers' chains; of clients' ones, where they count, only what is worse."""
    answer = CheckResult.of(facts, NOT_OBSERVABLE, "the certificate is encrypted, or not in the capture")
    answer.put(is_given(facts.resumption), NOT_OBSERVABLE, f"no certificate is sent: {RESUMED}")
    answer.put(is_given(facts.certificate_unread), NOT_OBSERVABLE, facts.certificate_unread)
    answer.put(facts.certificate_unread == NO_CERTIFICATE, unmet(required), NO_CERTIFICATE)
    without = np.array([_has_no_certificate(suite) for suite in facts.suite], bool)
    answer.put(facts.negotiated & without, NOT_APPLICABLE, "a key exchange without a certificate")
    for at in np.flatnonzero(is_given(facts.certificates)).tolist():
        answer.verdict[at], answer.reason[at] = judge(Shown.all_of(facts.certificates[at]), required)
    if with_clients:
        for at in np.flatnonzero(is_given(facts.client_certificates)).tolist():
            verdict, reason = judge(Shown.all_of(facts.client_certificates[at]), required)
            if verdict > answer.verdict[at]:
                answer.verdict[at], answer.reason[at] = verdict, f"of the client: {reason}"
    agreed_once(facts, answer)
    no_handshake(facts, answer)
    return answer


def _put_validity(facts: Facts, required: bool, with_clients: bool, answer: CheckResult) -> None:
    """Chains that were not valid when seen; what would pass does not where that is not known."""
    chains = [(facts.certificates, facts.certificate_valid, facts.certificate_invalid, "a certificate")]
    if with_clients:
        of_client = (facts.client_certificates, facts.client_certificate_valid, facts.client_certificate_invalid)
        chains.append((*of_client, "a certificate of the client"))
    for shown, valid, fault, which in chains:
        unknown = is_given(shown) & ~_is_raw(shown) & (valid == UNKNOWN) & (answer.verdict == PASS)
        answer.put(unknown, NOT_OBSERVABLE, f"when {which} is valid cannot be parsed")
        words = np.array([f": {one}" if one is not None else "" for one in fault.tolist()], object)
        answer.put(valid == NO, unmet(required), JoinedTexts(f"{which} was not valid when seen", words))


def _is_raw(chains: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Where a raw public key (RFC 7250) stands in place of a chain: it has no times."""
    return np.array([chain is not None and chain.endswith(RAW_KEY) for chain in chains], bool)


def _strong(strength: Strength, leaf_kinds: list[str]) -> JudgeOfChain:
    """Judges chains by what is asked of keys and signatures: the first objection counts."""

    def judge(chain: list[Shown], required: bool) -> Judged:
        unknown: str | None = None  # what could not be parsed, or is not known, passes no rule
        for number, one in enumerate(chain):
            objection = strength.objection(one)
            if number == 0 and leaf_kinds and one.kind not in leaf_kinds:
                objection = f"{one.kind} key"
            if one.kind == "?" or (one.size == "?" and one.kind in ("rsa", "dsa", "ecdsa")):
                unknown = "a certificate of the chain cannot be parsed"
            elif objection is not None:
                which = f"certificate {number + 1} of the chain" if number else _what(one.signed)
                return unmet(required), f"{which}: {objection}"
            elif not strength.is_hash_known(one.signed):
                unknown = unknown or f"a certificate is signed with {one.signed}, whose hash is not known"
        if unknown is not None:
            return NOT_OBSERVABLE, unknown
        own = chain[0]
        return PASS, f"{_what(own.signed)} with {own.kind}{'' if own.size == '?' else f' {own.size}'}"

    return judge


def _what(signed: str) -> str:
    """What a server or client shows its key in (RFC 7250)."""
    return RAW_KEY if signed == RAW_KEY else "certificate"


def _has_no_certificate(suite: str | None) -> bool:
    """Whether a suite does without the server's certificate: anonymous, or with pre-shared keys that RSA does not protect."""
    known = properties(suite)
    if known is None:
        return False
    return (
        known.anonymous
        or known.key_exchange == "PSK"
        or (known.authentication == "PSK" and known.key_exchange != "RSA")
    )
