"""What real stacks said to each other is read to its end: OpenVPN's two ends, eapol_test and FreeRADIUS."""

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
