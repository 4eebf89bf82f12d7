"""Public keys of a key exchange with which anybody can know its result are refused, whichever side sent them."""

import struct
from collections.abc import Callable

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import auditor
from auditor.tls import curves
from auditor.tls.dh_groups import known_primes
from tests import wire

RSA = b"\x04\x01\x01\0" + bytes(256)  # rsa_pkcs1_sha256, and a signature of 256 bytes
PRIME = next(iter(prime for prime, name in known_primes(2048).items() if "ffdhe" in name))
P25519, P448 = 2**255 - 19, 2**448 - 2**224 - 1
FINISHED = wire.record(20, b"\1") + wire.record(22, bytes(range(7, 47)))
GOOD = 2**1000 + 7
FIELD = {"one": 1, "the prime minus 1": PRIME - 1, "the prime": PRIME, "more than the prime": PRIME + 2}
SMALL = {"one": 1, "minus 1": P25519 - 1, "the prime": P25519, "zero with the unused bit": 1 << 255}
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
    "a finite field's one": (256, bytes(255) + b"\1", b"\x31" * 256),
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


def test_keys_that_were_blanked(audit_bytes: Callable[..., auditor.Audit]) -> None:
    """Zeros in the place of whole keys are what anonymised captures hold: a real peer would have aborted (RFC 8446 7.4.2)."""
    x25519, x448, named = (29, bytes(32), bytes(32)), (30, bytes(56), bytes(56)), (256, bytes(256), bytes(256))
    for flights in (tls_1_3(*x25519), tls_1_3(*x448), tls_1_3(*named), ecdhe(*x25519), dhe(0, 0)):
        assert verdict(audit_bytes, flights)[0] == "pass"


def test_zero_as_a_number(audit_bytes: Callable[..., auditor.Audit]) -> None:
    """Zero that is written as a number, not as a blanked key, is refused as any other bad key."""
    flights = tls_1_2(0x9E, field(PRIME) + vector(b"\2") + vector(b"\0") + RSA, field(GOOD))
    assert verdict(audit_bytes, flights)[0] == "fail"


CURVES: dict[int, ec.EllipticCurve] = {23: ec.SECP256R1(), 24: ec.SECP384R1(), 25: ec.SECP521R1()}


def point(group: int) -> bytes:
    """A public key in a curve, as it goes over the wire."""
    key = ec.generate_private_key(CURVES[group]).public_key()
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


@pytest.mark.parametrize("group", CURVES)
def test_points_that_are_not_on_their_curve(audit_bytes: Callable[..., auditor.Audit], group: int) -> None:
    """A point of a NIST curve has to be on it (RFC 8446 4.2.8.2, RFC 8422 5.11), whichever side sent it; any that is passes."""
    good, size = point(group), len(point(group)) // 2
    moved = good[:-1] + bytes([good[-1] ^ 1])
    large = b"\4" + b"\xff" * size + good[-size:]
    for bad in (moved, large):
        for who, pair in {"server": (bad, good), "client": (good, bad)}.items():
            for flights in (ecdhe(group, *pair), tls_1_3(group, *pair)):
                said, reason = verdict(audit_bytes, flights)
                assert (said, reason.partition(": ")[2]) == (
                    "fail",
                    f"the {who}'s public key is not a point of the curve",
                )
    for flights in (ecdhe(group, good, point(group)), tls_1_3(group, good, point(group))):
        assert verdict(audit_bytes, flights)[0] == "pass"


@pytest.mark.parametrize("group", CURVES)
def test_points_that_were_blanked(audit_bytes: Callable[..., auditor.Audit], group: int) -> None:
    """Coordinates of one byte repeated are no point that a peer sent, but what a tool put in a point's place."""
    size = len(point(group))
    for fill in (bytes(size), b"\4" + bytes(size - 1), b"\4" + b"\x11" * (size - 1)):
        for flights in (ecdhe(group, fill, point(group)), tls_1_3(group, point(group), fill)):
            assert verdict(audit_bytes, flights)[0] == "pass"


def test_arithmetic_of_curves() -> None:
    """The kernel's arithmetic agrees with plain whole numbers on points, on points moved, and at the edges of the field."""
    scratch = np.zeros(curves.WORKPLACE, np.uint8)
    for group, (prime, b, size) in zip(CURVES, curves._CURVES, strict=True):
        edges = (0, 1, 2, prime - 2, prime - 1, prime, prime + 1, (1 << size * 8) - 1)
        pairs = [(x, y) for x in edges for y in edges]
        for _ in range(4):
            key = point(group)
            x, y = int.from_bytes(key[1 : size + 1], "big"), int.from_bytes(key[size + 1 :], "big")
            pairs += [(x, y), (x, prime - y), (y, x), (x ^ 1, y)]
        for x, y in pairs:
            data = np.frombuffer(x.to_bytes(size, "big") + y.to_bytes(size, "big"), np.uint8)
            expected = x < prime and y < prime and (y * y - x**3 + 3 * x - b) % prime == 0
            with np.errstate(over="ignore"):
                assert curves.is_on_curve(scratch, data, 0, group) == expected
