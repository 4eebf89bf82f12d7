"""Handshakes between real stacks on loopback, recorded by a relay: every STARTTLS dialogue of OpenSSL, and DTLS."""

import contextlib
import select
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import pytest

import auditor
from tests import wire
from tests.conftest import HANG

NAME = "email-smtp.us-east-1.amazonaws.com"
LOOPBACK = "127.0.0.1"
Run = Callable[..., auditor.Audit]
pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")

# What the server says: at once, and after each of the client's turns; TLS begins after the last.
GREETING = (
    b"\x4a\0\0\0\x0a8.0.36\0"
    b"\x08\0\0\0"
    b"saltsalt\0"
    b"\xff\xff\x2d\2\0\xff\xc7\x15" + bytes(10) + b"saltsaltsalt\0mysql_native_password\0"
)
DIALOGUES: dict[str, list[bytes]] = {
    "smtp": [
        b"220 mail.example ESMTP\r\n",
        b"250-mail.example\r\n250-SIZE 1000\r\n250 STARTTLS\r\n",
        b"220 go ahead\r\n",
    ],
    "pop3": [b"+OK ready\r\n", b"+OK begin\r\n"],
    "imap": [b"* OK ready\r\n", b"* CAPABILITY IMAP4rev1 STARTTLS\r\n. OK done\r\n", b". OK begin\r\n"],
    "ftp": [b"220 FTP server ready\r\n", b"234 AUTH TLS ok\r\n"],
    "xmpp": [
        b"",
        (
            b"<?xml version='1.0'?><stream:stream xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
            b"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>"
        ),
        b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    ],
    "irc": [b"", b":irc.example 670 me :STARTTLS successful, go ahead\r\n"],
    "mysql": [len(GREETING[4:]).to_bytes(3, "little") + GREETING[3:], b""],  # the hello follows the request at once
    "postgres": [b"", b"S"],
    "nntp": [b"200 news.example ready\r\n", b"101 list\r\nVERSION 2\r\nSTARTTLS\r\n.\r\n", b"382 continue\r\n"],
    "sieve": [b'"IMPLEMENTATION" "test"\r\n"STARTTLS"\r\nOK "ready"\r\n', b"OK begin\r\n"],
    "ldap": [b"", b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\0\x04\0\x04\0"],
}
NAMES = {"postgres": "postgresql"}
SSL_REQUEST = 36  # bytes of MySQL's: a client that waits for no answer may send more in the same segment


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A key and its certificate, generated for this test."""
    folder = tmp_path_factory.mktemp("keys")
    key, certificate = str(folder / "key.pem"), str(folder / "cert.pem")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate]
    subprocess.run([*command, "-subj", f"/CN={NAME}", "-days", "30"], check=True, capture_output=True)
    return key, certificate


def openssl(port: int, *arguments: str) -> list[str]:
    return ["openssl", "s_client", "-connect", f"{LOOPBACK}:{port}", "-servername", NAME, *arguments]


def gnutls(port: int) -> list[str]:
    return ["gnutls-cli", "--insecure", "--sni-hostname", NAME, "--port", str(port), LOOPBACK]


def record(dialogue: list[bytes], keys: tuple[str, str], client: Callable[[int], list[str]]) -> list[tuple[str, bytes]]:
    """Let a client speak with a scripted server that ends TLS; the flights that went by."""
    flights: list[tuple[str, bytes]] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys[1], keys[0])
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()

    def serve(listener: socket.socket) -> None:
        plain, _ = listener.accept()
        with plain:
            plain.settimeout(HANG)

            def say(data: bytes) -> None:
                if data:
                    flights.append(("s", data))
                    plain.sendall(data)

            def hear(most: int = 65536) -> bytes:
                data = plain.recv(most)
                if data:
                    flights.append(("c", data))
                return data

            say(dialogue[0])
            for answer in dialogue[1:]:
                hear() if answer else hear(SSL_REQUEST)
                say(answer)
            tls = context.wrap_bio(incoming, outgoing, server_side=True)
            while True:
                try:
                    tls.do_handshake()
                except ssl.SSLWantReadError:
                    say(outgoing.read())
                    data = hear()
                    if not data:
                        return
                    incoming.write(data)
                else:
                    say(outgoing.read())
                    return

    with socket.create_server((LOOPBACK, 0)) as listener:
        listener.settimeout(HANG)
        worker = threading.Thread(target=serve, args=(listener,))
        worker.start()
        command = client(listener.getsockname()[1])
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=HANG, check=False)
        worker.join()
    return flights


@pytest.mark.parametrize("protocol", DIALOGUES)
def test_starttls(audit_bytes: Run, keys: tuple[str, str], protocol: str) -> None:
    """What OpenSSL speaks before TLS in each protocol: the handshake is read whole, and the protocol named."""
    flights = record(DIALOGUES[protocol], keys, lambda port: openssl(port, "-starttls", protocol))
    result = audit_bytes(wire.pcap(wire.Talk(dport=2525).open().play(flights).packets))
    row, flow = wire.only(result.handshakes), wire.only(result.flows)
    assert (row["starttls"], flow["upgrade"]) == (NAMES.get(protocol, protocol), "used")
    assert (row["tls_version"], row["server_name"], row["established"]) == ("TLS 1.2", NAME, True)
    assert wire.only(result.certificates)["subject"] == f"CN={NAME}"
    assert row["certificate_matches"]
    assert flow["client_port"] == 40_000


@pytest.mark.skipif(shutil.which("gnutls-cli") is None, reason="gnutls-cli is not installed")
def test_gnutls(audit_bytes: Run, keys: tuple[str, str]) -> None:
    """What GnuTLS's client sends is read as OpenSSL's."""
    flights = record([b""], keys, gnutls)
    row = wire.only(audit_bytes(wire.pcap(wire.Talk().open().play(flights).packets)).handshakes)
    assert (row["tls_version"], row["tls_version_offered"], row["server_name"]) == ("TLS 1.2", "TLS 1.3", NAME)
    assert (row["status"], row["established"], row["forward_secrecy"]) == ("complete", True, True)
    assert row["extended_master_secret"]


def test_aioquic(audit_bytes: Run, keys: tuple[str, str]) -> None:
    """A QUIC handshake between two ends of aioquic: version, name, protocols, and that it came to its end."""
    from aioquic.quic.configuration import QuicConfiguration
    from aioquic.quic.connection import QuicConnection

    common: dict[str, Any] = {"alpn_protocols": ["h3"]}
    client = QuicConnection(configuration=QuicConfiguration(server_name=NAME, verify_mode=ssl.CERT_NONE, **common))
    configuration = QuicConfiguration(is_client=False, **common)
    configuration.load_cert_chain(keys[1], keys[0])
    first = client.original_destination_connection_id
    server = QuicConnection(configuration=configuration, original_destination_connection_id=first)
    ends = ((LOOPBACK, 1), (LOOPBACK, 2))
    client.connect(ends[1], now=0.0)
    packets = []
    for turn in range(12):
        speaker, hearer = (client, server) if turn % 2 == 0 else (server, client)
        for data, _ in speaker.datagrams_to_send(now=turn * 0.01):
            side: Any = (
                {"sport": 50_000, "dport": 443}
                if turn % 2 == 0
                else {"sport": 443, "dport": 50_000, "client": wire.SERVER, "server": wire.CLIENT}
            )
            packets.append(wire.datagram(data, **side))
            hearer.receive_datagram(data, ends[turn % 2], now=turn * 0.01)
    row = wire.only(audit_bytes(wire.pcap(packets)).handshakes)
    assert (row["transport"], row["tls_version"], row["quic_version"]) == ("quic", "TLS 1.3", "1")
    assert (row["server_name"], row["alpn_offered"], row["forward_secrecy"]) == (NAME, "h3", True)
    assert row["ja4"].startswith("q13d")


def relay(port: int, seen: list[tuple[int, bytes]], listener: socket.socket, over: threading.Event) -> None:
    """Pass datagrams on in both directions, and keep them."""
    client = None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.connect((LOOPBACK, port))
        while not over.is_set():
            for ready in select.select([listener, other], [], [], 0.05)[0]:
                with contextlib.suppress(ConnectionRefusedError):
                    if ready is listener:
                        data, client = listener.recvfrom(65536)
                        seen.append((0, data))
                        other.send(data)
                    else:
                        data = other.recv(65536)
                        seen.append((1, data))
                        assert client is not None
                        listener.sendto(data, client)


def accepting(server: "subprocess.Popen[str]") -> int:
    """The port on which OpenSSL's server says that it accepts."""
    assert server.stdout is not None
    for line in server.stdout:
        if line.startswith("ACCEPT "):
            return int(line.rsplit(":", 1)[1])
    raise AssertionError("s_server accepts nothing")


@pytest.mark.parametrize(("version", "expected"), [("-dtls1_2", "DTLS 1.2"), ("-dtls1", "DTLS 1.0")])
@pytest.mark.parametrize("size", ["1400", "300"])
def test_dtls(audit_bytes: Run, keys: tuple[str, str], version: str, expected: str, size: str) -> None:
    """OpenSSL's DTLS, with a cookie and in small fragments: version, name, certificate, to the end."""
    seen: list[tuple[int, bytes]] = []
    over = threading.Event()
    shared = [version, "-mtu", size, "-cipher", "DEFAULT:@SECLEVEL=0"]
    command = ["openssl", "s_server", *shared, "-accept", f"{LOOPBACK}:0", "-key", keys[0], "-cert", keys[1], "-listen"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        try:
            port = accepting(server)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
                listener.bind((LOOPBACK, 0))
                worker = threading.Thread(target=relay, args=(port, seen, listener, over))
                worker.start()
                client = openssl(listener.getsockname()[1], *shared)
                subprocess.run(client, input=b"hello\n", capture_output=True, timeout=HANG, check=False)
                over.set()
                worker.join()
        finally:
            server.kill()
    ends: Any = (
        {"sport": 50_000, "dport": 4433},
        {"sport": 4433, "dport": 50_000, "client": wire.SERVER, "server": wire.CLIENT},
    )
    packets = [wire.datagram(data, **ends[side]) for side, data in seen]
    result = audit_bytes(wire.pcap(packets))
    row = wire.only(result.handshakes)
    assert (row["transport"], row["tls_version"], row["server_name"]) == ("dtls", expected, NAME)
    assert (row["status"], row["established"]) == ("complete", True)
    assert wire.only(result.certificates)["subject"] == f"CN={NAME}"
    assert row["history"].startswith("CvCsx")
