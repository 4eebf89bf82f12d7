"""Makes the captures in this folder: OpenVPN's two ends, and wpa_supplicant's eapol_test with FreeRADIUS, on loopback.

    python -m tests.stacks.make

It needs openvpn, freeradius and eapol_test (Debian: openvpn, freeradius, eapoltest). Keys are generated for each run and
thrown away. A relay passes on what the programs send and keeps it; it is laid out over made-up addresses.
"""

import contextlib
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests import wire

HERE = Path(__file__).parent
LOOPBACK, SECONDS = "127.0.0.1", 12
Said = list[tuple[str, bytes]]
RADIUS = """
name = radiusd
prefix = {folder}
localstatedir = {folder}
logdir = {folder}
run_dir = {folder}
libdir = {libraries}
security {{
 allow_vulnerable_openssl = yes
}}
client local {{
 ipaddr = 127.0.0.1
 secret = secret
}}
modules {{
 eap {{
  default_eap_type = tls
  tls-config common {{
   private_key_file = {folder}/server.key
   certificate_file = {folder}/server.crt
   ca_file = {folder}/ca.crt
   fragment_size = 400
   tls_max_version = "1.2"
  }}
  tls {{
   tls = common
  }}
  ttls {{
   tls = common
   virtual_server = default
  }}
 }}
 pap {{
 }}
}}
server default {{
 listen {{
  type = auth
  ipaddr = 127.0.0.1
  port = {port}
 }}
 authorize {{
  eap
  update control {{
   Cleartext-Password := "pw"
  }}
  pap
 }}
 authenticate {{
  eap
  Auth-Type PAP {{
   pap
  }}
 }}
}}
"""
SUPPLICANT = """network={{
 key_mgmt=IEEE8021X
 eap={method}
 identity="user"
 password="pw"
 phase2="auth=PAP"
 ca_cert="{folder}/ca.crt"
 client_cert="{folder}/client.crt"
 private_key="{folder}/client.key"
 fragment_size=300
}}
"""


def keys(folder: Path) -> None:
    """An authority, and certificates of it for a server and a client."""
    new = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]

    def run(*command: str) -> None:
        subprocess.run(command, check=True, capture_output=True, cwd=folder)

    run(*new, "-x509", "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=authority", "-days", "30")
    for name in ("server", "client"):
        run(*new, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}.example.net")
        sign = ["openssl", "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"]
        run(*sign, "-out", f"{name}.crt", "-days", "30")


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def relay(target: int, said: Said, kind: socket.SocketKind) -> Iterator[int]:
    """A port whose datagrams or bytes go to ``target`` and back, and are kept."""
    listener = socket.socket(socket.AF_INET, kind)
    listener.bind((LOOPBACK, 0))
    over = threading.Event()

    def pass_on() -> None:
        client: socket.socket | None = None
        peer: tuple[str, int] | None = None
        server = socket.socket(socket.AF_INET, kind)
        if kind == socket.SOCK_STREAM:
            listener.listen()
            client, peer = listener.accept()
        server.connect((LOOPBACK, target))
        near = client or listener
        while not over.is_set():
            for ready in select.select([near, server], [], [], 0.05)[0]:
                with contextlib.suppress(OSError):
                    data, sender = ready.recvfrom(65536)
                    if not data:
                        return
                    said.append(("c" if ready is near else "s", data))
                    if ready is server:
                        near.sendto(data, peer) if client is None and peer else near.sendall(data)
                    else:
                        peer = sender if client is None else peer
                        server.sendall(data)

    threading.Thread(target=pass_on, daemon=True).start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        over.set()


def openvpn(folder: Path, *options: str, tcp: bool) -> Said:
    """What two ends of OpenVPN say until both have their keys."""
    kind = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM
    port, said = free_port(kind), Said()
    common = ["openvpn", "--dev", "null", "--ca", "ca.crt", "--verb", "1", *options]
    server = ["--tls-server", "--cert", "server.crt", "--key", "server.key", "--dh", "none", "--local", LOOPBACK]
    server += ["--lport", str(port), "--proto", "tcp-server" if tcp else "udp"]
    client = [
        "--tls-client",
        "--cert",
        "client.crt",
        "--key",
        "client.key",
        "--nobind",
        "--proto",
        "tcp-client" if tcp else "udp",
    ]
    with subprocess.Popen([*common, *server], cwd=folder, stdout=subprocess.DEVNULL) as one:
        time.sleep(1)
        with relay(port, said, kind) as near:
            ends = [*common, *client, "--remote", LOOPBACK, str(near)]
            with contextlib.suppress(subprocess.TimeoutExpired):
                subprocess.run(ends, cwd=folder, stdout=subprocess.DEVNULL, timeout=SECONDS / 2, check=False)
        one.kill()
    return said


def radius(folder: Path, method: str) -> Said:
    """What eapol_test and FreeRADIUS say."""
    port, said = free_port(socket.SOCK_DGRAM), Said()
    libraries = os.environ.get("FREERADIUS_LIBRARIES", "/usr/lib/freeradius")
    (folder / "radiusd.conf").write_text(RADIUS.format(folder=folder, port=port, libraries=libraries))
    (folder / "eap.conf").write_text(SUPPLICANT.format(folder=folder, method=method))
    dictionaries = ["-D", os.environ.get("FREERADIUS_DICTIONARIES", "/usr/share/freeradius")]
    server = ["freeradius", "-X", "-n", "radiusd", "-d", str(folder), *dictionaries]
    with subprocess.Popen(server, stdout=subprocess.DEVNULL) as one:
        time.sleep(2)
        with relay(port, said, socket.SOCK_DGRAM) as near:
            test = ["eapol_test", "-c", str(folder / "eap.conf"), "-a", LOOPBACK, "-p", str(near), "-s", "secret"]
            subprocess.run(test, stdout=subprocess.DEVNULL, timeout=SECONDS, check=False)
        one.kill()
    return said


def write(name: str, said: Said, port: int, *, tcp: bool = False) -> None:
    """A capture of what was said, to ``port``."""
    if tcp:
        packets = wire.Talk(dport=port).open().play(said).close().packets
    else:
        ends = {"c": (50_000, port, wire.CLIENT, wire.SERVER), "s": (port, 50_000, wire.SERVER, wire.CLIENT)}
        packets = [
            wire.datagram(data, source, target, client=one, server=two)
            for who, data in said
            for source, target, one, two in [ends[who]]
        ]
    (HERE / name).write_bytes(wire.pcap(packets))


def main() -> None:
    """Make all of them."""
    missing = [
        program for program in ("openssl", "openvpn", "freeradius", "eapol_test") if shutil.which(program) is None
    ]
    if missing:
        sys.exit(f"not installed: {', '.join(missing)} (Debian: openssl, openvpn, freeradius, eapoltest)")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        keys(folder)
        subprocess.run(["openvpn", "--genkey", "secret", "ta.key"], cwd=folder, check=True)
        old = ("--tls-version-max", "1.2")
        write("openvpn-udp.pcap", openvpn(folder, *old, tcp=False), 1194)
        write("openvpn-udp-tls-auth.pcap", openvpn(folder, "--tls-auth", "ta.key", "--auth", "SHA512", tcp=False), 1194)
        write("openvpn-udp-tls-crypt.pcap", openvpn(folder, "--tls-crypt", "ta.key", tcp=False), 1194)
        write("openvpn-tcp-tls-auth.pcap", openvpn(folder, *old, "--tls-auth", "ta.key", tcp=True), 1194, tcp=True)
        write("radius-eap-tls.pcap", radius(folder, "TLS"), 1812)
        write("radius-eap-ttls.pcap", radius(folder, "TTLS"), 1812)


if __name__ == "__main__":
    main()
