"""Addresses of objects in stores and on web servers, and what of them may be shown.

The query of a presigned URL is a secret: whoever has it can read the object. So are a user's name and password in a URL.
"""

import re
from pathlib import Path

from auditor.border.text import printable

WEB = ("http", "https")
SHOWN = ("s3://", "gs://", "az://", "abfs://", "https://")  # what is said of those that are known
SCHEMES = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", *WEB, "memory")
_URL = re.compile(rf"(?:{'|'.join(SCHEMES)})://", re.IGNORECASE)
_ANY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# pathlib makes one slash of two.
_FLATTENED = re.compile(rf"({'|'.join(SCHEMES)}):/(?=[^/])", re.IGNORECASE)
_QUERY = re.compile(r"[?#](?=[\w.~%-]*=).*", re.DOTALL)
_WEB_QUERY = re.compile(r"[?#].*", re.DOTALL)
_USER = re.compile(r"(?<=://)[^/?#:]*+:[^/?#]*@")
_WITHIN = re.compile(rf"(?:{'|'.join(SCHEMES)})://[^\s'\"<>]+", re.IGNORECASE)


def url_of(name: object) -> str | None:
    """The URL that a name is, also one that has been a ``Path``; None for what names a file."""
    text = str(name)
    if isinstance(name, Path):
        text = _FLATTENED.sub(r"\1://", text, count=1)
    scheme, rest = text.partition("://")[::2]
    return f"{scheme.lower()}://{rest}" if _URL.match(text) else None


def is_other(text: str) -> bool:
    """Whether a text is a URL of a kind that is not known."""
    return _ANY.match(text) is not None and url_of(text) is None


def scheme_of(url: str) -> str:
    """The scheme of a URL."""
    return url.partition(":")[0].lower()


def public(url: str) -> str:
    """A URL without what is secret in it, as text that is harmless wherever it is shown."""
    query = _WEB_QUERY if scheme_of(url) in WEB else _QUERY
    return printable(query.sub("", _USER.sub("", url)))


def has_user(url: str) -> bool:
    """Whether somebody's name and password are in a URL."""
    return _USER.search(url) is not None


def scrubbed(text: object) -> str:
    """What a library says, without the secrets of URLs in it."""
    return printable(_WITHIN.sub(lambda match: public(match[0]), str(text)))


def has_magic(url: str) -> bool:
    """Whether a URL stands for all objects whose names fit it."""
    if scheme_of(url) in WEB:
        path = url.partition("://")[2].partition("/")[2]
        return any(c in _WEB_QUERY.sub("", path) for c in "*[")
    return any(c in _QUERY.sub("", url) for c in "*?[")
