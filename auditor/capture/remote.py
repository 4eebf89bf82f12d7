"""Captures in stores and on web servers: objects, all below a prefix, or those that a pattern fits."""

import io
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import BinaryIO, cast

from auditor.border.urls import public
from auditor.capture import archives, recognised
from auditor.capture.archives import Member
from auditor.capture.beginnings import is_capture
from auditor.capture.compression import beginning_of_stream, damage
from auditor.capture.sniff import looks_like
from auditor.errors import InputError
from auditor.stores import client
from auditor.stores.client import Remote

HEAD = 512  # bytes by which a capture or an archive is recognised, of what is inside where it is packed
SNIFFED = 64 << 10  # bytes of an object that are enough to unpack so many


def captures(
    url: str, what: client.Found, say: Callable[[str], object] | None = None
) -> list[tuple[Remote, Member | None]]:
    """The objects of ``what`` a URL stands for, in order of their names, and each capture in those that are archives.

    ``say`` is called with a sentence on the objects below a prefix that are no captures. Raises InputError where nothing is.
    """
    if what.head is not None:
        (one,) = what.objects
        return _inside(one, what.head)
    if not what.objects:
        nothing = "nothing is below that prefix" if what.is_folder else "no object has a name like that"
        raise InputError(f"{public(url)}: {nothing}")
    unclear = [one for one in what.objects if not recognised.is_capture_name(PurePosixPath(one.name))]
    heads = dict(zip((one.url for one in unclear), client.beginnings(unclear, SNIFFED), strict=True))
    whys = {one.name: "an empty file" if one.size == 0 else _other_than_capture(heads[one.url]) for one in unclear}
    passed = {name: why for name, why in whys.items() if why is not None}
    taken = [one for one in what.objects if not what.is_folder or one.name not in passed]
    if passed and what.is_folder:
        names = {name.removeprefix(public(url)).lstrip("/"): why for name, why in passed.items()}
        sentence = recognised.passed_over(public(url), names)
        if not taken:
            raise InputError(sentence)
        if say is not None:
            say(sentence)
    return [place for one in taken for place in _inside(one, heads.get(one.url, b""))]


def _inside(one: Remote, head: bytes) -> list[tuple[Remote, Member | None]]:
    """An object, or the captures in it where its first bytes are an archive's."""
    members = archives.members_of_stream(one.name, head, cast("Callable[[], BinaryIO]", one.open)) if head else None
    return [(one, None)] if members is None else [(one, member) for member in members]


def _other_than_capture(head: bytes) -> str | None:
    """What an object is instead of a capture or an archive, by its first bytes; what cannot be read shows why when it is."""
    if not head:
        return None
    try:
        inner = beginning_of_stream(io.BytesIO(head), HEAD)
    except damage() as error:
        return str(error)
    return None if is_capture(inner) or archives.kind_of(inner) is not None else looks_like(inner)
