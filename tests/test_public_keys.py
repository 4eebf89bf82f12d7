"""Public keys of a key exchange with which anybody can know its result are refused, whichever side sent them."""

import struct
from collections.abc import Callable

import pytest

import auditor
from auditor.tls.dh_groups import known_primes
from tests import wire

RSA = b"\x04\x01\x01\0" + bytes(256)  # rsa_pkcs1_sha256, and a signature of 256 bytes
PRIME = next(iter(prime for prime, name in known_primes(2048).items() if "ffdhe" in name))
P25519, P448 = 2**255 - 19, 2**448 - 2**224 - 1
FINISHED = wire.record(20, b"\1") + wire.record(22, bytes(range(7, 47)))
GOOD = 2**1000 + 7
FIELD = {"zero": 0, "one": 1, "the prime minus 1": PRIME - 1, "the prime": PRIME, "more than the prime": PRIME + 2}
SMALL = {"zero": 0, "one": 1, "minus 1": P25519 - 1, "the prime": P25519, "zero with the unused bit": 1 << 255}
SMALL["order 8"] = int.from_bytes(
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"), "little"
)


def vector(data: bytes) -> bytes:
    return struct.pack(">H", len(data)) + data


def field(number: int) -> bytes:
    return vector(number.to_bytes(256, "big"))


def verdict(run: Callable[..., auditor.Audit], flights: list[tuple[str, bytes]]) -> tuple[str, str]:
    """What the rule on groups says of a handshake."""
    data = wire.pcap(wire.Talk().open().play([*flights, ("c", wire.record(23, bytes(99)))]).close().packets)
    told = run(data, policy=["rfc9325"])
    row = wire.only(told.verdicts[told.verdicts.rule == "BCP111"])
    return str(row["verdict"]), str(row["reason"])


def tls_1_2(suite: int, exchange: bytes, client: bytes) -> list[tuple[str, bytes]]:
    server = wire.record(22, wire.server_hello(suite)) + wire.record(22, wire.message(12, exchange))
    answer = wire.record(22, wire.message(16, client)) + FINISHED
    hello = wire.record(22, wire.client_hello(suites=(suite,)))
    return [("c", hello), ("s", server), ("c", answer), ("s", FINISHED)]


def dhe(server: int, client: int) -> list[tuple[str, bytes]]:
    return tls_1_2(0x9E, field(PRIME) + vector(b"\2") + field(server) + RSA, field(client))


def ecdhe(group: int, server: bytes, client: bytes) -> list[tuple[str, bytes]]:
    exchange = b"\3" + struct.pack(">H", group) + bytes([len(server)]) + server + RSA
    return tls_1_2(0xC02F, exchange, bytes([len(client)]) + client)


def tls_1_3(group: int, server: bytes, client: bytes) -> list[tuple[str, bytes]]:
    def share(key: bytes) -> bytes:
        return struct.pack(">H", group) + vector(key)

    offered = wire.extension(43, b"\2\3\4") + wire.extension(51, vector(share(client)))
    chosen = wire.extension(43, b"\3\4") + wire.extension(51, share(server))
    hello = wire.record(22, wire.client_hello(suites=(0x1301,), extensions=offered))
    data = wire.record(23, bytes(range(200)))
    return [("c", hello), ("s", wire.record(22, wire.server_hello(0x1301, extensions=chosen)) + data), ("c", data)]


@pytest.mark.parametrize("side", ["server", "client"])
@pytest.mark.parametrize("number", FIELD)
def test_numbers_that_give_the_result_away(audit_bytes: Callable[..., auditor.Audit], number: str, side: str) -> None:
    """A public key of DHE has to be from 2 to p-2 (RFC 7919 5.1, SP 800-56A Rev. 3 5.6.2.3.1)."""
    keys = {"server": GOOD, "client": GOOD} | {side: FIELD[number]}
    assert verdict(audit_bytes, dhe(keys["server"] % 2**2048, keys["client"] % 2**2048))[0] == "fail"


@pytest.mark.parametrize("side", ["server", "client"])
@pytest.mark.parametrize("number", SMALL)
def test_points_of_small_order(audit_bytes: Callable[..., auditor.Audit], number: str, side: str) -> None:
    """X25519 with a point of small order yields zero for every secret key (RFC 7748 6.1, RFC 8446 7.4.2)."""
    keys = {"server": b"\x31" * 32, "client": b"\x42" * 32} | {side: SMALL[number].to_bytes(32, "little")}
    pair = keys["server"], keys["client"]
    for flights in (ecdhe(29, *pair), tls_1_3(29, *pair)):
        expected = f"key exchange in x25519: the {side}'s public key is a point of small order"
        assert verdict(audit_bytes, flights) == ("fail", expected)


POOR = {
    "x448": (30, P448.to_bytes(56, "little"), b"\x31" * 56),
    "a finite field's zero": (256, bytes(256), b"\x31" * 256),
    "a finite field's prime minus 1": (256, (PRIME - 1).to_bytes(256, "big"), b"\x31" * 256),
    "infinity": (23, b"\0", b"\4" + bytes(range(64))),
}


@pytest.mark.parametrize("scene", POOR)
def test_other_groups_of_tls_1_3(audit_bytes: Callable[..., auditor.Audit], scene: str) -> None:
    """The same is true of X448, of finite fields by name, and of the point at infinity."""
    said, reason = verdict(audit_bytes, tls_1_3(*POOR[scene]))
    assert (said, "the server's public key" in reason) == ("fail", True)


def test_good_public_keys(audit_bytes: Callable[..., auditor.Audit]) -> None:
    """Any other number or point passes, with leading zeros too; a poor key share in a group that was not chosen does not count."""
    unused = tls_1_3(29, b"\x31" * 32, b"\x42" * 32)
    shares = struct.pack(">H", 30) + vector(bytes(56)) + struct.pack(">H", 29) + vector(b"\x42" * 32)
    offered = wire.extension(43, b"\2\3\4") + wire.extension(51, vector(shares))
    unused[0] = ("c", wire.record(22, wire.client_hello(suites=(0x1301,), extensions=offered)))
    hybrid = tls_1_3(0x11EC, bytes(range(64)) * 17 + bytes(32), b"\x31" * 1216)  # its other part still makes a secret
    for flights in (dhe(2, PRIME - 2), dhe(GOOD, 3), ecdhe(29, b"\x31" * 32, b"\x42" * 32), unused, hybrid):
        assert verdict(audit_bytes, flights)[0] == "pass"
