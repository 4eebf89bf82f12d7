"""How to install what is missing, in a command that works where this package came from: an index, a folder, an archive."""

import json
import shlex
from importlib import metadata
from urllib.parse import unquote, urlsplit

PACKAGE = "traffic-auditor"


def install(extra: str) -> str:
    """The command that installs an extra of this package."""
    try:
        origin = metadata.distribution(PACKAGE).read_text("direct_url.json")  # PEP 610; none if it is of an index
    except metadata.PackageNotFoundError:  # not installed at all: a checkout
        return f"pip install {shlex.quote(f'.[{extra}]')} in the project's folder"
    return f"pip install {_requirement(json.loads(origin) if origin else {}, extra)}"


def _requirement(origin: dict[str, object], extra: str) -> str:
    """What pip takes for the package with an extra, from the same place; PEP 610 says how places are written."""
    url = str(origin.get("url", ""))
    place = urlsplit(url)
    directory, vcs = origin.get("dir_info"), origin.get("vcs_info")
    if place.scheme == "file":
        path = shlex.quote(f"{unquote(place.path)}[{extra}]")
        return f"-e {path}" if isinstance(directory, dict) and directory.get("editable") else path
    if isinstance(vcs, dict):
        url = f"{vcs.get('vcs')}+{url}@{vcs.get('commit_id')}"
    return shlex.quote(f"{PACKAGE}[{extra}]{f' @ {url}' if url else ''}")
