"""Makes the captures in this folder that tcpdump took in a network namespace of its own: DTLS, databases, mail, LDAP, VNC, WebRTC, 802.1X.

    python -m tests.stacks.make_in_namespace

It needs root, and Debian's openssl, gnutls-bin, stunnel4, mariadb-server, postgresql, slapd, tigervnc-standalone-server,
python3-aiortc, hostapd, wpasupplicant and tcpdump. Keys are generated for each run and thrown away.
"""

import contextlib
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
NAME = "stack.example.net"
TO = f"-servername {NAME}"
CLIENT = f"(sleep 1; echo hello; sleep 1) | openssl s_client {TO}"
OLD = "-cipher DEFAULT@SECLEVEL=0"
POSTGRES = "/usr/lib/postgresql/*/bin"
FILES = {
    "stunnel.conf": """foreground=yes
pid=
[smtp]
accept=127.0.0.1:2525
connect=127.0.0.1:2526
cert={folder}/both.pem
protocol=smtp
""",
    "greet.py": """import socket
s = socket.socket()
s.bind(("127.0.0.1", 2526))
s.listen()
while True:
    c, _ = s.accept()
    c.sendall(b"220 stack ESMTP\\r\\n")
    while c.recv(4096):
        c.sendall(b"250 ok\\r\\n")
""",
    "slapd.conf": """include /etc/ldap/schema/core.schema
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCertificateFile {folder}/c.pem
TLSCertificateKeyFile {folder}/k.pem
database mdb
suffix dc=x
directory {folder}/ldap
""",
    "vnc.py": """import socket, ssl, time
s = socket.create_connection(("127.0.0.1", 5977))
s.recv(12)
for said in (b"RFB 003.008\\n", b"\\x13", b"\\0\\2", b"\\0\\0\\1\\4"):
    s.send(said)
    time.sleep(0.3)
    s.recv(64)
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
context.wrap_socket(s, server_hostname="stack.example.net").close()
""",
    "webrtc.py": """import asyncio
from aiortc import RTCPeerConnection

async def main():
    one, other = RTCPeerConnection(), RTCPeerConnection()
    channel, got = one.createDataChannel("x"), asyncio.Event()
    other.on("datachannel", lambda c: c.on("message", lambda m: got.set()))
    channel.on("open", lambda: channel.send("hello"))
    await one.setLocalDescription(await one.createOffer())
    await other.setRemoteDescription(one.localDescription)
    await other.setLocalDescription(await other.createAnswer())
    await one.setRemoteDescription(other.localDescription)
    await asyncio.wait_for(got.wait(), 8)

asyncio.run(main())
""",
    "users": '* PEAP,TTLS\n"user" TTLS-MSCHAPV2,MSCHAPV2 "pw" [2]\n',
    "hostapd.conf": """interface=near
driver=wired
ieee8021x=1
eap_server=1
eap_user_file={folder}/users
ca_cert={folder}/c.pem
server_cert={folder}/c.pem
private_key={folder}/k.pem
fragment_size=300
use_pae_group_addr=1
""",
    **{
        f"{method}.conf": f'network={{{{\n key_mgmt=IEEE8021X\n eap={method}\n identity="user"\n password="pw"\n'
        ' phase2="auth=MSCHAPV2"\n fragment_size=250\n}}\n'
        for method in ("PEAP", "TTLS")
    },
}


class Stack(NamedTuple):
    """What serves, what talks to it, and where that is seen."""

    servers: Sequence[str]
    client: str
    interface: str = "lo"
    filter: str = ""


def openssl(version: str, port: int, more: str) -> Stack:
    at = f"127.0.0.1:{port}"
    server = f"openssl s_server -{version} -accept {at} -cert c.pem -key k.pem -quiet {more}"
    return Stack(
        [server], f"{CLIENT} -{version} -connect {at} {more.replace('-listen', '')}", filter=f"udp port {port}"
    )


def mariadb(more: str) -> Stack:
    server = "mariadbd --no-defaults --user=root --datadir=$PWD/my --bind-address=127.0.0.1 --socket=$PWD/my.sock"
    client = f"mariadb --no-defaults -h 127.0.0.1 -u nobody -pnothing --ssl {more}"
    return Stack([f"{server} --ssl-cert=$PWD/c.pem --ssl-key=$PWD/k.pem"], client, filter="port 3306")


def eap(method: str) -> Stack:
    client = f"wpa_supplicant -Dwired -ifar -c {method}.conf"
    return Stack(["hostapd hostapd.conf"], client, "far", "ether proto 0x888e")


STACKS = {
    "openssl-dtls-1.2": openssl("dtls1_2", 4433, "-listen -mtu 300"),
    "openssl-dtls-1.0": openssl("dtls1", 4434, OLD),
    "gnutls-dtls": Stack(
        ["gnutls-serv --udp -p 4435 --x509keyfile k.pem --x509certfile c.pem --echo"],
        f"(sleep 1; echo hello; sleep 1) | gnutls-cli --udp --insecure -p 4435 localhost --sni-hostname={NAME}",
        filter="udp port 4435",
    ),
    "stunnel-smtp": Stack(
        ["stunnel stunnel.conf", "python3 greet.py"],
        f"{CLIENT} -starttls smtp -connect 127.0.0.1:2525",
        filter="port 2525",
    ),
    "mariadb": mariadb(""),
    "mariadb-tls-1.2": mariadb("--tls-version=TLSv1.2"),
    "postgresql": Stack(
        [f"su postgres -c '{POSTGRES}/postgres -D pg -c ssl=on -c unix_socket_directories=/tmp -p 5455'"],
        "psql 'host=127.0.0.1 port=5455 user=postgres sslmode=require' -c 'select 1'",
        filter="port 5455",
    ),
    "slapd": Stack(
        ["slapd -f slapd.conf -h ldap://127.0.0.1:3899 -d 0"],
        f"{CLIENT} -starttls ldap -connect 127.0.0.1:3899",
        filter="port 3899",
    ),
    "vnc": Stack(
        ["Xvnc :77 -SecurityTypes TLSNone,X509None -X509Cert c.pem -X509Key k.pem -rfbport 5977"],
        "python3 vnc.py",
        filter="port 5977",
    ),
    "webrtc": Stack([], "/usr/bin/python3 webrtc.py", "lo", "udp and host 10.9.0.1"),
    "eap-peap": eap("PEAP"),
    "eap-ttls": eap("TTLS"),
}  # fmt: skip


def prepare(folder: Path) -> None:
    """Keys, settings, databases and interfaces."""
    for name, text in FILES.items():
        (folder / name).write_text(text.format(folder=folder) if name.endswith("conf") else text)
    new = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout k.pem -out c.pem -days 30"
    for command in (
        f"{new} -subj /CN={NAME} -addext subjectAltName=DNS:{NAME}",
        "cat k.pem c.pem > both.pem; mkdir ldap pg; chmod 755 .",
        "mariadb-install-db --no-defaults --datadir=$PWD/my --user=root",
        f"chown postgres pg; su postgres -c '{POSTGRES}/initdb -D pg -A trust'",
        "cp k.pem pg/server.key; cp c.pem pg/server.crt; chown postgres pg/server.*; chmod 600 pg/server.key",
        "ip link set lo up; ip link add near type veth peer name far; ip link set near up; ip link set far up",
        "ip addr add 10.9.0.1/24 dev near; ip route add default dev near",
    ):
        subprocess.run(["bash", "-c", command], cwd=folder, check=True, capture_output=True)


@contextlib.contextmanager
def running(command: str, folder: Path, seconds: float) -> Iterator[None]:
    """A command, and all that it starts, until the block is left."""
    with subprocess.Popen(
        ["bash", "-c", command], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0
    ) as process:
        time.sleep(seconds)
        try:
            yield
        finally:
            subprocess.run(["kill", f"-{signal.SIGTERM}", "--", f"-{process.pid}"], check=False, capture_output=True)


def make(name: str, stack: Stack, folder: Path) -> None:
    """One capture."""
    capture = f"tcpdump -i {stack.interface} -U -w {folder / name}.pcap {shlex.quote(stack.filter)}"
    with contextlib.ExitStack() as started:
        for server in stack.servers:
            started.enter_context(running(server, folder, 4))
        started.enter_context(running(capture, folder, 1))
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(
                ["timeout", "8", "bash", "-c", stack.client], cwd=folder, check=False, capture_output=True, timeout=20
            )
        time.sleep(1)
    (HERE / f"{name}.pcap").write_bytes((folder / f"{name}.pcap").read_bytes())


def main() -> None:
    """All of them, or those that are named."""
    if sys.argv[1:2] != ["inside"]:
        inside = [sys.executable, "-m", __spec__.name, "inside", *sys.argv[1:]]
        sys.exit(subprocess.run(["unshare", "--net", *inside], check=False).returncode)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        prepare(folder)
        for name in sys.argv[2:] or STACKS:
            make(name, STACKS[name], folder)


if __name__ == "__main__":
    main()
