"""What a file that is no capture looks like, in a few words for the error."""

LOOKS = (
    (b"PK\x03\x04", "a ZIP archive; unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive; unpack it first"),
    (b"Rar!", "a RAR archive; unpack it first"),
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x7fELF", "a program (ELF)"),
    (b"MZ", "a Windows program"),
    (b"PAR1", "a Parquet file; `audit report` and `Audit.load` read saved results"),
    (b"SQLite format 3", "an SQLite database"),
    (b"RTSS", "a Network Monitor capture; convert it with: editcap -F pcap FILE OUT.pcap"),
    (b"GMBU", "a Network Monitor capture; convert it with: editcap -F pcap FILE OUT.pcap"),
    (b"#separator", "a Zeek log"),
    (b"#!", "a script"),
    (b"-----BEGIN", "a PEM file"),
    (b"<?xml", "an XML document"),
    (b"<!DOCTYPE", "an HTML page"),
    (b"<html", "an HTML page"),
)
KEY_LOG = (b"CLIENT_RANDOM ", b"CLIENT_HANDSHAKE_TRAFFIC_SECRET ", b"CLIENT_TRAFFIC_SECRET_0 ", b"# SSL/TLS secrets")


def looks_like(head: bytes) -> str:
    """A few words for what begins with ``head`` (up to a few hundred bytes), ending a sentence «it looks like …»."""
    if not head:
        return "an empty file"
    for magic, words in LOOKS:
        if head.startswith(magic):
            return words
    if head[257:262] == b"ustar":
        return "a tar archive; unpack it first"
    if head.startswith(KEY_LOG):
        return "a TLS key log"
    if not head.strip(b"\0"):
        return "zeros"
    try:
        text = head[:256].decode("utf-8")
    except UnicodeDecodeError:
        return f"binary data that begins with {head[:4].hex(' ')}"
    if text.lstrip()[:1] in ("{", "["):
        return "JSON"
    first = text.splitlines()[0] if text.strip() else ""
    if text.isprintable() or first.isprintable():
        return "CSV text" if first.count(",") > 2 else "plain text"
    return f"binary data that begins with {head[:4].hex(' ')}"
