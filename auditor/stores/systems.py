"""File systems of fsspec by scheme, with credentials and settings from the user's own configuration alone."""

import errno
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from auditor.border.urls import WEB, public, scheme_of, scrubbed
from auditor.machine.installing import install

# The package and the extra that a scheme needs.
NEEDED = {
    **dict.fromkeys(("s3", "s3a"), ("s3fs", "s3")),
    **dict.fromkeys(("gs", "gcs"), ("gcsfs", "gcs")),
    **dict.fromkeys(("az", "abfs", "abfss"), ("adlfs", "azure")),
    **dict.fromkeys(WEB, ("aiohttp", "http")),
}
CONNECT, SILENCE = 20, 60  # seconds until a server has answered, and between two pieces of what it sends
RAW = {"Accept-Encoding": "identity"}  # the bytes of the file itself, not packed on their way
# What no second attempt makes better.
FINAL: tuple[type[BaseException], ...] = (
    FileNotFoundError, PermissionError, IsADirectoryError, NotImplementedError, ImportError, ValueError, TypeError,
)  # fmt: skip
CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError", "ClientAuthenticationError")
UNREACHED = (
    "ClientConnectorError",
    "EndpointConnectionError",
    "ConnectTimeoutError",
    "ServiceRequestError",
    "gaierror",
)


class MissingError(ImportError):
    """What a scheme needs is not installed."""


def located(url: str) -> tuple[Any, str]:
    """The file system that a URL is of, and what it calls it. Raises MissingError naming the extra."""
    scheme = scheme_of(url)
    package, extra = NEEDED.get(scheme, ("fsspec", "http"))
    try:
        _load(package)
        core = import_module("fsspec.core")
    except ImportError as error:
        raise MissingError(f"{scheme}:// needs the Python package {package}: {install(extra)}") from error
    system, path = core.url_to_fs(url, use_listings_cache=False, **_options(scheme, url))
    return system, str(path)


def _load(package: str) -> None:
    """Load what a scheme needs. Raises ImportError."""
    if package == "s3fs":
        import_module("s3fs")
    elif package == "gcsfs":
        import_module("gcsfs")
    elif package == "adlfs":
        import_module("adlfs")
    elif package == "aiohttp":
        import_module("aiohttp")


def _options(scheme: str, url: str) -> dict[str, Any]:
    """Settings beyond the user's own: waiting is bounded, versions are used where the store has them."""
    if scheme in WEB:
        timeout = import_module("aiohttp").ClientTimeout(total=None, sock_connect=CONNECT, sock_read=SILENCE)
        client = {
            "timeout": timeout,
            "auto_decompress": False,
            "trust_env": True,
            "headers": RAW,
            "read_bufsize": 1 << 22,
            "response_class": import_module("auditor.stores.listing").Listing,
        }
        return {
            "client_kwargs": client,
            "simple_links": False,
            "encoded": "%" in url,
        }  # what is quoted is sent as it is
    if scheme in ("s3", "s3a"):
        return {"config_kwargs": {"connect_timeout": CONNECT, "read_timeout": SILENCE}}
    if scheme in ("gs", "gcs"):
        return {"version_aware": True}
    return {}


def is_final(error: BaseException) -> bool:
    """Whether another attempt would fail as well: something is not there, not allowed, or not so."""
    status = getattr(error, "status", None)
    if isinstance(status, int) and 400 <= status < 500 and status not in (408, 425, 429):
        return True
    names = {type(one).__name__ for one in chain(error)}
    return isinstance(error, FINAL) or not names.isdisjoint(CREDENTIALS)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def reason(error: BaseException) -> str:
    """Why a store did not do what it was asked to, in a few words without secrets."""
    if isinstance(error, MissingError):
        return str(error)
    names = {type(one).__name__ for one in chain(error)}
    stated = (getattr(one, "status", None) for one in chain(error))
    statuses = [status for status in stated if isinstance(status, int)]
    if not names.isdisjoint(CREDENTIALS):
        return "no credentials for it: set them in the environment, a profile or a role, as its own tools take them"
    if not names.isdisjoint(UNREACHED):
        return f"cannot be reached ({_words(error)})"
    if isinstance(error, PermissionError) or 401 in statuses or 403 in statuses:
        return f"access is refused ({_words(error)})"
    if statuses and 404 not in statuses:
        return f"the server answers {statuses[0]}"
    if isinstance(error, FileNotFoundError) or 404 in statuses:
        return "no such object"
    return f"cannot be read ({_words(error)})"


def _words(error: BaseException) -> str:
    text = scrubbed(" ".join(str(getattr(error, "strerror", None) or error).split()))
    return (text or type(error).__name__)[:300]


def has_not(url: str) -> FileNotFoundError:
    """The error of an object that is not there."""
    return FileNotFoundError(errno.ENOENT, "no such object", public(url))
