"""What rules may ask of flows, as far as their packets alone show it."""

from typing import Any

import numpy as np

from auditor.audit.described import Described
from auditor.flows.state import AGREED, NEGOTIATES, RENEGOTIATED, SEEN_EARLY_DATA, SEEN_SERVER_HELLO, UPGRADE_OF_LOGIN
from auditor.paths.model import is_public
from auditor.policy.facts import DAY, NO, FlowFacts, fact
from auditor.recognise.numbers import SSH_WEAK
from auditor.tables.columns import MISSING, Numbers, Texts
from auditor.tables.versions import rank_of
from auditor.tls.delivery import FAILURES, NOT_KNOWN
from auditor.tls.ssh import WEAK_NAMES

Array = np.ndarray[Any, Any]
LONGEST_ATTEMPTS = 4096  # bytes: more than WireGuard's eighteen initiations (its section 6.4)
SHORTEST_EXCHANGE = 256  # bytes: SSH's shortest lists of algorithms, and a public key


class DescribedFacts(FlowFacts):
    """What rules may ask of flows, as far as their packets alone show it."""

    def __init__(self, described: Described) -> None:
        self.described = described

    def _texts(self, name: str) -> Texts:
        return self.described.handshakes.texts[name].take(self.described.handshake)

    def _numbers(self, name: str) -> Numbers:
        return self.described.handshakes.numbers[name].take(self.described.handshake)

    def _seen(self, bits: int) -> Array:
        """Whether any of these bits is set in ``seen`` of each flow's handshake."""
        has, place = self.described.has_handshake, self.described.handshake
        seen = np.zeros(len(has), bool)
        seen[has] = (self.described.rows.handshakes["seen"][place[has]] & np.uint32(bits)) != 0
        return seen

    @fact
    def day(self) -> Array:
        """When the flow began, in days since 1970, UTC."""
        return np.asarray(self.described.rows.flows["started"] // DAY)

    @fact
    def in_scope(self) -> Array:
        """To an endpoint of an AWS service."""
        return self.described.services.is_endpoint

    @fact
    def is_pinpoint(self) -> Array:
        """To an endpoint of Pinpoint or AWS End User Messaging."""
        return self.described.services.is_pinpoint

    @fact
    def is_tls(self) -> Array:
        """TLS, with its handshake or without."""
        return self.described.is_tls

    @fact
    def has_handshake(self) -> Array:
        """The capture holds a handshake of the flow."""
        return self.described.has_handshake

    @fact
    def version(self) -> Array:
        """Rank, see ``tables.versions``; -1: none negotiated (or a version nobody knows)."""
        return _ranks(self.version_name)

    @fact
    def version_offered(self) -> Array:
        """Rank of the highest version that the client offered; -1 for none."""
        return _ranks(self.version_offered_name)

    @fact
    def negotiated(self) -> Array:
        """A ServerHello was seen."""
        return self._seen(SEEN_SERVER_HELLO)

    @fact
    def established(self) -> Array:
        """three-valued: the handshake came to its end."""
        return self._numbers("established").three_valued()

    @fact
    def answered_with(self) -> Texts:
        """What a ClientHello was answered with instead of TLS; None where it was not."""
        return self.described.answered_with

    @fact
    def spoken_before(self) -> Texts:
        """What the client said in clear before TLS began, besides what asks for it; None for nothing."""
        return self.described.spoken_before

    @fact
    def spoken_after(self) -> Texts:
        """What was spoken in clear after TLS began; None where nothing was."""
        return self.described.spoken_after

    @fact
    def version_name(self) -> Texts:
        """The negotiated version."""
        return self.described.tls_version

    @fact
    def version_offered_name(self) -> Texts:
        """The highest version that the client offered."""
        return self._texts("tls_version_offered")

    @fact
    def forward_secrecy(self) -> Array:
        """three-valued: forward secrecy was achieved."""
        return self._numbers("forward_secrecy").three_valued()

    @fact
    def forward_secrecy_reason(self) -> Texts:
        """why, in words."""
        return self._texts("forward_secrecy_reason")

    @fact
    def offers_forward_secrecy(self) -> Array:
        """three-valued: the client offers a suite with forward secrecy."""
        return self.described.handshakes.offers_forward_secrecy.take(self.described.handshake).three_valued()

    @fact
    def protocol(self) -> Texts:
        """The application protocol; tls wherever there is a handshake."""
        spoken = self.described.protocol
        tls = len(spoken.values)
        return Texts([*spoken.values, "tls"], np.where(self.described.has_handshake, tls, spoken.index))

    @fact
    def has_payload(self) -> Array:
        """Data was exchanged."""
        ends = self.described.ends
        return np.asarray((ends.client["payload"] + ends.server["payload"]) > 0)

    @fact
    def is_greeting(self) -> Array:
        """No side has sent more than a greeting: less than any exchange of keys takes."""
        ends = self.described.ends
        return np.asarray(np.minimum(ends.client["payload"], ends.server["payload"]) < SHORTEST_EXCHANGE)

    @fact
    def is_unanswered(self) -> Array:
        """One side alone has sent anything, and no more than attempts at a beginning."""
        sent = (self.described.ends.client["payload"], self.described.ends.server["payload"])
        return np.asarray((np.minimum(*sent) == 0) & (np.maximum(*sent) < LONGEST_ATTEMPTS))

    @fact
    def service(self) -> Texts:
        """The AWS service."""
        return self.described.services.service

    @fact
    def imitates(self) -> Array:
        """The server's name contains an AWS name and is not AWS's."""
        return self.described.services.imitates

    @fact
    def name_elsewhere(self) -> Texts:
        """A name of AWS's whose public address is neither AWS's nor given for it by a DNS answer in the capture; None for others."""
        described = self.described
        flows = described.flows
        public = is_public(flows.server_high, flows.server_low)
        elsewhere = public & ~flows.server_aws & ~described.named_by_dns
        # Of others the names are left out: flows that differ in nothing else need not be judged one by one.
        names = described.server_name
        return Texts(names.values, np.where(described.services.is_endpoint & elsewhere, names.index, MISSING))

    @fact
    def server_name(self) -> Texts:
        """The server's name."""
        return self.described.server_name

    @fact
    def status_reason(self) -> Texts:
        """What is missing of the handshake, or wrong with it."""
        return self._texts("status_reason")

    @fact
    def upgrade(self) -> Texts:
        """Whether TLS was offered within another protocol and not used; None where it was not."""
        return self.described.upgrade

    @fact
    def negotiates(self) -> Array:
        """Nothing was said but what agrees on protection, or on a way to the server: what follows is not seen, or not known."""
        return np.asarray((self.described.rows.flows["upgrade"] & NEGOTIATES) != 0)

    @fact
    def agreed(self) -> Array:
        """The algorithms that both sides of SSH agreed on were seen, and are strong."""
        return np.asarray((self.described.rows.flows["upgrade"] & AGREED) != 0)

    @fact
    def weak_algorithm(self) -> Texts:
        """What is weak of the algorithms that both sides of SSH agreed on; None where that is told by nothing."""
        flows = self.described.rows.flows
        return Texts(
            [None, *WEAK_NAMES], np.where(flows["application"] == SSH_WEAK, flows["answer"], 0).astype(np.int64)
        )

    @fact
    def is_of_login(self) -> Array:
        """TLS was agreed on for the log-in alone."""
        return np.asarray((self.described.rows.flows["upgrade"] & UPGRADE_OF_LOGIN) != 0)

    @fact
    def renegotiated(self) -> Array:
        """The two sides agreed anew inside of TLS, in versions that know renegotiation: on what, is encrypted."""
        bits = self.described.rows.flows["upgrade"]
        return np.asarray(((bits & RENEGOTIATED) != 0) & self.has_handshake & (self.version < rank_of("TLS 1.3")))

    @fact
    def hello_outcome(self) -> Array:
        """Codes of tables.OUTCOMES."""
        outcome = Numbers(self.described.delivery.outcome).take(self.described.handshake).values
        return np.where(self.described.has_handshake, outcome, NOT_KNOWN)

    @fact
    def hello_is_large(self) -> Array:
        """The ClientHello takes more than one segment."""
        large = Numbers(self.described.delivery.is_large).take(self.described.handshake).values
        return np.asarray(self.described.has_handshake & large.astype(bool))

    @fact
    def hello_reason(self) -> Array:
        """What became of a ClientHello that was not answered."""
        return _hello_reasons(self.described)

    @fact
    def suite(self) -> Texts:
        """The negotiated suite, by its IANA name."""
        return self._texts("cipher_suite")

    @fact
    def suites_offered(self) -> Texts:
        """The client's suites, with spaces between."""
        return self._texts("cipher_suites_offered")

    @fact
    def group(self) -> Texts:
        """The group of the key exchange."""
        return self._texts("key_exchange_group")

    @fact
    def dh_group(self) -> Texts:
        """What is known of the prime of a DHE key exchange, to TLS 1.2."""
        return self._texts("dh_group")

    @fact
    def public_key(self) -> Texts:
        """What is wrong with a public key of the key exchange, so that anybody can know its result."""
        return self.described.handshakes.public_key.take(self.described.handshake)

    @fact
    def signature_scheme(self) -> Texts:
        """Of the server's key exchange, to TLS 1.2."""
        return self._texts("signature_scheme")

    @fact
    def signatures_offered(self) -> Texts:
        """The client's signature schemes, with spaces between."""
        return self._texts("signature_schemes_offered")

    @fact
    def client_signature(self) -> Texts:
        """Scheme of the client's CertificateVerify, in TLS 1.2."""
        return self.described.handshakes.client_signature.take(self.described.handshake)

    @fact
    def resumption(self) -> Texts:
        """How an earlier session was resumed."""
        return self._texts("resumption")

    @fact
    def early_data(self) -> Array:
        """three-valued: the client offers early data (RFC 8446 4.2.10: it offers it in order to send it)."""
        return self._numbers("early_data").three_valued()

    @fact
    def early_data_sent(self) -> Array:
        """Early data was seen. Where the server's side is not in the capture, what a client that offers none sends is its Finished."""
        return np.asarray(self._seen(SEEN_EARLY_DATA) & (self.early_data != NO))

    @fact
    def encrypt_then_mac(self) -> Array:
        """three-valued: both sides agreed on it (RFC 7366)."""
        return self._numbers("encrypt_then_mac").three_valued()

    @fact
    def truncated_hmac(self) -> Array:
        """three-valued: both sides agreed on it (RFC 6066 7)."""
        return self._numbers("truncated_hmac").three_valued()

    @fact
    def heartbeat(self) -> Array:
        """three-valued: the server accepts heartbeats (RFC 6520)."""
        return self._numbers("heartbeat").three_valued()

    @fact
    def post_quantum_kind(self) -> Texts:
        """Kind of the negotiated group."""
        return self._texts("post_quantum_kind")

    @fact
    def groups_offered(self) -> Texts:
        """The client's groups, with spaces between."""
        return self._texts("groups_offered")

    @fact
    def compression(self) -> Array:
        """The compression method that was chosen, 0 for none."""
        return self._numbers("compression").values

    @fact
    def extended_master_secret(self) -> Array:
        """three-valued: both sides agreed on it (RFC 7627)."""
        return self._numbers("extended_master_secret").three_valued()

    @fact
    def secure_renegotiation(self) -> Array:
        """three-valued: the server knows it (RFC 5746)."""
        return self._numbers("secure_renegotiation").three_valued()

    @fact
    def authentication(self) -> Texts:
        """How the server proved who it is."""
        return self._texts("authentication")

    @fact
    def certificates(self) -> Texts:
        """Key and signature of each certificate of the server's chain, see ``tls.certificate_columns``."""
        return self.described.handshakes.chain.take(self.described.handshake)

    @fact
    def certificate_days(self) -> Texts:
        """For how many days the server's own certificate is good, from its beginning to its end."""
        return self.described.handshakes.lifetime.take(self.described.handshake)

    @fact
    def certificate_unread(self) -> Texts:
        """Why the server's certificates are not known though they were sent in clear."""
        return self.described.handshakes.chain_unread.take(self.described.handshake)

    @fact
    def certificate_matches(self) -> Array:
        """three-valued: the certificate is good for the server name."""
        return self._numbers("certificate_matches").three_valued()

    @fact
    def client_certificates(self) -> Texts:
        """The same of the client's chain; None where it sent none, or where that is encrypted."""
        return self.described.handshakes.client_chain.take(self.described.handshake)

    @fact
    def certificate_invalid(self) -> Texts:
        """Which certificate of the server's chain was not valid when the handshake began, in words; None for none."""
        return self.described.handshakes.invalid.take(self.described.handshake)

    @fact
    def client_certificate_invalid(self) -> Texts:
        """The same of the client's chain."""
        return self.described.handshakes.client_invalid.take(self.described.handshake)

    @fact
    def client_certificate_valid(self) -> Array:
        """three-valued: every certificate of the client's chain was valid when the handshake began."""
        return self.described.handshakes.client_chain_valid.take(self.described.handshake).three_valued()

    @fact
    def certificate_valid(self) -> Array:
        """three-valued: every certificate of the chain was valid when the handshake began."""
        return self.described.handshakes.chain_valid.take(self.described.handshake).three_valued()


def _ranks(names: Texts) -> Array:
    """Ranks of versions; -1 for missing and unknown ones."""
    return np.array([*map(rank_of, names.values), -1])[names.index]


def _hello_reasons(described: Described) -> Array:
    """What happened to the hellos of flows whose hello may not have got through, in words; None for the others."""
    place, delivery = described.handshake, described.delivery
    reasons = np.full(len(place), None, object)
    has = np.flatnonzero(place >= 0)
    for flow in has[np.isin(delivery.outcome[place[has]], FAILURES)].tolist():
        reasons[flow] = delivery.reason(int(place[flow]))
    return reasons
