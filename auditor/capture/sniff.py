"""What a file that is no capture looks like, in a few words for the error, and how to come by a capture."""

import re
import struct

from auditor.border.words import counted
from auditor.capture.as_text import PCAPNG_AS_TEXT
from auditor.capture.text_forms import EDITCAP, NO_PACKETS, form_of

AS_UTF_8 = "iconv -f UTF-16 -t UTF-8"  # what PowerShell's > wrote
AS_TEXT = "that was transferred as text, which destroys it; transfer it as binary"
IN_BASE64 = "in base64; decode it with: base64 -d FILE > OUT"
LOOKS = (
    (b"PK\x03\x04", "a ZIP archive; give it as a file, or unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive; unpack it first"),
    (b"Rar!", "a RAR archive; unpack it first"),
    (b"MSCF", "a Windows cabinet; unpack it first with: expand -F:* FILE FOLDER"),
    (b"\x1f\x9d", "a file packed by compress (.Z); unpack it first with: gzip -dc FILE > OUT"),
    (b"\x1f\xa0", "a file packed by compress (.Z); unpack it first with: gzip -dc FILE > OUT"),
    (b"\x5d\0\0", "a file packed by lzma; unpack it first with: xz -dc --format=lzma FILE > OUT"),
    (b"\x02\x21\x4c\x18", "a file packed by lz4 in its legacy form; unpack it first with: lz4 -d FILE OUT"),
    (b"\xff\x06\0\0sNaPpY", "a file packed by Snappy; unpack it first with: snzip -dc FILE > OUT"),
    (b"\x89LZO\0", "a file packed by lzop; unpack it first with: lzop -dc FILE > OUT"),
    (b"LZIP", "a file packed by lzip; unpack it first with: lzip -dc FILE > OUT"),
    (b"070701", "a cpio archive; unpack it first with: cpio -id < FILE"),
    (b"070707", "a cpio archive; unpack it first with: cpio -id < FILE"),
    (b"!<arch>\n", "an ar archive; unpack it first with: ar x FILE"),
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x7fELF", "a program (ELF)"),
    (b"MZ", "a Windows program"),
    (b"PAR1", "a Parquet file; `audit report` and `Audit.load` read saved results"),
    (b"SQLite format 3", "an SQLite database"),
    (b"RTSS", f"a Network Monitor capture; {EDITCAP}"),
    (b"GMBU", f"a Network Monitor capture; {EDITCAP}"),
    (b"\xac\x01\x00\x1c", f"an IXIA capture (lcap); {EDITCAP}"),
    (b"\x1c\x00\x01\xac", f"an IXIA capture (lcap); {EDITCAP}"),
    (b"\xab\x01\x00\x1c", f"an IXIA capture (lcap); {EDITCAP}"),
    (b"\x1c\x00\x01\xab", f"an IXIA capture (lcap); {EDITCAP}"),
    (b"TRSNIFF data", f"a Sniffer capture; {EDITCAP}"),
    (b"XCP\0", f"a NetXray capture; {EDITCAP}"),
    (b"iptrace ", f"an AIX iptrace; {EDITCAP}"),
    (b"\x7fver", f"an OmniPeek capture; {EDITCAP}"),
    (b"\x05VNF", f"a Visual Networks capture; {EDITCAP}"),
    (b"ObserverPktBuffer", f"a capture of Observer; {EDITCAP}"),
    (b"\xaa\xaa\xaa\xaa", f"a 5Views capture; {EDITCAP}"),
    (b"\x01\x10\x4c\x00", f"a LANalyzer capture; {EDITCAP}"),
    (b"\x54\x52\x00\x64\x00", f"an HP-UX nettl trace; {EDITCAP}"),
    (b"\0\0\0\1\0\0\0\0\0\7\xd0\0", f"an HP-UX nettl trace; {EDITCAP}"),
    (b"EyeSDN", f"an EyeSDN trace; {EDITCAP}"),
    (b"Session Transcript", f"a Catapult DCT2000 trace; {EDITCAP}"),
    (b"\x0c\xa5", f"NetFlow records of nfdump; {NO_PACKETS}"),
    (b"\0\x05\x16\x07", "what macOS keeps beside a file (AppleDouble); give the file itself, whose name does not begin with ._"),
    (b"\xd0\xcf\x11\xe0", "a mail or document of Microsoft Office; save the capture out of it"),
    (b"ElfFile\0", f"a Windows event log; {NO_PACKETS}"),
    (b"Salted__", "a file encrypted by openssl enc; decrypt it first"),
    (b"age-encryption.org/", "a file encrypted by age; decrypt it first"),
    (b"-----BEGIN PGP MESSAGE", "a file encrypted by PGP; decrypt it first"),
    (b"btsnoop\0", "a Bluetooth capture (btsnoop); no IP is in it"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself; get that with: git lfs pull"),
    (b"1MOyo", f"a capture {IN_BASE64}.pcap"),
    (b"TTyyo", f"a capture {IN_BASE64}.pcap"),
    (b"obLD1", f"a capture {IN_BASE64}.pcap"),
    (b"obI8T", f"a capture {IN_BASE64}.pcap"),
    (b"data:", "a data URL; decode it with: cut -d, -f2- FILE | base64 -d > OUT.pcap"),
    (b"b'\\x", "bytes as Python shows them; write the bytes themselves, to a file opened with mode wb"),
    (b"Cg0NC", f"a capture {IN_BASE64}.pcapng"),
    (b"H4sI", f"a packed file {IN_BASE64}.gz"),
    (b"KLUv/", f"a packed file {IN_BASE64}.zst"),
    (b"/Td6WFo", f"a packed file {IN_BASE64}.xz"),
    (b"Qlpo", f"a packed file {IN_BASE64}.bz2"),
    (b"begin 644 ", "a file in uuencode; decode it with: uudecode -o OUT.pcap FILE"),
    (b"begin-base64 ", "a file in uuencode; decode it with: uudecode -o OUT.pcap FILE"),
    (b"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", f"a capture {AS_TEXT}"),
    (b"+---------+---------------+----------+", f"a capture in the text form of K12; {EDITCAP}"),
    (b"#separator", "a Zeek log; give it with --witness beside a capture"),
    (b"version account-id", "a VPC flow log; give it with --witness beside a capture"),
    (b"#!", "a script"),
    (b"-----BEGIN", "a PEM file"),
)  # fmt: skip
KEY_LOG = re.compile(
    rb"# SSL/TLS secrets|RSA [0-9a-f]{16} |(?:CLIENT|SERVER|EARLY_EXPORTER|EXPORTER)(?:_[A-Z]+)+(?:_0)? [0-9a-f]{2,} ",
    re.IGNORECASE,
)
TEXT_MARKS = (b"\xef\xbb\xbf",)
BYTE_ORDER_MARKS = (*TEXT_MARKS, b"\xff\xfe", b"\xfe\xff")
# How captures, and what they are packed in, begin behind something else: what a program said before it wrote one, say.
BEGINNINGS = re.compile(
    rb"(?P<pcap>(?:\xd4\xc3\xb2|\x34\xcd\xb2|\x4d\x3c\xb2)\xa1\x02\0\x04\0|\xa1\xb2(?:\xc3\xd4|\x3c\x4d|\xcd\x34)\0\x02\0\x04)"
    rb"|(?P<pcapng>\n\r\r\n....(?:\x4d\x3c\x2b\x1a|\x1a\x2b\x3c\x4d))"
    rb"|(?P<gz>\x1f\x8b\x08[\0-\x1f])|(?P<zst>\x28\xb5\x2f\xfd)|(?P<xz>\xfd7zXZ\0)|(?P<bz2>BZh[1-9]1AY&SY)",
    re.DOTALL,
)


def looks_like(head: bytes) -> str:
    """A few words for what begins with ``head`` (up to a few hundred bytes), ending a sentence «it looks like …»."""
    if not head:
        return "an empty file"
    for magic, words in LOOKS:
        if head.startswith(magic):
            return words
    if head[257:262] == b"ustar":
        return "a tar archive; give it as a file, or unpack it first"
    if KEY_LOG.match(head):
        return "a TLS key log"
    if b"NetScaler" in head[:16]:
        return f"a NetScaler trace; {EDITCAP}"
    if is_event_trace(head):
        return "a Windows event trace (ETL); make a capture of it with: pktmon etl2pcap FILE, or etl2pcapng FILE OUT.pcapng"
    if is_commview(head):
        return f"a capture of CommView; {EDITCAP}"
    if PCAPNG_AS_TEXT.match(head):
        return f"a pcapng {AS_TEXT}"
    if not head.strip(b"\0"):
        return "zeros"
    return _behind_other(head) or _text_like(head) or f"binary data that begins with {head[:4].hex(' ')}"


def _behind_other(head: bytes) -> str | None:
    """What a capture looks like that does not begin where the file does; None for anything else."""
    found = BEGINNINGS.search(head)
    if found is None or found.start() == 0:
        return None
    at, form = found.start(), str(found.lastgroup)
    what = "a capture" if form.startswith("pcap") else "a packed file"
    others = "a byte order mark" if head[:at] in BYTE_ORDER_MARKS else counted(at, "other byte")
    return f"{what} behind {others}; cut off what is before it with: tail -c +{at + 1} FILE > OUT.{form}"


def is_event_trace(head: bytes) -> bool:
    """Whether a file begins with a buffer of Event Tracing for Windows: sizes that fit, then the version of the log."""
    size, saved, offset = (int.from_bytes(head[at : at + 4], "little") for at in (0, 4, 8))
    if len(head) < 0x80 or not 1024 <= size <= 1 << 24 or size % 512 or saved > size or offset > size:
        return False
    return any(5 <= head[at] <= 11 and head[at + 2 : at + 4] == b"\1\5" for at in range(0x50, 0x78, 4))


def is_commview(head: bytes) -> bool:
    """Whether a file begins with a record of CommView: its length, in .ncf twice and then a version of 0, and a date and time."""
    for at in (5, 4):  # in .ncf, in .ncfx
        year, month, day, hour, minute, second = struct.unpack_from("<H5B", head.ljust(at + 7, b"\0"), at)
        has_length = head[:2] == head[2:4] if at == 5 else head[2:4] == b"\0\0"
        is_time = 1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 61
        if has_length and any(head[:2]) and (at == 4 or head[4] == 0) and 1990 <= year < 2100 and is_time:
            return True
    return False


def _text_like(head: bytes) -> str | None:
    """What a text looks like; None for what is none."""
    for mark in TEXT_MARKS:
        head = head.removeprefix(mark)
    is_utf_16 = head[:2] in (b"\xff\xfe", b"\xfe\xff")
    if is_utf_16:
        text = head.decode("utf-16", "ignore")
    else:
        try:
            text = head.decode("utf-8")
        except UnicodeDecodeError as error:
            if error.end < len(head) - 3:  # not only cut off inside its last character
                return None
            text = head[: error.start].decode("utf-8")
    if (words := form_of(text)) is not None:
        return words.replace(" FILE", f" <({AS_UTF_8} FILE)") if is_utf_16 else words
    first = text.lstrip().splitlines()[0] if text.strip() else ""
    if text.isprintable() or first.expandtabs().isprintable():
        return "CSV text" if first.count(",") > 2 else "plain text"
    return None
