"""Known Diffie-Hellman primes: who chose the group matters, because the work to break one is shared by all its users.

The primes of RFC 2409, RFC 3526 and RFC 7919 follow one formula each, with digits of pi and e so that nobody can have
hidden anything in them; they are computed from it here.
"""

from functools import cache
from math import gcd, prod

# bits -> the number that makes it the first safe prime (RFC 2409 6, RFC 3526 2-7; RFC 7919 A)
_PI_GROUPS = {
    768: 149686,
    1024: 129093,
    1536: 741804,
    2048: 124476,
    3072: 1690314,
    4096: 240904,
    6144: 929484,
    8192: 4743158,
}
_E_GROUPS = {2048: 560316, 3072: 2625351, 4096: 5736041, 6144: 15705020, 8192: 10965728}
LENGTHS = (*_PI_GROUPS, *_E_GROUPS)
_GUARD = 64  # bits computed beyond those that are used


def _arctan_of_inverse(x: int, bits: int) -> int:
    """arctan(1/x) as a fraction with ``bits`` bits."""
    term = total = (1 << bits) // x
    n, sign = 3, -1
    while term:
        term //= x * x
        total += sign * (term // n)
        n, sign = n + 2, -sign
    return total


def _pi(bits: int) -> int:
    """floor(pi * 2**bits), by Machin's formula."""
    wide = bits + _GUARD
    return 4 * (4 * _arctan_of_inverse(5, wide) - _arctan_of_inverse(239, wide)) >> _GUARD


def _e(bits: int) -> int:
    """floor(e * 2**bits)."""
    term = total = 1 << (bits + _GUARD)
    n = 1
    while term:
        term //= n
        total += term
        n += 1
    return total >> _GUARD


def _prime(bits: int, digits: int, added: int) -> int:
    return (1 << bits) - (1 << (bits - 64)) - 1 + ((digits + added) << 64)


@cache
def known_primes(bits: int) -> dict[int, str]:
    """Prime of that length -> name of the group."""
    known = {}
    if bits in _PI_GROUPS:
        source = "RFC 2409" if bits <= 1024 else "RFC 3526"
        known[_prime(bits, _pi(bits - 130), _PI_GROUPS[bits])] = f"modp{bits} ({source})"
    if bits in _E_GROUPS:
        known[_prime(bits, _e(bits - 130), _E_GROUPS[bits])] = f"ffdhe{bits} (RFC 7919)"
    return known


@cache
def _small_primes() -> int:
    """The product of the primes below 4096."""
    sieve = bytearray([1]) * 4096
    for n in range(2, 64):
        sieve[n * n :: n] = bytes(len(range(n * n, 4096, n)))
    return prod(n for n in range(2, 4096) if sieve[n])


def group_of(prime: bytes) -> str:
    """What is known of a prime: a standard group, or ``own prime``; with ``weak`` where it is shorter than 2048 bits.

    A number with a small factor is no prime, and whoever chose it may have made it so (Wong, 2016: socat's).
    """
    number = int.from_bytes(prime, "big")
    name = known_primes(number.bit_length()).get(number, "own prime")
    if name == "own prime" and gcd(number, _small_primes()) > 1:
        return "not a prime, weak"
    return f"{name}, weak" if number.bit_length() < 2048 else name
