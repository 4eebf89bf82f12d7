"""Servers and real clients for requests: what they send goes through a relay, and is written as a capture.

The servers stand in for AWS: moto behind TLS with a certificate authority of its own, another one that refuses, one that
speaks HTTP/2 and HTTP/3, one that speaks SMTP. Names of AWS are resolved by the lab alone; nothing leaves loopback, and
addresses of AWS appear only in the packets that are written.
"""

import contextlib
import datetime as dt
import json
import select
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Dot1Q, Ether

from tests import wire

ROOT = Path(__file__).parent.parent
LOOPBACK = "127.0.0.1"
NAMES = ["*.us-east-1.amazonaws.com", "*.us-west-2.amazonaws.com", "*.eu-west-1.amazonaws.com", "sts.amazonaws.com"]
OWN, PEER = "02:00:00:00:00:01", "02:00:00:00:00:02"  # MACs of the site's router and of the other one
SERVER = "52.94.244.10"
TLS_KEY_LOG = 0x544C534B  # Secrets Type of a Decryption Secrets Block
REFUSING = ".us-west-2."  # endpoints of this Region refuse every signature


@dataclass
class Talk:
    """A conversation that went through the relay."""

    client: str
    port: int
    vlan: int | None
    is_udp: bool
    flights: list[tuple[int, bytes, int]] = field(default_factory=list)  # side, bytes, nanoseconds
    server: str = SERVER
    peer: str = PEER


def certificate(folder: Path, *, key_is_rsa: bool = False) -> tuple[Path, Path]:
    """A certificate of an authority of its own for the names of the lab, and its key."""
    key: Any = rsa.generate_private_key(65537, 2048) if key_is_rsa else ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lab")])
    now = dt.datetime.now(dt.UTC)
    issued = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in NAMES]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(issued.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"


def refusing(application: Callable[..., Any]) -> Callable[..., Any]:
    """Answers as AWS does where a signature is wrong, for endpoints of one Region."""

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        if REFUSING not in environ.get("HTTP_HOST", ""):
            return application(environ, start)
        body = json.dumps({"__type": "SignatureDoesNotMatch", "message": "The request signature does not match"})
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start("403 Forbidden", [*headers, ("x-amzn-RequestId", "8e6b1d6e-0000-4000-8000-000000000001")])
        return [body.encode()]

    return answer


async def hello(scope: dict[str, Any], receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
    """An ASGI application that answers every request."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"x-amzn-requestid", b"8e6b1d6e-0000-4000-8000-000000000002")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"hidden": "in the body"}'})


class Lab:
    """Servers, the relay, and what went through it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority, self.key = certificate(folder)
        self.talks: list[Talk] = []
        self.client, self.peer = "10.1.1.5", PEER  # of whoever connects next
        self.vlan: int | None = None
        self._servers: list[Any] = []
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._children: list[subprocess.Popen[bytes]] = []
        self._stop = threading.Event()
        self.tls = self._relay(self._moto(self._context()))
        self.clear = self._relay(self._moto(None))

    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.authority, self.key)
        return context

    def _moto(self, context: ssl.SSLContext | None) -> int:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import make_server

        application = refusing(DomainDispatcherApplication(create_backend_app))
        server = make_server(LOOPBACK, 0, application, threaded=True, ssl_context=context)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self._servers.append(server)
        return int(server.server_port)

    def _start(self, work: Callable[..., None], *arguments: Any) -> None:
        self._threads.append(threading.Thread(target=work, args=arguments, daemon=True))
        self._threads[-1].start()

    def relay_to(self, port: int, is_udp: bool = False) -> int:
        """A port whose conversations go on to another one, and are kept."""
        return self._relay_udp(port) if is_udp else self._relay(port)

    def _relay(self, upstream: int) -> int:
        listener = socket.create_server((LOOPBACK, 0))
        self._sockets.append(listener)

        def serve() -> None:
            while True:
                try:
                    near, _ = listener.accept()
                except OSError:
                    return
                talk = Talk(self.client, near.getpeername()[1], self.vlan, False, peer=self.peer)
                self.talks.append(talk)
                far = socket.create_connection((LOOPBACK, upstream))
                self._start(_pump, near, far, talk)

        self._start(serve)
        return int(listener.getsockname()[1])

    def _relay_udp(self, upstream: int) -> int:
        near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        near.bind((LOOPBACK, 0))
        far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        far.connect((LOOPBACK, upstream))
        talk = Talk(self.client, 50_000, self.vlan, True)
        self.talks.append(talk)

        self._sockets += [near, far]

        def serve() -> None:
            peer: tuple[str, int] | None = None
            while not self._stop.is_set():
                for ready in select.select([near, far], [], [], 0.2)[0]:
                    with contextlib.suppress(OSError):  # closed
                        if ready is near:
                            data, peer = near.recvfrom(65536)
                            far.send(data)
                        else:
                            data = far.recv(65536)
                            if peer is not None:
                                near.sendto(data, peer)
                        talk.flights.append((int(ready is far), data, time.time_ns()))

        self._start(serve)
        return int(near.getsockname()[1])

    def hypercorn(self) -> tuple[int, int]:
        """A server that speaks HTTP/2 (TCP) and HTTP/3 (UDP); its ports.

        It inherits its sockets: whoever connects before it is up waits in their queues.
        """
        with socket.create_server((LOOPBACK, 0)) as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind((LOOPBACK, 0))
            command = [sys.executable, "-m", "hypercorn", "--workers", "0", "--bind", f"fd://{tcp.fileno()}"]
            command += ["--quic-bind", f"fd://{udp.fileno()}", "--certfile", str(self.authority)]
            command += ["--keyfile", str(self.key), "tests.request_lab:hello"]
            sockets, nothing = (tcp.fileno(), udp.fileno()), subprocess.DEVNULL
            child = subprocess.Popen(command, cwd=ROOT, stdout=nothing, stderr=nothing, pass_fds=sockets)
            self._children.append(child)
            return int(tcp.getsockname()[1]), int(udp.getsockname()[1])

    @contextlib.contextmanager
    def names(self) -> Iterator[None]:
        """While this holds, urllib3 (and with it boto3) finds the lab's servers under the names of AWS."""
        from urllib3.util import connection

        original = connection.create_connection

        def connect(address: tuple[str, int], *arguments: Any, **options: Any) -> socket.socket:
            host, port = address
            if host.endswith("amazonaws.com"):
                address = (LOOPBACK, self.tls if port == 443 else self.clear)
            return original(address, *arguments, **options)

        connection.create_connection = connect
        try:
            yield
        finally:
            connection.create_connection = original

    def settle(self) -> None:
        """Wait until nothing goes through the relay any more."""
        before = -1
        while before != (now := sum(len(talk.flights) for talk in self.talks)):
            before = now
            time.sleep(0.5)  # longer than a relay waits for its turn on a busy machine

    def pcap(self) -> bytes:
        """All conversations as a capture."""
        self.settle()
        packets: list[wire.Stamped] = []
        for number, talk in enumerate(self.talks):
            packets += _packets(talk, number)
        return wire.pcap(sorted(packets), nanoseconds=True)

    def close(self) -> None:
        self._stop.set()
        for child in self._children:
            child.kill()
            child.wait()
        for server in self._servers:
            server.shutdown()
            server.server_close()
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(2)
        for one in self._sockets:
            one.close()


def _pump(near: socket.socket, far: socket.socket, talk: Talk) -> None:
    """Hand bytes on in both directions, and keep them."""
    ends = [near, far]
    while ends:
        for ready in select.select(ends, [], [])[0]:
            try:
                data = ready.recv(65536)
            except OSError:
                data = b""
            other = far if ready is near else near
            if not data:
                ends.remove(ready)
                with contextlib.suppress(OSError):
                    other.shutdown(socket.SHUT_WR)
                continue
            talk.flights.append((int(ready is far), data, time.time_ns()))
            with contextlib.suppress(OSError):
                other.sendall(data)
    near.close()
    far.close()


def _packets(talk: Talk, number: int) -> list[wire.Stamped]:
    """The packets of a conversation, with the addresses it is said to have."""
    ends = talk.client, talk.server
    ports = talk.port, 443
    following = [1000 + 7 * number, 9000 + 7 * number]
    packets: list[wire.Stamped] = []

    def send(side: int, data: bytes, when: int, flags: str = "PA") -> None:
        macs = (OWN, talk.peer)
        frame: Any = Ether(src=macs[side], dst=macs[1 - side])
        if talk.vlan is not None:
            frame /= Dot1Q(vlan=talk.vlan)
        frame /= IP(src=ends[side], dst=ends[1 - side])
        if talk.is_udp:
            frame /= UDP(sport=ports[side], dport=ports[1 - side]) / data
        else:
            acknowledged = 0 if flags == "S" else following[1 - side]
            frame /= TCP(sport=ports[side], dport=ports[1 - side], flags=flags, seq=following[side], ack=acknowledged)
            frame /= data
        following[side] += len(data) + ("S" in flags)
        packets.append((when, bytes(frame)))

    if not talk.is_udp and talk.flights:
        first = talk.flights[0][2]
        for k, (side, flags) in enumerate(((0, "S"), (1, "SA"), (0, "A"))):
            send(side, b"", first - 3000 + 1000 * k, flags)
    for side, data, when in talk.flights:
        for at in range(0, len(data), 1400 if not talk.is_udp else 65536):
            send(side, data[at : at + 1400] if not talk.is_udp else data, when + at)
    return packets


def with_secrets(capture: bytes, keys: bytes) -> bytes:
    """A pcap (nanoseconds) as a pcapng that has the secrets of its TLS sessions inside."""
    secrets = TLS_KEY_LOG.to_bytes(4, "little") + len(keys).to_bytes(4, "little") + keys
    nanoseconds = wire.option(9, b"\x09") + wire.option(0, b"")
    data = wire.section() + wire.block(0x0A, secrets) + wire.interface(options=nanoseconds)
    at = 24
    while at < len(capture):
        seconds, rest, size = (int.from_bytes(capture[at + k : at + k + 4], "little") for k in (0, 4, 8))
        data += wire.enhanced(capture[at + 16 : at + 16 + size], seconds * wire.SECOND + rest)
        at += 16 + size
    return data
