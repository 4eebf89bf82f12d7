"""Other inputs of an audit that lie in stores: brought into a temporary folder, and called by their URLs all the same."""

import shutil
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from auditor.border.urls import public, url_of
from auditor.errors import AuditError, InputError
from auditor.machine import writing
from auditor.options import Options, PathLike

if TYPE_CHECKING:
    from auditor.stores.client import Remote

SEVERAL, ONE = ("policy", "routes", "witnesses"), ("topology", "aws", "ip_ranges")
SECRETS = {"keylog": "--keylog", "join_key": "--join-key"}
MOST_BYTES = 8 << 30  # of all of them together
STEP = 1 << 20


class FetchedInputs(AbstractContextManager["FetchedInputs"]):
    """While it holds, ``options`` name files here; ``named`` gives what is said of them the names that they have there.

    ``is_alone``: no other machine reads them.
    """

    def __init__(self, options: Options, *, is_alone: bool) -> None:
        self.given, self.options = options, options
        self._is_alone = is_alone
        self._folder: Path | None = None
        self._names: dict[str, str] = {}  # of files here, those they have there
        self._left = MOST_BYTES

    def __enter__(self) -> Self:
        for name, option in SECRETS.items():
            given = getattr(self.given, name)
            for one in given if isinstance(given, tuple) else (given,):
                if one is not None and (url := url_of(one)) is not None:
                    raise InputError(f"{option} {public(url)}: secrets are read from files alone")
        try:
            changed: dict[str, object] = {
                name: tuple(map(self._local, getattr(self.given, name))) for name in SEVERAL if self._has(name)
            }
            changed |= {name: self._local(getattr(self.given, name)) for name in ONE if self._has(name)}
            if changed:
                self.options = replace(self.given, **changed, say=self._saying(self.given.say))  # type: ignore[arg-type]
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()
        if isinstance(error, AuditError) and self._names:
            raise type(error)(self.named(str(error))) from error

    def named(self, text: str) -> str:
        """A text with the names that files have in their stores."""
        for here, there in self._names.items():
            text = text.replace(here, there)
        return text

    def _has(self, name: str) -> bool:
        given = getattr(self.given, name)
        return any(one is not None and url_of(one) is not None for one in (given if name in SEVERAL else (given,)))

    def _saying(self, say: Callable[[str], None] | None) -> Callable[[str], None] | None:
        return None if say is None else lambda text: say(self.named(text))

    def _local(self, given: PathLike) -> PathLike:
        """A file or folder here with what is at a URL; what names none as it is."""
        from auditor.stores import client

        url = url_of(given)
        if url is None:
            return given
        if not self._is_alone:
            raise InputError(
                f"{public(url)}: give a cluster captures in stores, and other inputs where all its machines see them"
            )
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="audit-inputs-"))
        place = self._folder / f"{len(self._names):04d}"
        what = client.find(url)
        if not what.objects:
            raise InputError(f"{public(url)}: nothing is there")
        if what.head is None:  # a folder, or what a pattern fits
            self._names[str(place)] = public(url).rstrip("/")
            base = public(url).rstrip("/") + "/"
            for one in what.objects:
                self._fetch(one, place / _behind(one.name, base))
            return place
        file = place / (Path(public(url)).name or "input")
        self._names[str(file)] = public(url)
        self._fetch(what.objects[0], file)
        return file

    def _fetch(self, one: "Remote", file: Path) -> None:
        if ".." in file.parts:
            raise InputError(f"{one.name}: a name that leads elsewhere")
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with one.open() as stream, writing.held(file.parent) as folder, writing.new_file(file.name, folder) as out:
                while piece := stream.read(STEP):
                    self._left -= len(piece)
                    if self._left < 0:
                        raise InputError(f"{one.name}: with what comes before it more than {MOST_BYTES >> 30} GiB")
                    out.write(piece)
        except OSError as error:
            raise InputError(f"{one.name}: cannot be kept here: {error.strerror or error}") from error

    def _remove(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def _behind(name: str, base: str) -> str:
    """What an object is called below a prefix, or in its store where a pattern found it."""
    return name.removeprefix(base) if name.startswith(base) else name.partition("://")[2]
