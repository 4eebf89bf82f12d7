"""The colours of reports: told apart by everybody, visible on both grounds, and in one place."""

import itertools
import re

import numpy as np
import pytest

from auditor.report import colours
from auditor.report.colours import Colour
from auditor.report.page import style
from tests.conftest import ROOT

# Machado, Oliveira and Fernandes 2009: what somebody sees without one kind of cones, in linear RGB.
SIGHTS = {
    "all": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = np.array([0.9505, 1.0, 1.089])
APART = 20  # CIE 1976 difference; 2.3 is just noticeable
SETS = {
    "verdicts": list(colours.VERDICT.values()),
    "paths": list(colours.PATH.values()),
    "versions": [*colours.VERSION.values(), colours.UNKNOWN],
    "ways": list(colours.WAY.values()),
    "suites": list(colours.SUITE.values()),
    "key exchanges": list(colours.POST_QUANTUM.values()),
}
ELSEWHERE = 8  # the same between colours of different sets, as most people see them
SCHEMES = {"light": 0, "dark": 1}


def linear(colour: str) -> np.ndarray:
    values = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(light: np.ndarray) -> np.ndarray:
    ratio = TO_XYZ @ np.clip(light, 0, 1) / WHITE
    f = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(one: str, two: str) -> float:
    """WCAG 2.2: relative luminances."""
    high, low = sorted((float(TO_XYZ[1] @ linear(colour)) for colour in (one, two)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", SETS)
def test_colours_are_told_apart(name: str, scheme: str) -> None:
    """Any two colours of a set differ clearly, for each kind of colour blindness."""
    for matrix in SIGHTS.values():
        seen = [lab(matrix @ linear(colour[SCHEMES[scheme]])) for colour in SETS[name]]
        assert min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen, 2)) > APART


@pytest.mark.parametrize("scheme", SCHEMES)
def test_colours_are_visible(scheme: str) -> None:
    """Text has a contrast of 4.5 to both grounds (WCAG 2.2 1.4.3), and shapes of 3 (1.4.11)."""
    which = SCHEMES[scheme]
    grounds = (colours.PAPER[which], colours.SOFT[which])
    texts: list[Colour] = [colours.INK, colours.DIM, colours.ACCENT, *colours.VERDICT.values()]
    shapes = [colour for one in SETS.values() for colour in one]
    assert min(contrast(text[which], ground) for text in texts for ground in grounds) >= 4.5
    assert min(contrast(shape[which], ground) for shape in shapes for ground in grounds) >= 3


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_colour_has_one_meaning(scheme: str) -> None:
    """No colour of a set is in another one, nor looks like one there, but for what is unknown in both."""
    unknown = {colours.UNKNOWN, colours.PATH["unknown"]}
    known = [[one[SCHEMES[scheme]] for one in colour_set if one not in unknown] for colour_set in SETS.values()]
    for some, others in itertools.combinations(known, 2):
        pairs = itertools.product(some, others)
        assert min(float(np.linalg.norm(lab(linear(a)) - lab(linear(b)))) for a, b in pairs) > ELSEWHERE


def test_versions_and_suites_have_one_colour_each() -> None:
    """DTLS and drafts have the colour of the TLS they are the equals of; a suite has that of what it protects."""
    assert colours.version("DTLS 1.2") == colours.version("TLS 1.2") == colours.VERSION["TLS 1.2"]
    assert colours.version("TLS 1.3 (draft 28)") == colours.VERSION["TLS 1.3"]
    assert colours.version("0x1234") == colours.version(None) == colours.UNKNOWN
    classes = {
        "TLS_AES_128_GCM_SHA256": "forward secret, authenticated encryption",
        "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "forward secret",
        "TLS_RSA_WITH_AES_128_GCM_SHA256": "not forward secret",
        "TLS_ECDHE_RSA_WITH_RC4_128_SHA": "broken, or no encryption",
        "TLS_RSA_WITH_NULL_SHA256": "broken, or no encryption",
        "TLS_RSA_EXPORT_WITH_RC4_40_MD5": "broken, or no encryption",
        "TLS_DH_anon_WITH_AES_128_GCM_SHA256": "broken, or no encryption",
        "0x1234": "unknown",
    }
    assert {name: colours.suite_class(name) for name in classes} == classes


def test_no_colour_is_elsewhere() -> None:
    """Templates and scripts take colours from the one module; what is printed at the foot of a page is its dim ink."""
    folder = ROOT / "auditor" / "report"
    for path in [*folder.rglob("*.html"), *folder.rglob("*.js"), *folder.rglob("*.css"), *folder.rglob("*.py")]:
        found = set(re.findall(r"#[0-9a-fA-F]{6}\b", path.read_text(encoding="utf-8")))
        assert path.name == "colours.py" or found <= {colours.DIM.light}, path


def test_strings_in_style_sheets_are_escaped() -> None:
    """Whatever a capture is called, its name cannot end the string that it stands in at the foot of each page."""
    assert style.string('a"}</style>') == '"a' + "".join(f"\\{ord(c):06x} " for c in '"}</') + 'style\\00003e "'
