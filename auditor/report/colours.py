"""The colours of reports: each verdict, path, version and class of suites has one, in every chart, page and notebook.

Within a set the colours can be told apart with each kind of colour blindness, stand out from the page, light or dark, and are
in no other set: a colour has one meaning (``tests/test_colours.py`` measures all three). A word or a sign is beside each.
"""

from typing import NamedTuple

from auditor.tables.versions import DRAFTS, EQUALS
from auditor.tls.suites import AEAD, properties


class Colour(NamedTuple):
    """A colour on light and on dark ground."""

    light: str
    dark: str


PAPER, SOFT = Colour("#ffffff", "#14181d"), Colour("#f4f6f8", "#1d232a")
INK, DIM = Colour("#1b1f24", "#e8ebef"), Colour("#535d68", "#a7b0ba")
LINE = Colour("#d3d9e0", "#39424c")
ACCENT = Colour("#0b5cad", "#7ab8ff")  # links, and what is chosen

VERDICT = {
    "fail": Colour("#a7042b", "#f05249"),
    "warn": Colour("#9d6500", "#f9a308"),
    "not_observable": Colour("#72127b", "#b86ae0"),
    "pass": Colour("#00774f", "#6cf5bc"),
    "not_applicable": Colour("#4e5b66", "#84939e"),
}
SIGN = {"fail": "✕", "warn": "!", "not_observable": "?", "pass": "✓", "not_applicable": "–"}
PATH = {
    "direct-connect": Colour("#2154b8", "#3d70e8"),
    "vpn": Colour("#009298", "#9af2eb"),
    "vpc": Colour("#4f165c", "#daa3ff"),
    "private": Colour("#948258", "#cdef7c"),
    "unknown": Colour("#525252", "#848484"),
    "internet": Colour("#d45f05", "#e0603f"),
}
# What can be said of the way of a flow (``report.answer.WAYS``), whichever path it was.
WAY = {
    "proven": Colour("#005515", "#1ba85f"),
    "likely": Colour("#51918d", "#83fff0"),
    "half": Colour("#9a80c0", "#cab5ea"),
    "not private": Colour("#bb6f56", "#ffbe9f"),
    "unknown": PATH["unknown"],
}
UNKNOWN = Colour("#7d848c", "#949ba3")
# From worst to best: reds for what is broken, then yellow, then blues.
VERSION = {
    "SSL 2.0": Colour("#5a1e27", "#e32e17"),
    "SSL 3.0": Colour("#8a0300", "#e06b5f"),
    "TLS 1.0": Colour("#c75a52", "#ffb545"),
    "TLS 1.1": Colour("#ab7d00", "#ebdf83"),
    "TLS 1.2": Colour("#5b90cc", "#69e5ff"),
    "TLS 1.3": Colour("#244d93", "#3780c0"),
}
# A suite has the colour of what it protects; from best to worst.
SUITE = {
    "forward secret, authenticated encryption": Colour("#1a4852", "#487b52"),
    "forward secret": Colour("#3f9b16", "#b7e04f"),
    "not forward secret": Colour("#a97756", "#e0a878"),
    "broken, or no encryption": Colour("#663500", "#9d6818"),
    "unknown": UNKNOWN,
}
POST_QUANTUM = {
    "pure": Colour("#3a2a9c", "#7d55f0"),
    "hybrid": Colour("#a064e6", "#b9d6f8"),
    "classical": Colour("#80573e", "#dfc7ac"),
    "obsolete": Colour("#7d2a50", "#b463b3"),
    "not seen": UNKNOWN,
}
BROKEN = ("NULL", "RC4", "RC2", "DES", "DES40", "3DES", "IDEA")  # RFC 9325 4.1 and RFC 7465
WEAK_BITS = 112  # RFC 9325 4.1: less may not be negotiated


def version_class(name: str | None) -> str:
    """The version of TLS that a version is the equal of, as DTLS and drafts are of one."""
    return "TLS 1.3" if name in DRAFTS else EQUALS.get(name or "", name or "")


def version(name: str | None) -> Colour:
    """The colour of a version."""
    return VERSION.get(version_class(name), UNKNOWN)


def suite_class(name: str | None) -> str:
    """What a suite protects: one of ``SUITE``."""
    known = properties(name)
    if known is None or known.cipher == "?":
        return "unknown"
    if known.cipher in BROKEN or known.export or known.anonymous or known.bits < WEAK_BITS:
        return "broken, or no encryption"
    # A suite of TLS 1.3 leaves the key exchange open, which is ephemeral but for a bare PSK.
    if known.forward_secrecy is False:
        return "not forward secret"
    return "forward secret, authenticated encryption" if known.mode in AEAD else "forward secret"


def suite(name: str | None) -> Colour:
    """The colour of a suite."""
    return SUITE[suite_class(name)]


def path(name: str | None) -> Colour:
    """The colour of a path."""
    return PATH.get(name or "", UNKNOWN)
