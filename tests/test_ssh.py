"""SSH is judged by what its two sides agree on, as far as their lists of algorithms are in the capture."""

import struct
from collections.abc import Callable

import pytest

import auditor
from auditor.flows.state import AGREED
from auditor.recognise.numbers import SSH_CLEAR, SSH_WEAK
from auditor.tls.datagram_messages import Datagram
from auditor.tls.ssh import WEAK_NAMES, Ssh
from tests import wire
from tests.test_encryption import SHAKE

STRONG, WEAK, CLEAR, UNKNOWN = (0, AGREED), (SSH_WEAK, 0), (SSH_CLEAR, 0), (0, 0)
GOOD = ("curve25519-sha256", "ssh-ed25519", "aes256-gcm@openssh.com", "hmac-sha2-256")
GREETING = b"SSH-2.0-x\r\n"


def lists(exchange: str, key: str, cipher: str, mac: str, back: str | None = None) -> bytes:
    """A KEXINIT message in its packet; ``back``: the ciphers of what the server sends, where they are others."""
    names = (exchange, key, cipher, back or cipher, mac, mac, "none", "none", "", "")
    body = b"\x14" + bytes(16) + b"".join(struct.pack(">I", len(n)) + n.encode() for n in names) + bytes(5)
    return struct.pack(">IB", len(body) + 5, 4) + body + bytes(4)


def judged(client: bytes, server: bytes, side: int = 0) -> tuple[int, int]:
    """The application and the bits that two streams show, the client being of that side."""
    seen = [(client, side), (server, 1 - side)]
    reader = Ssh(side)
    assert reader.run([Datagram(data, of, 1, 0, False) for data, of in seen]) == []
    assert bool(reader.shown.answer) == (reader.shown.application == SSH_WEAK)
    return reader.shown.application, reader.shown.upgrade


def with_one(place: int, name: str) -> tuple[int, int]:
    """Likewise where both sides have one algorithm in place of a good one."""
    names = [*GOOD[:place], name, *GOOD[place + 1 :]]
    if place == 3:
        names[2] = "aes256-ctr"
    return judged(GREETING + lists(*names), GREETING + lists(*names))


@pytest.mark.parametrize(
    ("place", "names"),
    [
        (0, "diffie-hellman-group1-sha1 diffie-hellman-group-exchange-sha1 rsa1024-sha1 gss-group1-sha1-x gss-gex-sha1-x"),
        (1, "ssh-rsa ssh-dss ssh-rsa-cert-v01@openssh.com x509v3-ssh-rsa x509v3-sign-dss"),
        (2, "arcfour arcfour128 arcfour256 des-cbc 3des-cbc 3des-ctr blowfish-cbc cast128-cbc idea-cbc des-cbc@ssh.com"),
        (3, "hmac-md5 hmac-md5-96 hmac-md5-etm@openssh.com none"),
    ],
)  # fmt: skip
def test_weak_algorithms(place: int, names: str) -> None:
    """One weak algorithm among those agreed on makes the connection weak."""
    assert {name: with_one(place, name) for name in names.split()} == dict.fromkeys(names.split(), WEAK)


@pytest.mark.parametrize(
    ("agreed", "weak"),
    [
        ((GOOD[0], "ssh-rsa-cert-v01@openssh.com", *GOOD[2:]), "ssh-rsa"),
        (("gss-gex-sha1-x", "ssh-dss", "3des-cbc", "hmac-md5"), "gss-gex-sha1"),
        ((*GOOD[:2], "3des-ctr", "hmac-md5"), "3des-ctr"),
        ((*GOOD[:2], "aes256-ctr", "hmac-md5-96-etm@openssh.com"), "hmac-md5-96"),
        ((*GOOD[:2], "aes256-ctr", "none"), "none in place of a MAC"),
    ],
)
def test_what_is_weak_is_named(agreed: tuple[str, str, str, str], weak: str) -> None:
    """The first weak one of the algorithms agreed on is told, without whose it is."""
    reader = Ssh(0)
    reader.run([Datagram(GREETING + lists(*agreed), side, 1, 0, False) for side in (0, 1)])
    assert WEAK_NAMES[reader.shown.answer - 1] == weak


@pytest.mark.parametrize(
    ("place", "names"),
    [
        (0, "mlkem768x25519-sha256 sntrup761x25519-sha512 ecdh-sha2-nistp256 diffie-hellman-group14-sha256"),
        (1, "ecdsa-sha2-nistp256 rsa-sha2-512 rsa-sha2-256-cert-v01@openssh.com x509v3-rsa2048-sha256"),
        (2, "aes128-ctr aes256-cbc chacha20-poly1305@openssh.com AEAD_AES_256_GCM"),
        (3, "hmac-sha1 hmac-sha2-512-etm@openssh.com umac-128@openssh.com"),
    ],
)  # fmt: skip
def test_strong_algorithms(place: int, names: str) -> None:
    """What today's clients and servers agree on is strong."""
    assert {name: with_one(place, name) for name in names.split()} == dict.fromkeys(names.split(), STRONG)


def test_what_is_agreed_on() -> None:
    """The first of the client's algorithms that the server has counts, whatever else is offered, for each direction alone."""
    weak = "arcfour,3des-cbc"
    client = GREETING + lists(*GOOD[:2], f"aes256-ctr,{weak}", "hmac-sha2-256,none")
    assert judged(client, GREETING + lists(*GOOD[:2], f"{weak},aes256-ctr", "none,hmac-sha2-256")) == STRONG
    assert judged(client, GREETING + lists(*GOOD[:2], weak, "hmac-sha2-256")) == WEAK
    assert judged(client, GREETING + lists(*GOOD[:2], "aes256-ctr", "none")) == WEAK
    assert judged(client, GREETING + lists(*GOOD[:2], "aes128-ctr", "hmac-sha2-256")) == UNKNOWN  # nothing in common
    back = GREETING + lists(*GOOD[:2], "aes256-ctr", "hmac-sha2-256", back="aes256-ctr,none")
    assert judged(GREETING + lists(*GOOD[:2], "aes256-ctr", "hmac-sha2-256", back="none,aes256-ctr"), back) == CLEAR
    assert judged(back, GREETING + lists(*GOOD[:2], "aes256-ctr", "hmac-sha2-256", back="none"), side=1) == CLEAR
    assert judged(GREETING + lists(*GOOD[:3], "none"), GREETING + lists(*GOOD[:3], "none")) == STRONG  # GCM has its own


def test_what_is_not_seen() -> None:
    """Lists that are lost, cut or no lists are not known; text may come before a greeting; version 1 is weak by itself."""
    whole = GREETING + lists(*GOOD)
    assert judged(b"Hello\r\n" + whole, whole.replace(b"\r\n", b"\n", 1)) == STRONG
    assert judged(whole.replace(b"2.0", b"1.99", 1), whole) == STRONG
    assert judged(whole.replace(b"2.0", b"1.5", 1), whole) == WEAK
    for other in (b"", GREETING, whole[:-20], whole[:60], GREETING + bytes(300), whole[len(GREETING) :], whole[:3]):
        assert judged(whole, other) == UNKNOWN
    damaged = bytearray(whole)
    damaged[len(GREETING) + 22] = 255  # the length of the first list
    assert judged(whole, bytes(damaged)) == UNKNOWN


def test_a_client_that_is_not_known() -> None:
    """Where either side may be the client, what both would choose counts if it is of one kind."""

    def either(one: bytes, two: bytes) -> tuple[int, int]:
        reader = Ssh(255)
        reader.run([Datagram(GREETING + data, side, 1, 0, False) for side, data in ((0, one), (1, two))])
        return reader.shown.application, reader.shown.upgrade

    assert either(lists(*GOOD), lists(*GOOD)) == STRONG
    assert either(DES, DES) == WEAK
    first, last = (lists(*GOOD[:2], names, "hmac-sha1") for names in ("aes256-ctr,3des-cbc", "3des-cbc,aes256-ctr"))
    assert either(first, last) == UNKNOWN


ENCRYPTED = [("c", bytes(range(256))), ("s", bytes(range(256))[::-1])]
WHOLE = lists(*GOOD)
DES = lists(*GOOD[:2], "3des-cbc", "hmac-sha1")
NONE = lists(*GOOD[:2], "none", "hmac-sha1")
GREETINGS = [("s", GREETING), ("c", GREETING)]
# What both sides say, with the protocol's name, and the verdicts of the rules of the Pinpoint policy and of PCI DSS on it.
SCENES = {
    "strong": ([*GREETINGS, ("c", WHOLE), ("s", WHOLE), *ENCRYPTED], "ssh", "pass", "pass"),
    "in one segment": ([("s", GREETING + WHOLE), ("c", GREETING + WHOLE), *ENCRYPTED], "ssh", "pass", "pass"),
    "in small segments": (
        [("s", GREETING + WHOLE), ("c", GREETING), *(("c", WHOLE[k : k + 40]) for k in range(0, len(WHOLE), 40)), *ENCRYPTED],
        *("ssh", "pass", "pass"),
    ),
    "weak": ([*GREETINGS, ("c", DES), ("s", DES), *ENCRYPTED], "ssh-weak", "warn", "fail"),
    "no cipher": ([*GREETINGS, ("c", NONE), ("s", NONE), *ENCRYPTED], "ssh-clear", "fail", "fail"),
    "lists that are not there": ([*GREETINGS, *ENCRYPTED, *ENCRYPTED], "ssh", "pass", "not_observable"),
    "a greeting before TLS": ([("s", GREETING), *SHAKE], "tls", "pass", "pass"),
}  # fmt: skip


def test_rules_about_ssh(audit_bytes: Callable[..., auditor.Audit]) -> None:
    """SSH without a cipher fails, weak algorithms warn; where strength is asked for they fail, and have to be in the capture."""
    packets: list[bytes] = []
    for port, (turns, *_) in enumerate(SCENES.values(), 20_000):
        packets += wire.Talk(sport=port, dport=5555).open().play(turns).close().packets
    told = audit_bytes(wire.pcap(packets), all_traffic=True, policy=["aws-pinpoint", "pci-dss-4.0.1"])
    verdicts = {
        (row["flow_id"], row["rule"]): row["verdict"] for row in told.rows("verdicts", "flow_id", "rule", "verdict")
    }
    found = {
        row["client_port"]: (
            "tls" if row["tls_version"] else row["protocol"],
            verdicts[row["flow_id"], "NET101"],
            verdicts[row["flow_id"], "PCI105"],
        )
        for row in told.rows("flows", "flow_id", "client_port", "protocol", "tls_version")
    }
    assert {name: found[port] for port, name in enumerate(SCENES, 20_000)} == {
        name: row[1:] for name, row in SCENES.items()
    }
