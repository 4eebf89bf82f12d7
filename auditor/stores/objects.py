"""One object of a store, range by range; each is of the version that the first was of, or the difference is reported."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from importlib import import_module
from typing import Any, TypeVar

from auditor.border.urls import WEB, scheme_of
from auditor.border.words import is_number
from auditor.stores import systems

T = TypeVar("T")
ATTEMPTS, PAUSE = 5, 0.2  # of what is asked of a store, beyond those of its library; seconds, doubled each time
GONE = {"PreconditionFailed", "412", "NoSuchVersion"}  # codes of S3: it is not that version any more
OUT_OF_RANGE = {"InvalidRange", "416"}


class ChangedError(Exception):
    """The object is not the one any more whose first bytes were read."""


class NoRangesError(Exception):
    """The server gives the whole object or nothing."""


@dataclass(frozen=True)
class Version:
    """What an object is known again by, as far as its store says: nothing of it is a secret."""

    size: int | None = None
    etag: str | None = None
    modified: float | None = None  # seconds since 1970
    number: str | None = None  # that the store gives to each version

    @classmethod
    def of(cls, info: dict[str, Any]) -> "Version":
        """What fsspec says of an object."""
        size, modified = info.get("size"), None
        for name in ("LastModified", "last_modified", "mtime", "updated", "created", "Last-Modified"):
            if (modified := _seconds(info.get(name))) is not None:
                break
        etag = info.get("ETag") or info.get("etag")
        number = info.get("VersionId") or info.get("generation") or info.get("version_id")
        return cls(
            int(size) if size is not None else None,
            str(etag) if etag else None,
            modified,
            str(number) if number not in (None, "null") else None,
        )

    def differs(self, other: "Version") -> bool:
        """Whether another one is of other bytes, in anything that both say."""
        pairs = zip(asdict(self).values(), asdict(other).values(), strict=True)
        return any(a is not None and b is not None and a != b for a, b in pairs)

    def with_more(self, other: "Version") -> "Version":
        """Itself, with what only the other says."""
        return replace(self, **{name: value for name, value in asdict(other).items() if getattr(self, name) is None})


def _seconds(value: Any) -> float | None:
    """A time that a store states, in its own way, in seconds since 1970."""
    if isinstance(value, int | float):
        return float(value)
    if hasattr(value, "timestamp"):
        return float(value.timestamp())
    if not isinstance(value, str):
        return None
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            return float(parse(value).timestamp())
        except (ValueError, TypeError):
            continue
    return None


def persistently(ask: Callable[[], T]) -> T:
    """What a store gives, asked again where that may help. Raises what it raised last."""
    pause = PAUSE
    for _ in range(ATTEMPTS - 1):
        try:
            return ask()
        except (ChangedError, NoRangesError):
            raise
        except Exception as error:
            if systems.is_final(error):
                raise
        time.sleep(pause)
        pause *= 2
    return ask()


class StoreObject:
    """An object of any store that fsspec knows."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.system, self.path = systems.located(url)

    def look(self) -> Version:
        """What it is now. Raises FileNotFoundError where it is not, or is a folder."""
        info = persistently(lambda: self.system.info(self.path))
        if info.get("type") == "directory":
            raise systems.has_not(self.url)
        return Version.of(info)

    def read(self, begin: int, end: int, version: Version) -> tuple[bytes, Version]:
        """Bytes from ``begin`` to before ``end`` or its end, and the version that they are of."""
        return persistently(lambda: self._read(begin, end, version))

    def _read(self, begin: int, end: int, version: Version) -> tuple[bytes, Version]:
        if version.size is None or begin == 0:
            now = self.look()
            if version.differs(now):
                raise ChangedError
            version = version.with_more(now)
        assert version.size is not None
        end = min(end, version.size)
        path = f"{self.path}#{version.number}" if scheme_of(self.url) in ("gs", "gcs") and version.number else self.path
        data: bytes = self.system.cat_file(path, start=begin, end=end) if end > begin else b""
        if len(data) != max(0, end - begin):
            if version.differs(self.look()):
                raise ChangedError
            raise OSError(f"{len(data)} bytes came for {end - begin}")
        return data, version

    def wait(self, coroutine: Awaitable[T]) -> T:
        """The result of what runs in the library's own loop."""
        result: T = import_module("fsspec.asyn").sync(self.system.loop, lambda: coroutine)
        return result


class S3Object(StoreObject):
    """An object of S3, which gives ranges of one version alone."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        bucket, _, key = self.path.partition("/")
        key, _, version = key.partition("?versionId=")
        self.asked = version or None
        self.place = {"Bucket": bucket, "Key": key}

    def look(self) -> Version:
        return persistently(lambda: self._version(self._call("head_object", self._numbered(self.asked))))

    def _numbered(self, number: str | None) -> dict[str, str]:
        return {"VersionId": number} if number else {}

    def _call(self, method: str, more: dict[str, str]) -> dict[str, Any]:
        async def call() -> dict[str, Any]:
            response: dict[str, Any] = await self.system._call_s3(method, **self.place, **more)  # noqa: SLF001 - the async form
            if method == "get_object":
                response["Body"] = await response["Body"].read()
            return response

        return self.wait(call())

    @staticmethod
    def _version(response: dict[str, Any]) -> Version:
        _, _, whole = str(response.get("ContentRange", "")).partition("/")
        return Version.of({**response, "size": int(whole) if is_number(whole) else response.get("ContentLength")})

    def _read(self, begin: int, end: int, version: Version) -> tuple[bytes, Version]:
        if version.size == 0:
            return b"", version
        more = self._numbered(version.number or self.asked)
        if not more and version.etag:
            more["IfMatch"] = version.etag
        try:
            response = self._call("get_object", {"Range": f"bytes={begin}-{end - 1}", **more})
        except Exception as error:
            codes = _codes(error)
            if codes & GONE or (begin and isinstance(error, FileNotFoundError)):
                raise ChangedError from error
            if begin == 0 and codes & OUT_OF_RANGE:
                return b"", replace(version, size=0)
            raise
        now = self._version(response)
        if version.differs(now):
            raise ChangedError
        return response["Body"], version.with_more(now)


def _codes(error: BaseException) -> set[str]:
    """The codes by which S3 says what is wrong."""
    response = (getattr(one, "response", None) for one in systems.chain(error))
    return {str(one.get("Error", {}).get("Code")) for one in response if isinstance(one, dict)}


class WebObject(StoreObject):
    """A file of a web server, which may know ranges and versions, or not."""

    def look(self) -> Version:
        """What it is now, by its first byte: who may read a presigned URL may ask for nothing else."""
        try:
            return self.read(0, 1, Version())[1]
        except NoRangesError:
            return persistently(lambda: self.wait(self._headers({})))

    def _read(self, begin: int, end: int, version: Version) -> tuple[bytes, Version]:
        return self.wait(self._range(begin, end, version))

    async def request(self, headers: dict[str, str]) -> Any:
        """An answer of the server, whose body has not been read. Raises where it is none that has one."""
        session = await self.system.set_session()
        answer = await session.get(self.system.encode_url(self.url), headers=headers)
        if answer.status >= 400 and answer.status != 416:
            answer.close()
            if answer.status == 412:
                raise ChangedError
            answer.raise_for_status()
        return answer

    async def _headers(self, headers: dict[str, str]) -> Version:
        answer = await self.request(headers)
        answer.close()
        return stated(answer)

    async def _range(self, begin: int, end: int, version: Version) -> tuple[bytes, Version]:
        headers = {"Range": f"bytes={begin}-{end - 1}"}
        if version.etag is not None and not version.etag.startswith("W/"):
            headers["If-Match"] = version.etag
        answer = await self.request(headers)
        try:
            if answer.status == 416 and begin == 0:
                return b"", replace(version, size=0)
            now = stated(answer)
            if version.differs(now) or answer.status == 416:
                raise ChangedError
            if answer.status != 206 or now.size is None:
                raise NoRangesError
            return await answer.read(), version.with_more(now)
        finally:
            answer.release() if answer.content.at_eof() else answer.close()


def stated(answer: Any) -> Version:
    """What the headers of an answer say of the whole file."""
    headers = answer.headers
    whole = (
        headers.get("Content-Range", "").rpartition("/")[2]
        if answer.status == 206
        else headers.get("Content-Length", "")
    )
    info = {"size": int(whole) if is_number(whole) else None, "ETag": headers.get("ETag")}
    return Version.of({**info, "Last-Modified": headers.get("Last-Modified")})


def found(url: str) -> StoreObject:
    """The object of a URL."""
    scheme = scheme_of(url)
    return WebObject(url) if scheme in WEB else S3Object(url) if scheme in ("s3", "s3a") else StoreObject(url)
