"""What real stacks said to each other is read to its end: VPNs, DTLS, databases, mail, WebRTC, 802.1X, RADIUS."""

import pandas as pd
import pytest

import auditor
from tests import wire
from tests.stacks.make import HERE


@pytest.mark.parametrize(
    ("name", "carrier", "version"),
    [
        ("openvpn-udp", "openvpn", "TLS 1.2"),
        ("openvpn-udp-tls-auth", "openvpn", "TLS 1.3"),
        ("openvpn-tcp-tls-auth", "openvpn", "TLS 1.2"),
        ("radius-eap-tls", "radius", "TLS 1.2"),
        ("radius-eap-ttls", "radius", "TLS 1.2"),
    ],
)
def test_handshakes(name: str, carrier: str, version: str) -> None:
    """Version, suite, certificate where it is in clear, and that the handshake came to its end."""
    result = auditor.audit(HERE / f"{name}.pcap")
    row, flow = wire.only(result.handshakes), wire.only(result.flows)
    assert (flow["protocol"], row["starttls"], row["tls_version"]) == (carrier, carrier, version)
    assert (row["status"], row["established"], row["forward_secrecy"]) == ("complete", True, True)
    if version == "TLS 1.2":
        leaf = result.certificates.set_index("certificate_id").loc[row["certificate_id"]]
        assert leaf["subject"] == "CN=server.example.net"
    if name == "radius-eap-tls":
        assert not pd.isna(row["client_certificate_id"])


def test_a_hidden_handshake() -> None:
    """OpenVPN with --tls-crypt is named, and why its handshake is not read."""
    result = auditor.audit(HERE / "openvpn-udp-tls-crypt.pcap")
    assert wire.only(result.flows)["protocol"] == "openvpn"
    assert "--tls-crypt" in wire.only(result.handshakes)["status_reason"]


@pytest.mark.parametrize(
    ("name", "protocol", "starttls", "version"),
    [
        ("openssl-dtls-1.0", "dtls", None, "DTLS 1.0"),
        ("openssl-dtls-1.2", "dtls", None, "DTLS 1.2"),
        ("gnutls-dtls", "dtls", None, "DTLS 1.2"),
        ("webrtc", "dtls", None, "DTLS 1.2"),
        ("stunnel-smtp", "tls", "smtp", "TLS 1.3"),
        ("mariadb", "tls", "mysql", "TLS 1.3"),
        ("mariadb-tls-1.2", "tls", "mysql", "TLS 1.2"),
        ("postgresql", "tls", "postgresql", "TLS 1.3"),
        ("slapd", "tls", "ldap", "TLS 1.3"),
        ("vnc", "tls", "vnc", "TLS 1.3"),
        ("eap-peap", "eap", "eap", "TLS 1.2"),
        ("eap-ttls", "eap", "eap", "TLS 1.2"),
    ],
)
def test_stacks_in_a_namespace(name: str, protocol: str, starttls: str | None, version: str) -> None:
    """Protocol, what came before TLS, version, and that the handshake came to its end with forward secrecy."""
    result = auditor.audit(HERE / f"{name}.pcap")
    row, flow = wire.only(result.handshakes), wire.only(result.flows)
    assert (flow["protocol"], row["tls_version"]) == (protocol, version)
    assert (row["starttls"] if isinstance(row["starttls"], str) else None) == starttls
    assert (row["status"], row["established"], row["forward_secrecy"]) == ("complete", True, True)
    assert wire.only(result.captures)["malformed"] == 0
    assert isinstance(row["certificate_id"], str) == (version != "TLS 1.3")
