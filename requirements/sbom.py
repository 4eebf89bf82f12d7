"""Writes the bill of materials of a wheel, as CycloneDX: what it is, what it needs, and under which licences.

python requirements/sbom.py WHEEL > SBOM. Versions are those that requirements/run.txt locks; licences are as the installed
packages state them.
"""

import hashlib
import importlib.metadata
import re
import sys
import zipfile
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

LOCK = Path(__file__).with_name("run.txt")
PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)
NAME = re.compile(r"[A-Za-z0-9._-]+")
TROVE = {
    "License :: OSI Approved :: GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "License :: OSI Approved :: MIT License": "MIT",
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
}
LONGEST = 80  # of a licence that is named; some packages have the whole text there


def normal(name: str) -> str:
    """A package's name as indexes have it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def licence(about: importlib.metadata.PackageMetadata) -> str | None:
    """What a package states as its licence: an expression, a name, or a classifier's."""
    told = about["License-Expression"] or about["License"]
    if told and len(told) <= LONGEST and told != "UNKNOWN":
        return str(told)
    return next((TROVE[one] for one in about.get_all("Classifier") or () if one in TROVE), None)


def component(name: str, version: str, about: importlib.metadata.PackageMetadata | None) -> Component:
    """A library that the wheel needs."""
    url = PackageURL("pypi", name=normal(name), version=version)
    made = Component(name=name, version=version, type=ComponentType.LIBRARY, purl=url, bom_ref=str(url))
    told = licence(about) if about is not None else None
    if told is not None:
        made.licenses.add(LicenseFactory().make_from_string(told))
    return made


def installed(name: str) -> importlib.metadata.PackageMetadata | None:
    """What an installed package says of itself; None where it is not installed here."""
    try:
        return importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def needs(requirements: list[str]) -> Iterator[str]:
    """The names of what is required."""
    for one in requirements:
        if (found := NAME.match(one)) is not None:
            yield normal(found[0])


def bill(wheel: Path) -> Bom:
    """The bill of materials."""
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        about = HeaderParser().parsestr(archive.read(metadata).decode())
    url = PackageURL("pypi", name=normal(about["Name"]), version=about["Version"])
    digest = HashType(alg=HashAlgorithm.SHA_256, content=hashlib.sha256(wheel.read_bytes()).hexdigest())
    root = Component(
        name=about["Name"],
        version=about["Version"],
        type=ComponentType.APPLICATION,
        purl=url,
        bom_ref=str(url),
        hashes=[digest],
        licenses=[LicenseFactory().make_from_string(about["License-Expression"])],
    )
    made = Bom()
    made.metadata.component = root
    parts = {
        normal(name): component(name, version, installed(name)) for name, version in PINNED.findall(LOCK.read_text())
    }
    for part in parts.values():
        made.components.add(part)
    made.register_dependency(root, [parts[name] for name in needs(about.get_all("Requires-Dist") or [])])
    for name, part in parts.items():
        told = installed(name)
        wanted = needs(told.get_all("Requires-Dist") or []) if told is not None else ()
        made.register_dependency(part, [parts[one] for one in wanted if one in parts and one != name])
    return made


if __name__ == "__main__":
    sys.stdout.write(JsonV1Dot6(bill(Path(sys.argv[1]))).output_as_string(indent=2) + "\n")
