"""What keys reveal of TLS 1.3's encrypted handshake: the server's certificate and choice of a protocol."""

import shutil
import ssl
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import zstandard

import auditor
from auditor.requests import packed_certificates
from auditor.requests.dissector import Dissector
from tests import carriers, wire

Run = Callable[..., auditor.Audit]
pytestmark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
HANDSHAKE = ("CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET")


@pytest.fixture
def talk(tmp_path: Path) -> tuple[list[bytes], Path]:
    """A TLS 1.3 handshake between two ends of Python's ssl, both with certificates, and the client's key log."""
    server_context, client_context = carriers.context(tmp_path), ssl.create_default_context()
    server_context.verify_mode = ssl.CERT_REQUIRED
    server_context.load_verify_locations(tmp_path / "both.pem")
    client_context.check_hostname, client_context.verify_mode = False, ssl.CERT_NONE
    client_context.load_cert_chain(tmp_path / "both.pem")
    client_context.keylog_filename = str(tmp_path / "keys.log")
    for context in (server_context, client_context):
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.set_alpn_protocols(["h2", "http/1.1"])
    flights = carriers.session(client_context, server_context)
    return wire.Talk().open().play(flights, 700).packets, tmp_path / "keys.log"


def test_with_keys(audit_bytes: Run, talk: tuple[list[bytes], Path]) -> None:
    """Certificates of both sides and the protocol chosen are known, as they are where they are sent in clear."""
    packets, keys = talk
    result = audit_bytes(wire.pcap(packets), keylog=keys)
    row = wire.only(result.handshakes)
    assert (row["tls_version"], row["alpn"], row["authentication"]) == ("TLS 1.3", "h2", "classical")
    assert (row["certificate_matches"], row["certificate_valid"], row["chain_order"]) == (True, True, "self-signed")
    assert (row["signature_scheme"], row["client_certificate_asked"]) == ("ecdsa_secp256r1_sha256", True)
    certificate = wire.only(result.certificates)
    assert certificate["certificate_id"] == row["certificate_id"] == row["client_certificate_id"]
    assert certificate["roles"] == "client server"


def test_expired_ones(audit_bytes: Run, talk: tuple[list[bytes], Path]) -> None:
    """A certificate that keys show is refused once it has expired; without keys nobody knows."""
    packets, keys = talk
    late = wire.pcap([(4_000_000_000 * wire.SECOND + at, packet) for at, packet in enumerate(packets)])
    for keylog, verdict in ((keys, "fail"), ((), "not_observable")):
        said = audit_bytes(late, policy="rfc9325", all_traffic=True, keylog=keylog).verdicts.set_index("rule").verdict
        assert said["BCP121"] == verdict


def test_signatures_are_judged(audit_bytes: Run, talk: tuple[list[bytes], Path], tmp_path: Path) -> None:
    """How both sides signed is judged by the rule on signatures once keys show it; without keys nobody knows."""
    packets, keys = talk
    own = tmp_path / "own.toml"
    own.write_text(
        'id = "own"\ntitle = "Own"\nedition = "1"\nsource = "ours"\nretrieved = 2026-11-01\n[[rule]]\ncode = "OUR101"\n'
        'title = "Schemes"\ncheck = "signature-schemes"\nseverity = "high"\nwhat = "w"\nwhy = "y"\nfix = "f"\nsource = "s"\n'
        'parameters = { allow = ["rsa.*"] }\n'
    )
    for keylog, said in ((keys, "fail"), ((), "not_observable")):
        row = wire.only(audit_bytes(wire.pcap(packets), policy=own, all_traffic=True, keylog=keylog).verdicts)
        assert row["verdict"] == said
        assert ("signed with ecdsa_secp256r1_sha256" in row["reason"]) == (said == "fail")


def test_with_the_handshakes_secrets_alone(audit_bytes: Run, talk: tuple[list[bytes], Path]) -> None:
    """The secrets of the data are not needed for that."""
    packets, keys = talk
    lines = [line for line in keys.read_text(encoding="utf-8").splitlines() if line.startswith(HANDSHAKE)]
    keys.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert wire.only(audit_bytes(wire.pcap(packets), keylog=keys).handshakes)["alpn"] == "h2"


@pytest.mark.parametrize("wrong", [True, False])
def test_without_keys(audit_bytes: Run, talk: tuple[list[bytes], Path], wrong: bool) -> None:
    """Without keys, or with those that do not open it, they stay missing."""
    packets, keys = talk
    lines = [
        line.rsplit(" ", 1) for line in keys.read_text(encoding="utf-8").splitlines() if line.startswith(HANDSHAKE)
    ]
    keys.write_text("".join(f"{head} {'00' * (len(secret) // 2)}\n" for head, secret in lines), encoding="utf-8")
    result = audit_bytes(wire.pcap(packets), **({"keylog": keys} if wrong else {}))
    row = wire.only(result.handshakes)
    assert pd.isna(row["alpn"])
    assert pd.isna(row["certificate_id"])
    assert result.certificates.empty


def packed(algorithm: int, message: bytes, size: int | None = None) -> packed_certificates.UnpackedChain:
    """What is unpacked of a Certificate message that an algorithm packed, or of bytes that only claim to be that."""
    packers: dict[int, Callable[[bytes], bytes]] = {1: zlib.compress, 3: zstandard.compress}
    data = packers.get(algorithm, bytes)(message)
    return packed_certificates.chain(algorithm, len(message) if size is None else size, data)


def listed(*certificates: bytes) -> bytes:
    """The Certificate message of TLS 1.3 (RFC 8446 4.4.2), with an extension behind each certificate."""
    entries = b"".join(len(one).to_bytes(3, "big") + one + b"\0\4\0\x12\0\0" for one in certificates)
    return b"\0" + len(entries).to_bytes(3, "big") + entries


def test_compressed_certificates() -> None:
    """RFC 8879: what zlib and zstd packed is read, within bounds; of all else it is said why it is not known."""
    for algorithm in (1, 3):
        assert packed(algorithm, listed(b"leaf", b"issuer")) == ([b"leaf".hex(), b"issuer".hex()], None)
        assert packed(algorithm, listed()) == ([], None)
        assert packed(algorithm, listed(bytes(60_000))) == (["00" * 60_000], None)
        for size in (len(listed(b"leaf")) - 1, len(listed(b"leaf")) + 1):
            assert packed(algorithm, listed(b"leaf"), size) == ([], packed_certificates.DAMAGED)
        assert packed(algorithm, bytes(1 << 20), 5000) == ([], packed_certificates.DAMAGED)
        assert packed(algorithm, bytes(1 << 20)) == ([], packed_certificates.TOO_LONG)
        assert packed(algorithm, listed(b"leaf")[:-1]) == ([], packed_certificates.DAMAGED)
        assert packed_certificates.chain(algorithm, 40, b"no such stream") == ([], packed_certificates.DAMAGED)
    for algorithm, name in ((2, "brotli"), (4, "algorithm 4")):
        assert name in (packed(algorithm, listed(b"leaf")).unread or "")


def layer(**fields: list[str]) -> Any:
    """A layer of TLS as pyshark has it: ``__`` stands for the dots of a field's name."""
    shown = {
        name.replace("__", "."): [SimpleNamespace(show=one, raw_value=one) for one in values]
        for name, values in fields.items()
    }
    return SimpleNamespace(
        layer_name="tls", _all_fields={name: SimpleNamespace(all_fields=values) for name, values in shown.items()}
    )


def test_a_client_that_renegotiates() -> None:
    """A client's certificate behind both sides' Finished, where no record says that it is encrypted, is that of a renegotiation."""
    shown = layer(tls__handshake__type=["11", "15"], tls__handshake__certificate=["3000"])
    for opened, certificates in (({(1, True)}, None), ({(1, True), (1, False)}, ["3000"])):
        dissector = Dissector({"salt": "", "clear": []})
        dissector.opened = opened
        for from_client in (False, True):
            dissector._flight(SimpleNamespace(flow=1, from_client=from_client), shown)  # type: ignore[arg-type]
        found = dissector.revealed.get((1, True))
        assert (found and found["certificates"]) == certificates
        assert (1, False) not in dissector.revealed


def test_what_cannot_be_unpacked_is_told() -> None:
    """Of compressed certificates the reason is kept; the algorithms that a request lists before them are none of theirs."""
    shown = layer(
        tls__record__opaque_type=["23"],
        tls__handshake__type=["13", "25"],
        tls__compress_certificate__algorithm=["1", "2"],
        tls__compress_certificate__uncompressed_length=["40"],
        tls__compress_certificate__compressed_certificate_message=["00ff"],
    )
    dissector = Dissector({"salt": "", "clear": []})
    dissector._flight(SimpleNamespace(flow=1, from_client=False), shown)  # type: ignore[arg-type]
    found = dissector.revealed[1, False]
    assert found["certificates"] == []
    assert "brotli" in found["unread"]
