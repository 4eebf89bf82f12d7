"""Makes the captures that the notebooks tell of: a fail-over, a week, and two months at the same office.

    python captures/make_stories.py [FOLDER]

As in ``make_samples.py``, each connection is a handshake of its own, run in memory; nothing is sent. Packed with gzip.
"""

import datetime as dt
import gzip
import random
import ssl
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from make_samples import (
    EMAIL,
    ENDPOINT,
    PINPOINT,
    REGION,
    SMS,
    SOCIAL,
    Flights,
    Keys,
    Scene,
    Session,
    http,
    post_quantum,
    smtp,
)

NEW, OLD, ANCIENT = ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1
NAMES = {
    service: f"{service}.{REGION}.amazonaws.com" for service in ("pinpoint", "sms-voice", "email", "social-messaging")
}
REQUEST, ANSWER = b"POST /v1/apps HTTP/1.1\r\n" * 4, b"HTTP/1.1 202 Accepted\r\n" * 9
HOUR, DAY = 3600.0, 86_400.0
UPGRADED = 3  # the day of the week on which the application servers get a new OpenSSL
MONTHS = {"october": (2026, 10, 12), "november": (2026, 11, 16)}


def begin(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> float:
    """A time, UTC."""
    return dt.datetime(year, month, day, hour, minute, second, tzinfo=dt.UTC).timestamp()


class Office:
    """The office's ways of talking to the messaging services; which numbers fall is the same each time."""

    def __init__(self, keys: Keys, seed: int) -> None:
        self.keys = keys
        self.scene = Scene()
        self.chance = random.Random(seed)  # noqa: S311 - lays out a sample

    def classical(self, service: str) -> Flights:
        """TLS 1.3 with a classical group."""
        return Session(self.keys, NEW, NAMES[service]).shake(REQUEST, ANSWER)

    def hybrid(self, service: str) -> Flights:
        """TLS 1.3 with X25519MLKEM768."""
        return post_quantum(self.keys, NAMES[service])

    def older(self, service: str, ciphers: str = "ECDHE+AESGCM") -> Flights:
        """TLS 1.2."""
        return Session(self.keys, OLD, NAMES[service], ciphers=ciphers).shake(REQUEST, ANSWER)

    def forgotten(self, service: str) -> Flights:
        """TLS 1.0 with RSA key exchange."""
        return Session(self.keys, ANCIENT, NAMES[service], ciphers="AES128-SHA").shake(REQUEST, ANSWER)

    def talk(
        self, when: float, client: str, server: str, flights: Flights, way: Any, rtt: float = 0.012, port: int = 443
    ) -> None:
        """A connection at a time, by one of the scene's ways or by a function for its frames."""
        self.scene.clock = when
        out = self.scene.over(way) if isinstance(way, str) else way
        self.scene.connection(client, server, port, flights, out, rtt=rtt * self.chance.uniform(0.92, 1.15))

    def public(self) -> str:
        """One of the office's public addresses."""
        return f"203.0.113.{self.chance.choice((11, 12, 13, 14, 15))}"


def moving(scene: Scene, first: str, then: str, packets: int) -> Callable[[Any, bool], tuple[str, Any]]:
    """Frames of one way, and behind so many packets of another: the route changed while the connection was open."""
    ways, sent = (scene.over(first), scene.over(then)), 0

    def out(packet: Any, from_client: bool) -> tuple[str, Any]:
        nonlocal sent
        sent += 1
        return ways[sent > packets](packet, from_client)

    return out


def failover(keys: Keys) -> Scene:
    """An afternoon on which the public virtual interface is down from 14:03:00 to 14:21:30, and traffic goes by the internet."""
    office = Office(keys, 14)
    down, up = begin(2026, 11, 25, 14, 3), begin(2026, 11, 25, 14, 21, 30)
    when = begin(2026, 11, 25, 13, 45)
    while when < begin(2026, 11, 25, 14, 45):
        is_down = down <= when < up
        server, service = office.chance.choice(((SMS, "sms-voice"), (EMAIL, "email"), (PINPOINT, "pinpoint")))
        flights = office.hybrid(service) if office.chance.random() < 0.4 else office.classical(service)
        office.talk(when, office.public(), server, flights, "isp" if is_down else "public", 0.045 if is_down else 0.012)
        if office.chance.random() < 0.35:  # by the private virtual interface, which stays up
            office.talk(
                when + 9, f"10.20.1.{office.chance.randint(10, 14)}", ENDPOINT, office.hybrid("pinpoint"), "private"
            )
        when += office.chance.uniform(30, 75)
    # A connection that is open when the interface goes down, and one when it comes back.
    long = [part for _ in range(4) for part in office.older("sms-voice")[-2:]]
    opened = office.older("sms-voice")
    office.talk(down - 0.06, "203.0.113.20", SMS, opened + long, moving(office.scene, "public", "isp", 12))
    opened = office.older("email")
    office.talk(up - 0.06, "203.0.113.21", EMAIL, opened + long, moving(office.scene, "isp", "public", 12))
    return office.scene


def week(keys: Keys) -> Scene:
    """A week in which the application servers learn post-quantum key exchange, and one machine still speaks TLS 1.0."""
    office = Office(keys, 7)
    for day in range(7):
        midnight = begin(2026, 11, 16) + day * DAY
        for _ in range(14 if day < 5 else 5):
            when = midnight + office.chance.uniform(7, 19) * HOUR
            hybrid = day >= UPGRADED and office.chance.random() < 0.8
            flights = office.hybrid("pinpoint") if hybrid else office.classical("pinpoint")
            office.talk(when, f"10.20.1.{office.chance.randint(10, 19)}", ENDPOINT, flights, "private")
        for _ in range(5 if day < 5 else 2):
            when = midnight + office.chance.uniform(7, 19) * HOUR
            office.talk(when, office.public(), SMS, office.older("sms-voice"), "public")
        nightly = midnight + 2 * HOUR  # a batch job that nobody has looked at for years
        office.talk(nightly, "10.20.2.50", ENDPOINT, office.forgotten("pinpoint"), "private")
        submission = Session(keys, NEW, f"email-smtp.{REGION}.amazonaws.com")
        office.talk(midnight + 12 * HOUR, "203.0.113.12", EMAIL, smtp(submission), "public", port=587)
    return office.scene


def month(keys: Keys, name: str) -> Scene:
    """A working day of a month: in November the old ERP is repaired, the branch has a VPN, and somebody tries plain HTTP."""
    office, is_later = Office(keys, MONTHS[name][1]), name == "november"
    nine = begin(*MONTHS[name], 9)
    for number in range(24):
        when = nine + number * HOUR / 4
        flights = office.hybrid("pinpoint") if is_later else office.classical("pinpoint")
        office.talk(when, f"10.20.1.{office.chance.randint(10, 19)}", ENDPOINT, flights, "private")
        office.talk(when + 60, office.public(), SMS, office.older("sms-voice"), "public")
    for number in range(6):
        when = nine + number * HOUR
        erp = office.older("email") if is_later else office.older("email", "kRSA+AES")
        office.talk(when + 120, "203.0.113.21", EMAIL, erp, "public")
        office.talk(when + 180, "10.20.2.50", ENDPOINT, office.forgotten("pinpoint"), "private")
        branch = ("10.20.4.9", ENDPOINT, "vpn") if is_later else ("203.0.113.31", PINPOINT, "isp")
        office.talk(when + 240, branch[0], branch[1], office.classical("pinpoint"), branch[2], 0.05)
        if is_later:
            ask, reply = http(NAMES["social-messaging"])
            office.talk(when + 300, "203.0.113.44", SOCIAL, [("c", ask), ("s", reply)], "public", port=80)
    return office.scene


def pack(scene: Scene, path: Path) -> None:
    """Write a scene, packed."""
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "scene.pcapng"
        scene.write(plain)
        path.write_bytes(gzip.compress(plain.read_bytes(), 9, mtime=0))
    print(f"{path}: {path.stat().st_size:,} bytes")


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        keys = Keys(Path(temporary))
        pack(failover(keys), folder / "failover.pcapng.gz")
        pack(week(keys), folder / "week.pcapng.gz")
        for name in MONTHS:
            pack(month(keys, name), folder / f"{name}.pcapng.gz")


if __name__ == "__main__":
    main()
