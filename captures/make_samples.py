"""Makes the samples in this folder: real handshakes, laid out as the traffic of an office with AWS Direct Connect.

    python captures/make_samples.py [FOLDER]

The handshakes are run in memory by OpenSSL (through Python's ssl and pyOpenSSL) and tlslite-ng; scapy puts them into
packets. Certificates and keys are generated for the purpose and thrown away. Nothing is sent: addresses of AWS appear in
the files only.
"""

import base64
import contextlib
import datetime as dt
import logging
import os
import random
import socket
import ssl
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from scapy.layers.dns import DNS, DNSQR, DNSRR
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.utils import PcapNgWriter

Flights = list[tuple[str, bytes]]
BEGIN = dt.datetime(2026, 11, 24, 9, 0, tzinfo=dt.UTC).timestamp()
MSS = 1460

OFFICE_ROUTER = "02:00:0a:14:00:01"
DX_PRIVATE, DX_PUBLIC = (101, "02:00:5e:00:01:01"), (102, "02:00:5e:00:01:02")
ISP, VPN = (200, "02:00:5e:00:02:01"), (300, "02:00:5e:00:03:01")
RESOLVER = "10.20.0.53"
ENDPOINT = "172.31.20.15"  # interface endpoint of the messaging services in the VPC
PINPOINT, SMS, EMAIL, SOCIAL = "52.94.244.10", "52.94.244.20", "52.95.208.30", "52.94.244.40"
REGION = "us-east-1"

# The prime of ffdhe2048 (RFC 7919 A.1).
FFDHE2048 = int(
    "FFFFFFFFFFFFFFFFADF85458A2BB4A9AAFDC5620273D3CF1D8B9C583CE2D3695A9E13641146433FBCC939DCE249B3EF97D2FE363630C75D8"
    "F681B202AEC4617AD3DF1ED5D5FD65612433F51F5F066ED0856365553DED1AF3B557135E7F57C935984F0C70E0E68B77E2A689DAF3EFE872"
    "1DF158A136ADE73530ACCA4F483A797ABC0AB182B324FB61D108A94BB2C8E3FBB96ADAB760D7F4681D4F42A3DE394DF4AE56EDE76372BB19"
    "0B07A7C8EE0A6D709E02FCE1CDF7E2ECC03404CD28342F619172FE9CE98583FF8E4F1232EEF28183C3FE3B1B4C6FAD733BB5FCBC2EC22005"
    "C58EF1837D1683B2C6F34A26C1B2EFFA886B423861285C97FFFFFFFFFFFFFFFF",
    16,
)


class Keys:
    """A certificate for all names of the samples, and its key, in files that go away."""

    def __init__(self, folder: Path) -> None:
        key = rsa.generate_private_key(65537, 2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sample endpoint")])
        begin = dt.datetime.fromtimestamp(BEGIN, dt.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin - dt.timedelta(days=90))
            .not_valid_after(begin + dt.timedelta(days=60))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(f"*.{REGION}.amazonaws.com")]), critical=False)
            .sign(key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        self.certificate, self.key, self.dh = folder / "cert.pem", folder / "key.pem", folder / "dh.pem"
        self.certificate.write_bytes(certificate.public_bytes(pem))
        self.key.write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
        )
        # PKCS #3 DHParameter: SEQUENCE { prime INTEGER, base INTEGER 2 }.
        prime = b"\x02\x82\x01\x01\x00" + FFDHE2048.to_bytes(256, "big")
        body = prime + b"\x02\x01\x02"
        text = base64.encodebytes(b"\x30\x82" + len(body).to_bytes(2, "big") + body).decode()
        self.dh.write_text(f"-----BEGIN DH PARAMETERS-----\n{text}-----END DH PARAMETERS-----\n")


def exchange(
    client: Any, server: Any, step: Callable[[Any], None], read: Callable[[Any], bytes], write: Any
) -> Flights:
    """Let two endpoints in memory shake hands; the bytes each sent, in order."""
    flights: Flights = []
    for _ in range(20):
        moved = False
        for who, here, there in (("c", client, server), ("s", server, client)):
            step(here)
            data = read(here)
            if data:
                flights.append((who, data))
                write(there, data)
                moved = True
        if not moved:
            return flights
    return flights


@dataclass
class Session:
    """Python's ssl on both sides. Contexts are kept, so that a second handshake can resume the first's session."""

    keys: Keys
    version: ssl.TLSVersion
    server_name: str
    ciphers: str = "ECDHE+AESGCM"
    server_ciphers: str = "ALL"
    curve: str | None = None
    use_dh: bool = False
    alpn: tuple[str, ...] = ()
    client_context: ssl.SSLContext = field(init=False)
    server_context: ssl.SSLContext = field(init=False)
    ticket: Any = None

    def __post_init__(self) -> None:
        self.client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.client_context.check_hostname = False
        self.client_context.verify_mode = ssl.CERT_NONE
        self.server_context.load_cert_chain(self.keys.certificate, self.keys.key)
        for context, ciphers in ((self.client_context, self.ciphers), (self.server_context, self.server_ciphers)):
            context.minimum_version = context.maximum_version = self.version
            context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
            if self.alpn:
                context.set_alpn_protocols(list(self.alpn))
        if self.curve:
            self.server_context.set_ecdh_curve(self.curve)
        if self.use_dh:
            self.server_context.load_dh_params(str(self.keys.dh))

    def shake(self, request: bytes = b"", answer: bytes = b"") -> Flights:
        """A handshake, then a request and an answer under its keys."""
        ends: dict[str, tuple[ssl.SSLObject, ssl.MemoryBIO, ssl.MemoryBIO]] = {}
        for who, context in (("c", self.client_context), ("s", self.server_context)):
            into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
            settings = (
                {"server_hostname": self.server_name, "session": self.ticket} if who == "c" else {"server_side": True}
            )
            ends[who] = (context.wrap_bio(into, out, **settings), into, out)
        shaken: set[int] = set()

        def step(end: Any) -> None:
            if id(end[0]) in shaken:
                return
            try:
                end[0].do_handshake()
                shaken.add(id(end[0]))
            except ssl.SSLWantReadError:
                return
            except ssl.SSLError:
                shaken.add(id(end[0]))

        flights = exchange(ends["c"], ends["s"], step, lambda e: e[2].read(), lambda e, data: e[1].write(data))
        for who, other, data in (("c", "s", request), ("s", "c", answer)):
            if data and len(shaken) == 2 and ends["c"][0].cipher():
                ends[who][0].write(data)
                sent = ends[who][2].read()
                flights.append((who, sent))
                ends[other][1].write(sent)
                ends[other][0].read(len(data))
        self.ticket = ends["c"][0].session if ends["c"][0].cipher() else None
        return flights


def post_quantum(keys: Keys, server_name: str) -> Flights:
    """TLS 1.3 by pyOpenSSL, whose OpenSSL offers and accepts X25519MLKEM768 by itself."""
    from OpenSSL import SSL

    client, server = SSL.Context(SSL.TLS_CLIENT_METHOD), SSL.Context(SSL.TLS_SERVER_METHOD)
    server.use_certificate_file(str(keys.certificate))
    server.use_privatekey_file(str(keys.key))
    client.set_alpn_protos([b"h2", b"http/1.1"])
    ends = SSL.Connection(client, None), SSL.Connection(server, None)
    ends[0].set_tlsext_host_name(server_name.encode())
    ends[0].set_connect_state()
    ends[1].set_accept_state()

    def step(end: Any) -> None:
        try:
            end.do_handshake()
        except SSL.WantReadError:
            return

    def read(end: Any) -> bytes:
        try:
            return bytes(end.bio_read(65536))
        except SSL.WantReadError:
            return b""

    flights = exchange(*ends, step, read, lambda e, data: e.bio_write(data))
    for who, end in (("c", ends[0]), ("s", ends[1])):
        end.send(b"request" * 40 if who == "c" else b"answer" * 300)
        flights.append((who, read(end)))
    return flights


class Recorder:
    """A socket that notes what is sent."""

    def __init__(self, inner: socket.socket, who: str, flights: Flights) -> None:
        self._inner, self._who, self._flights = inner, who, flights

    def send(self, data: bytes) -> int:
        self._flights.append((self._who, bytes(data)))
        return self._inner.send(data)

    def sendall(self, data: bytes) -> None:
        self._flights.append((self._who, bytes(data)))
        self._inner.sendall(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def ssl3(keys: Keys, suites: list[str]) -> Flights:
    """SSL 3.0 by tlslite-ng, which still speaks it."""
    from tlslite.api import HandshakeSettings, TLSConnection, X509CertChain, parsePEMKey

    settings = HandshakeSettings()
    settings.minVersion = settings.maxVersion = (3, 0)
    settings.cipherNames = suites
    settings.keyExchangeNames = ["rsa"]
    chain = X509CertChain()
    chain.parsePemList(keys.certificate.read_text())
    key = parsePEMKey(keys.key.read_text(), private=True)
    flights: Flights = []
    ends = socket.socketpair()
    client = TLSConnection(Recorder(ends[0], "c", flights))
    server = TLSConnection(Recorder(ends[1], "s", flights))

    def serve() -> None:
        server.handshakeServer(certChain=chain, privateKey=key, settings=settings)
        server.read(max=4, min=4)
        server.write(b"answer" * 20)

    worker = threading.Thread(target=serve)
    worker.start()
    client.handshakeClientCert(settings=settings)
    client.write(b"ping")
    worker.join()
    for end in ends:
        end.close()
    return flights


@dataclass
class Way:
    """A way through the router: the interface it is captured on, VLAN and the peer's MAC."""

    interface: str
    vlan: int
    peer: str


WAYS = {
    "private": Way("trunk", *DX_PRIVATE),
    "public": Way("trunk", *DX_PUBLIC),
    "isp": Way("trunk", *ISP),
    "vpn": Way("trunk", *VPN),
}


class Scene:
    """Collects packets with their times and interfaces."""

    def __init__(self) -> None:
        self.packets: list[tuple[float, str, Any]] = []
        self.clock = BEGIN
        self._port = 49152
        self._id = 1

    def put(self, when: float, interface: str, packet: Any) -> None:
        self.packets.append((when, interface, packet))

    def frame(self, way: Way, outward: bool, packet: Any) -> Any:
        source, target = (OFFICE_ROUTER, way.peer) if outward else (way.peer, OFFICE_ROUTER)
        return Ether(src=source, dst=target) / Dot1Q(vlan=way.vlan) / packet

    def lookup(self, client: str, name: str, address: str) -> None:
        """A DNS question and its answer, inside the office."""
        self._port += 1
        number = self._port & 0xFFFF
        question = DNS(id=number, rd=1, qd=DNSQR(qname=name))
        answer = DNS(id=number, qr=1, rd=1, ra=1, qd=DNSQR(qname=name), an=DNSRR(rrname=name, ttl=60, rdata=address))
        query = IP(src=client, dst=RESOLVER) / UDP(sport=self._port, dport=53) / question
        reply = IP(src=RESOLVER, dst=client) / UDP(sport=53, dport=self._port) / answer
        self.put(self.clock, "trunk", Ether(src="02:00:0a:14:00:99", dst="02:00:0a:14:00:53") / Dot1Q(vlan=20) / query)
        self.put(
            self.clock + 0.002,
            "trunk",
            Ether(src="02:00:0a:14:00:53", dst="02:00:0a:14:00:99") / Dot1Q(vlan=20) / reply,
        )
        self.clock += 0.01

    def connection(
        self,
        client: str,
        server: str,
        port: int,
        flights: Flights,
        out: Callable[[Any, bool], tuple[str, Any]],
        rtt: float = 0.012,
        reset: bool = False,
    ) -> None:
        """A TCP connection; ``out`` puts an IP packet into frames: (packet, from the client?) -> (interface, frame)."""
        self._port += 7
        now = self.clock
        sequence = {"c": 1000 + self._port, "s": 9_000_000 + self._port}

        def segment(who: str, flags: str, data: bytes = b"") -> None:
            other = "s" if who == "c" else "c"
            ends = (client, server) if who == "c" else (server, client)
            ports = (self._port, port) if who == "c" else (port, self._port)
            self._id += 1
            ip = IP(src=ends[0], dst=ends[1], id=self._id & 0xFFFF, ttl=64 if who == "c" else 243, flags="DF")
            tcp = TCP(
                sport=ports[0],
                dport=ports[1],
                flags=flags,
                seq=sequence[who],
                ack=0 if flags == "S" else sequence[other],
                window=64240,
                options=[("MSS", MSS)] if "S" in flags else [],
            )
            interface, frame = out(ip / tcp / data, who == "c")
            self.put(now, interface, frame)
            sequence[who] = (sequence[who] + len(data) + (1 if set(flags) & {"S", "F"} else 0)) & 0xFFFFFFFF

        segment("c", "S")
        now += rtt
        segment("s", "SA")
        now += 0.0001
        segment("c", "A")
        for who, data in flights:
            for at in range(0, len(data), MSS):
                last = at + MSS >= len(data)
                segment(who, "PA" if last else "A", data[at : at + MSS])
                now += 0.0001
            segment("s" if who == "c" else "c", "A")
            now += rtt / 2
        if reset:
            segment("s", "R")
        else:
            segment("c", "FA")
            now += rtt
            segment("s", "FA")
            now += 0.0001
            segment("c", "A")
        self.clock = max(self.clock + 0.35, now - 0.2)

    def over(self, way: str, back: str | None = None) -> Callable[[Any, bool], tuple[str, Any]]:
        """Frames of a way out and, where it differs, a way back."""
        there, here = WAYS[way], WAYS[back or way]

        def out(packet: Any, from_client: bool) -> tuple[str, Any]:
            chosen = there if from_client else here
            return chosen.interface, self.frame(chosen, from_client, packet)

        return out

    def mirrored(self, packet: Any, from_client: bool) -> tuple[str, Any]:
        """What a VPC traffic mirror sends: the frame inside VXLAN to the mirror's target."""
        ends = ("0a:58:ac:1f:05:14", "0a:58:ac:1f:14:0f")
        inner = Ether(src=ends[0] if from_client else ends[1], dst=ends[1] if from_client else ends[0]) / packet
        outer = Ether(src="0a:58:ac:1f:00:01", dst="0a:58:ac:1f:09:09") / IP(src="172.31.5.20", dst="172.31.9.9")
        return "mirror", outer / UDP(sport=65500, dport=4789, chksum=0) / VXLAN(vni=4096, flags="Instance") / inner

    def write(self, path: Path) -> None:
        """All packets in order of time, as pcapng with an interface for each capture point."""
        writer = PcapNgWriter(str(path))
        for when, interface, packet in sorted(self.packets, key=lambda item: item[0]):
            packet.time = when
            packet.sniffed_on = interface
            writer.write(packet)
        writer.close()


def http(host: str, path: str = "/v1/apps") -> tuple[bytes, bytes]:
    """A request and its answer in clear."""
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: erp/4.2\r\nAccept: */*\r\n\r\n".encode()
    body = b'{"message":"moved"}'
    head = f"HTTP/1.1 301 Moved Permanently\r\nLocation: https://{host}{path}\r\nContent-Length: {len(body)}\r\n\r\n"
    return request, head.encode() + body


def smtp(session: Session) -> Flights:
    """SMTP that goes over to TLS with STARTTLS (RFC 3207)."""
    greeting = b"220 email-smtp.amazonaws.com ESMTP SimpleEmailService ready\r\n"
    capabilities = b"250-email-smtp.amazonaws.com\r\n250-8BITMIME\r\n250-STARTTLS\r\n250 Ok\r\n"
    before: Flights = [("s", greeting), ("c", b"EHLO office.example\r\n"), ("s", capabilities)]
    return [*before, ("c", b"STARTTLS\r\n"), ("s", b"220 Ready to start TLS\r\n"), *session.shake(b"EHLO x", b"250 Ok")]


def office(keys: Keys) -> Scene:
    """A morning at the office: who talks to the messaging services, and how."""
    scene = Scene()
    new, old = ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2
    request, answer = b"POST /v1/apps HTTP/1.1\r\n" * 4, b"HTTP/1.1 202 Accepted\r\n" * 9
    pinpoint, sms = f"pinpoint.{REGION}.amazonaws.com", f"sms-voice.{REGION}.amazonaws.com"
    email, social = f"email.{REGION}.amazonaws.com", f"social-messaging.{REGION}.amazonaws.com"

    # Good: post-quantum TLS 1.3 to the interface endpoint, over the private virtual interface.
    for _ in range(2):
        scene.lookup("10.20.1.10", pinpoint, ENDPOINT)
        scene.connection("10.20.1.10", ENDPOINT, 443, post_quantum(keys, pinpoint), scene.over("private"))
    # Good: TLS 1.2 with ECDHE over the public virtual interface, then a session that resumes it.
    crm = Session(keys, old, sms, alpn=("h2", "http/1.1"))
    scene.lookup("203.0.113.11", sms, SMS)
    for _ in range(3):
        scene.connection("203.0.113.11", SMS, 443, crm.shake(request, answer), scene.over("public"))
    # Good: DHE is forward secret too.
    mailer = Session(keys, old, email, ciphers="DHE+AESGCM", use_dh=True)
    scene.connection("203.0.113.12", EMAIL, 443, mailer.shake(request, answer), scene.over("public"))
    # Good: the server asks for another group first.
    picky = Session(keys, new, pinpoint, curve="secp384r1")
    scene.connection("10.20.1.12", ENDPOINT, 443, picky.shake(request, answer), scene.over("private"))
    # Good: mail submission that upgrades to TLS.
    submission = Session(keys, new, f"email-smtp.{REGION}.amazonaws.com")
    scene.connection("203.0.113.12", EMAIL, 587, smtp(submission), scene.over("public"))

    # Bad: a forgotten machine with TLS 1.0 and RSA key exchange.
    forgotten = Session(keys, ssl.TLSVersion.TLSv1, pinpoint, ciphers="AES128-SHA")
    for _ in range(2):
        scene.connection("10.20.2.50", ENDPOINT, 443, forgotten.shake(request, answer), scene.over("private"))
    # Bad: an old ERP that offers no forward secrecy at all.
    erp = Session(keys, old, email, ciphers="kRSA+AES")
    scene.connection("203.0.113.21", EMAIL, 443, erp.shake(request, answer), scene.over("public"))
    # Bad: SSL 3.0.
    scene.lookup("203.0.113.22", social, SOCIAL)
    scene.connection("203.0.113.22", SOCIAL, 443, ssl3(keys, ["aes128", "3des"]), scene.over("public"))
    # Bad: a client that offers TLS 1.0 only, refused.
    refused = Session(keys, ssl.TLSVersion.TLSv1, sms, ciphers="AES128-SHA")
    refused.server_context.maximum_version = ssl.TLSVersion.TLSv1_3
    refused.server_context.minimum_version = old
    scene.connection("203.0.113.23", SMS, 443, refused.shake(), scene.over("public"), reset=True)
    # Not private: a branch over the internet, a laptop over the VPN, and a way back that is not the way out.
    branch = Session(keys, new, pinpoint)
    scene.lookup("203.0.113.31", pinpoint, PINPOINT)
    scene.connection("203.0.113.31", PINPOINT, 443, branch.shake(request, answer), scene.over("isp"), rtt=0.045)
    laptop = Session(keys, new, sms)
    scene.connection("10.20.4.7", ENDPOINT, 443, laptop.shake(request, answer), scene.over("vpn"), rtt=0.06)
    astray = Session(keys, new, sms)
    scene.connection("203.0.113.32", SMS, 443, astray.shake(request, answer), scene.over("public", back="isp"))
    # Bad: a request in clear.
    ask, reply = http(pinpoint)
    scene.connection("203.0.113.33", PINPOINT, 80, [("c", ask), ("s", reply)], scene.over("isp"))
    # A name that is chosen to be mistaken for the service.
    fake = f"pinpoint.{REGION}.amazonaws.com.login-check.example"
    phish = Session(keys, new, fake)
    scene.lookup("203.0.113.34", fake, "198.51.100.66")
    scene.connection("203.0.113.34", "198.51.100.66", 443, phish.shake(request, answer), scene.over("isp"))
    # Inside the VPC, from a traffic mirror: one instance as it should be, one in clear.
    inside = Session(keys, old, pinpoint)
    scene.connection("172.31.5.20", ENDPOINT, 443, inside.shake(request, answer), scene.mirrored, rtt=0.001)
    scene.connection("172.31.5.21", ENDPOINT, 80, [("c", ask), ("s", reply)], scene.mirrored, rtt=0.001)
    # And what else goes through an office's router.
    web = Session(keys, new, "www.example.org", alpn=("h2",))
    scene.lookup("203.0.113.40", "www.example.org", "192.0.2.80")
    scene.connection("203.0.113.40", "192.0.2.80", 443, web.shake(request, answer), scene.over("isp"))
    hello: Flights = [("s", b"SSH-2.0-OpenSSH_9.9\r\n"), ("c", b"SSH-2.0-OpenSSH_9.6\r\n")]
    scene.connection("203.0.113.40", "192.0.2.22", 22, hello, scene.over("isp"))
    return scene


def versions(keys: Keys) -> Iterator[tuple[str, Scene]]:
    """One small capture for each version, for tests and for trying things out."""
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        scene = Scene()
        ciphers = "AES128-SHA" if version < ssl.TLSVersion.TLSv1_2 else "ECDHE+AESGCM"
        session = Session(keys, version, f"pinpoint.{REGION}.amazonaws.com", ciphers=ciphers)
        scene.connection("10.20.1.10", ENDPOINT, 443, session.shake(b"x" * 50, b"y" * 500), scene.over("private"))
        yield version.name.lower().replace("tlsv", "tls").replace("_", "."), scene
    scene = Scene()
    scene.connection("10.20.1.10", ENDPOINT, 443, ssl3(keys, ["aes128"]), scene.over("private"))
    yield "ssl3", scene
    scene = Scene()
    scene.connection(
        "10.20.1.10", ENDPOINT, 443, post_quantum(keys, f"pinpoint.{REGION}.amazonaws.com"), scene.over("private")
    )
    yield "tls1.3-post-quantum", scene


def requests(folder: Path) -> bytes:
    """What boto3 asks of stand-ins for AWS (``tests/request_lab.py``), with the sessions' secrets inside the capture."""
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.exceptions import ClientError

    sys.path.insert(0, str(Path(__file__).parent.parent))
    from tests import request_lab

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    os.environ |= {"SSLKEYLOGFILE": str(folder / "keys.log"), "AWS_EC2_METADATA_DISABLED": "true"}
    lab = request_lab.Lab(folder)
    letters = random.SystemRandom().sample("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)
    elsewhere = "https://pinpoint.eu-west-1.amazonaws.com"
    text = {"MessageConfiguration": {"SMSMessage": {"Body": "hello"}}, "Addresses": {"+12065550100": {}}}

    def client(name: str, address: str, *, long_term: bool = False, **options: Any) -> Any:
        lab.client, (lab.vlan, lab.peer) = address, DX_PUBLIC
        key = ("AKIA" if long_term else "ASIA") + "".join(letters)
        session = boto3.Session(key, "of-no-account", None if long_term else "a-session-token", REGION)
        return session.client(name, verify=str(lab.authority), **options)

    with lab.names():
        calls: list[tuple[str, str, str, bool, dict[str, Any], dict[str, Any]]] = [
            ("pinpoint", "get_apps", "203.0.113.11", False, {}, {}),
            (
                "pinpoint",
                "send_messages",
                "203.0.113.11",
                False,
                {},
                {"ApplicationId": "0" * 32, "MessageRequest": text},
            ),
            ("sts", "get_caller_identity", "203.0.113.12", True, {}, {}),
            ("pinpoint", "get_apps", "203.0.113.13", True, {}, {}),
            ("pinpoint", "get_apps", "203.0.113.14", False, {"config": Config(signature_version=UNSIGNED)}, {}),
            ("pinpoint", "get_apps", "203.0.113.15", False, {"endpoint_url": elsewhere}, {}),
        ]
        for name, operation, address, long_term, options, arguments in calls:
            with contextlib.suppress(ClientError):
                getattr(client(name, address, long_term=long_term, **options), operation)(**arguments)
    packets = lab.pcap()
    lab.close()
    return request_lab.with_secrets(packets, (folder / "keys.log").read_bytes())


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        keys = Keys(Path(temporary))
        office(keys).write(folder / "office.pcapng")
        for name, scene in versions(keys):
            scene.write(folder / f"{name}.pcapng")
        (folder / "requests.pcapng").write_bytes(requests(Path(temporary)))
    for path in sorted(folder.glob("*.pcapng")):
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
