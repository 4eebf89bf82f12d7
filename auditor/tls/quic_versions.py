"""QUIC's versions and their names."""

VERSION_2 = 0x6B3343CF
DRAFT_OF_2 = 0x709A50C4  # draft-ietf-quic-v2 before it had its number
# Facebook's mvfst speaks these drafts under numbers of its own.
RENAMED = {0xFACEB001: 22, 0xFACEB002: 27, 0xFACEB003: 29}


def draft_of(version: int) -> int | None:
    """The number of the draft that a version is; None for versions 1, 2 and unknown ones."""
    return version & 0xFF if version >> 8 == 0xFF0000 else RENAMED.get(version)


def version_text(version: int) -> str:
    """``1``, ``2``, ``draft-29``, an unknown one in hexadecimal."""
    draft = draft_of(version)
    if draft is not None:
        return f"draft-{draft}"
    return {1: "1", VERSION_2: "2", DRAFT_OF_2: "draft-v2"}.get(version, f"0x{version:08x}")
