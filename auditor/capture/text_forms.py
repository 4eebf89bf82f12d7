"""Packets written as text: what such a text is called, and how a capture is made of it, where that can be done."""

import re

EDITCAP = "convert it with: editcap -F pcap FILE OUT.pcap"
WITNESS = "give it with --witness beside a capture"
NO_PACKETS = "the packets themselves are not in it"
HEX_DUMP = "a hex dump of packets"
# Lines as those of tcpdump -x become the form that text2pcap reads: an offset, then one byte after the other.
BYTES_APART = (
    r"s/^\s*([0-9a-fA-F]{4,8}):?\s+(([0-9a-fA-F]{2,8} ?){1,8}).*/\1 \2/; T; "
    r":a; s/ ([0-9a-fA-F]{2})([0-9a-fA-F]{2})/ \1 \2/; ta; p"
)
OF_TCPDUMP = r"s/^\s*0x([0-9a-f]+):?\s+(([0-9a-f]{2,4} ?){1,8}).*/\1 \2/; T; s/ ([0-9a-f]{2})([0-9a-f]{2})/ \1 \2/g; p"
OF_LINES = "s/[ :]//g; s/../& /g; s/^/000000 /"
OF_HEXDUMP = r"s/ *\|.*//; s/^([0-9a-f]+) +/\1: /; s/  / /g"  # two spaces end a line of xxd's
OCTAL = 's/^([0-7]+)/sprintf("%08x:", oct $1)/e'
LINK_IP = " -l 101"  # of a dump that begins with IP
TO_TEXT2PCAP = "text2pcap{link} {source} OUT.pcap"
OFFSET = r"[> \t]*+(?:0x)?0{3,8}:?\s+"
# Dumps in which the first packet, or the file, begins at offset 0: its first bytes are the group of the pattern.
DUMP = re.compile(rf"^{OFFSET}((?:[0-9a-f]{{2,8}}\s+){{4}})", re.IGNORECASE | re.MULTILINE)
TCPDUMP = re.compile(r"^[ \t]*+0x0{3,4}:?\s+", re.MULTILINE)
# Files as dumped: by hexdump -C, by od with offsets in octal, and the bytes of a first line.
HEXDUMP = re.compile(r"^0{8}  (?:[0-9a-f]{2} ){8} ", re.MULTILINE)
OD = re.compile(r"^0{7} ", re.MULTILINE)
FIRST_LINE = re.compile(r"0{6,8}:? (?: ?[0-9a-f]{2,4})+", re.IGNORECASE)
C_ARRAY = re.compile(r"(?:/\*.*\*/\s*)?(?:static |const )*(?:unsigned char|char|u_?int8_t) (\w+)\s*\[\d*\] *= *\{")
LIST_LINE = re.compile(r"^ *\d+ +\d+\.\d+ +\S+ (?:→|->) ", re.MULTILINE)
ONLY_DUMP = "grep -E '^[0-9a-fA-F]{4,8} ' FILE"
# A dump whose lines say no offset: at least three of sixteen bytes.
BARE = re.compile(r"(?:^[ \t]*+(?:[0-9a-f]{2} ){15}[0-9a-f]{2}[ \t]*+\r?\n){3}", re.IGNORECASE | re.MULTILINE)
LINES = re.compile(r"(?:[0-9a-f]{2}[ :]?){24,}(?:\n|$)", re.IGNORECASE)
SHORTEST_FRAME = 40  # bytes
BYTES_OF_LINE = 16  # of a dump, where xxd is not told another number
BEGINS_IP = re.compile(r"4[5-9a-f]0|60")
# How captures and what is packed begin, as a dump shows them: byte by byte, or by two in the host's order.
FILES = (
    "d4c3b2a1",
    "a1b2c3d4",
    "4d3cb2a1",
    "a1b23c4d",
    "0a0d0d0a",
    "1f8b",
    "504b0304",
    "28b52ffd",
    "fd377a58",
    "425a68",
)
WORDS = ("c3d4a1b2", "3c4da1b2", "0d0a0a0d", "8b1f", "141724120662", "006412005015")
# A pcap's first bytes in code pages 1252, 437 and 850, as PowerShell writes what a program gives to its ``>``.
REDIRECTED = ("\u00d4\u00c3\u00b2\u00a1", "\u2558\u251c\u2593\u00ed", "\u00c8\u251c\u2593\u00ed")
# What may stand before the first element of XML. Possessive, as all repetition within repetition has to be: the text is a stranger's.
PROLOG = r"(?:<\?[^>]*+>\s*+|<!--(?:[^-]|-(?!->))*+-->\s*+)*+"
LISTS = (
    (r"<!doctype html|<html", "an HTML page, which a failed or refused download leaves; download the capture again"),
    (rf"{PROLOG}<Error>\s*<Code>", "an error message of S3 or another object store; download the capture again, with the right to"),
    (rf"{PROLOG}<(pdml|psml)", f"tshark's XML; {NO_PACKETS}: write a capture with tshark -w"),
    (r"<\?xml", "an XML document"),
    (r"(\.\./)*(\.git)?/?annex/objects/", "a git-annex pointer, not the file itself; get that with: git annex get"),
    (r'"No\.","Time","Source"', f"Wireshark's list of packets; {NO_PACKETS}: save the capture itself"),
    (r'\{\s*"log"\s*:\s*\{', f"an HTTP archive (HAR); {NO_PACKETS}"),
    (r"\[\w+\]\[\w+\] ?\S+:[iIoOeE]+\d*\[", f"text of Check Point's fw monitor; {NO_PACKETS}: write a capture with fw monitor -o"),
    (r"\[\d+\][0-9a-f]{4}\.[0-9a-f]{4}::", f"a Windows trace as text; {NO_PACKETS}: make a capture of the .etl file with pktmon etl2pcap"),
    (r"(?s).*PktGroupId \d+", f"text of pktmon; {NO_PACKETS}: make a capture of the .etl file with pktmon etl2pcap"),
    (r'[\[{]\s*(\{\s*"_index"|"index"|"timestamp"\s*:\s*"\d+")', f"tshark's JSON; {NO_PACKETS}: write a capture with tshark -w"),
    (r"No\. +Time +Source +Destination", f"Wireshark's list of packets; {NO_PACKETS}: save the capture itself"),
    (r"(?s).*^[0-9A-F]{8}:(?: +[0-9A-F]{2,8})+ ", "a Cisco router's dump of a capture buffer; export that itself: monitor capture NAME export LOCATION"),
    (r"interface: \S+ \([0-9a-f.:/ ]+\)", f"ngrep's text; {NO_PACKETS}: write a capture with ngrep -O"),
    (r"== \d{4}-\d\d-\d\d [\d:.]+ [+-]\d+ ==\s+Packet received", f"a Palo Alto firewall's packet diagnostics; {NO_PACKETS}: export its filtered captures"),
    (r" *\d+ +time=[\d.]+ num=\d+ direction=", f"text of MikroTik's sniffer; {NO_PACKETS}: save them with /tool sniffer save"),
    (r'\{.*"event_type" ?: ?"', f"a Suricata log; {WITNESS}"),
    (r'\{.*"id\.orig_h" ?: ?"', f"a Zeek log; {WITNESS}"),
    (r'\{\s*"Records" ?: ?\[\s*\{\s*"eventVersion"', f"CloudTrail events; {WITNESS}"),
    (r"\d+ \d{12} eni-", f"a VPC flow log; {WITNESS}"),
    (r'[\[{]\s*+(["\[\]{}]|-?\d++(\.\d++)?\s*+[,\]]|true|false|null)', "JSON"),
    (r"\*Packet number: \d+\*", "text of a SonicWall's packet monitor; export it in its form Libpcap"),
    (r"(?s).* -> \S+ +(TCP|UDP) D=\d+ S=\d+", f"snoop's text; {NO_PACKETS}: write a capture with snoop -o"),
    (r"(l2|l3)-[rt]x \(|.*T O S H I B A|.*TCPIPtrace|ETHERWATCH", f"a router's or system's trace as text; {EDITCAP}"),
    (r"<?Ether +[/d]|###\[ Ethernet", f"scapy's text; {NO_PACKETS}: write a capture with wrpcap"),
    (r"(Received|Return-Path|From|Delivered-To|MIME-Version): ", "a mail; save what is attached to it"),
    (r"IP6? \S+ > \S+: ", f"tcpdump's text; {NO_PACKETS}: write a capture with tcpdump -w"),
    (r"(?s)(interfaces=\[|filters=\[).*", "text of a FortiGate's sniffer; what it shows with verbosity 6, a hex dump, is converted by Fortinet's fgt2eth, or by text2pcap"),
    (r"(?s)(\d+ packets? captured|\s*\d+: \d\d:\d\d:\d\d\.\d+ )", f"a Cisco firewall's list of packets; {NO_PACKETS}: copy /pcap capture:NAME"),
    (r"(?s).*^(\d{4}-\d\d-\d\d )?(\d\d:\d\d:\d\d\.\d+|\d+\.\d+) +(\S+ +(In|Out|[BMP]) +)?((In|Out) +)?(IP6?|ARP,?|arp) ", f"tcpdump's text; {NO_PACKETS}: write a capture with tcpdump -w"),
    (r"(?s).*^(\d{4}-\d\d-\d\d )?(\d\d:\d\d:\d\d\.\d+|\d+\.\d+) .*ethertype \S+ \(0x", f"tcpdump's text; {NO_PACKETS}: write a capture with tcpdump -w"),
    (r"(?s).*^[ \t]*+\d++\s+(\d{4}-\d\d-\d\d )?(\d\d:\d\d:)?\d+\.\d+\s+\S+ (→|->) \S+\s+\w+ ", f"tshark's list of packets; {NO_PACKETS}: write a capture with tshark -w"),
    (r"Frame \d+: \d+ bytes on wire", f"tshark's details of packets; {NO_PACKETS}: write a capture with tshark -w"),
)  # fmt: skip


def form_of(text: str) -> str | None:
    """A few words for a text with packets, or of packets, and how to come by a capture; None for any other text."""
    if (words := dump_of(text)) is not None:
        return words
    if text.startswith(REDIRECTED):
        return (
            "a capture that PowerShell's > wrote as text, which destroys it; let the program write the file, or use cmd"
        )
    text = text.lstrip()
    if (array := C_ARRAY.match(text)) is not None:
        if array[1].startswith(("pkt", "peer")):
            return "packets as C arrays; save the capture itself"
        return "bytes as a C array; make the file of it with: grep -oE '0x[0-9a-fA-F]{2}' FILE | cut -c3- | xxd -r -p - OUT"
    for pattern, words in LISTS:
        if re.match(pattern, text, re.IGNORECASE | re.MULTILINE):
            return words
    return None


def dump_of(text: str) -> str | None:
    """Likewise, of bytes in hexadecimal."""
    if (begin := DUMP.search(text)) is not None:
        digits = re.sub(r"\s", "", begin[1]).lower()
        if digits.startswith(WORDS):
            return "a hex dump of a file in words of two bytes; give the file itself, or a dump made by: xxd FILE"
        if digits.startswith(FILES):
            return f"a hex dump of a file; make the file of it with: {_file_of(text)}"
        link = LINK_IP if BEGINS_IP.match(digits) else ""
        if TCPDUMP.search(text) is None and re.match(r"[0-9a-f]{2} ", begin[1], re.IGNORECASE):
            if LIST_LINE.search(text) is not None:
                convert = f"{ONLY_DUMP} | {TO_TEXT2PCAP.format(link=link, source='-')}"
            else:
                convert = TO_TEXT2PCAP.format(link=link, source="FILE")
            return f"{HEX_DUMP}; convert it with: {convert}"
        program = OF_TCPDUMP if TCPDUMP.search(text) else BYTES_APART
        return f"{HEX_DUMP}; convert it with: sed -nE '{program}' FILE | {TO_TEXT2PCAP.format(link=link, source='-')}"
    if BARE.search(text) is not None:
        return (
            f"{HEX_DUMP} whose lines do not say where they stand; text2pcap reads it once each begins with its offset"
        )
    if (line := LINES.match(text.lstrip())) is not None:
        digits = re.sub(r"[\s:]", "", line[0]).lower()
        if digits.startswith(FILES):
            return "a file in hexadecimal; make the file of it with: xxd -r -p FILE OUT"
        if len(digits) < 2 * SHORTEST_FRAME:
            return None
        link = LINK_IP if BEGINS_IP.match(digits) else ""
        convert = TO_TEXT2PCAP.format(link=link, source="-")
        return f"{HEX_DUMP}, one on each line; convert it with: sed -E '{OF_LINES}' FILE | {convert}"
    return None


def _file_of(text: str) -> str:
    """The command that makes the file of its hex dump."""
    if HEXDUMP.search(text) is not None:
        return f"sed -E '{OF_HEXDUMP}' FILE | xxd -r - OUT"
    if OD.search(text) is not None:
        return f"perl -pe '{OCTAL}' FILE | xxd -r - OUT"
    first = FIRST_LINE.search(text)
    width = 0 if first is None else len(re.sub(r"\s", "", first[0].partition(" ")[2])) // 2
    return f"xxd -r -c {width} FILE OUT" if width > BYTES_OF_LINE else "xxd -r FILE OUT"
