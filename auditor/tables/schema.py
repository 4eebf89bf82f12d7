"""The tables: their columns, types and meaning. ``docs/tables.md`` is generated from here, ``tables.arrow`` builds them."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

TIME = pa.timestamp("ns", tz="UTC")
INT = pa.int64()
FLOAT = pa.float64()
BOOL = pa.bool_()
TEXT = pa.dictionary(pa.int32(), pa.string())  # strings; equal ones are kept once
NAME = pa.string()  # strings that are mostly different
CLOSED = pa.dictionary(pa.int16(), pa.string())  # a closed set: a categorical in pandas
PATHS = ["direct-connect", "vpn", "vpc", "private", "unknown", "internet"]
CONFIDENCES = ["none", "likely", "confirmed"]
VERDICTS = ["not_applicable", "pass", "not_observable", "warn", "fail"]
SEVERITIES = ["info", "low", "medium", "high", "critical"]
STATUSES = ["complete", "client_only", "server_only", "truncated", "invalid"]
SIDES = ["client", "server"]
EVIDENCE = [
    "vlan+mac", "interface+vlan", "pppoe", "mirror", "interface+mac", "mac", "tunnel", "gateway", "point", "rule", "interface",
    "attachment", "vlan", "bgp", "route", "flow-log", "cloudtrail", "sensor", "nat", "endpoint", "proxy", "prefix",
    "accepted", "address", "router", "ipsec", "source", "contrary", "contested", "moved", "position",
]  # fmt: skip
OUTCOMES = [
    "answered", "retry asked", "alert", "reset by the server", "reset on the way", "closed by the server",
    "given up by the client", "lost", "acknowledged, not answered", "answered by something that is no TLS",
    "not known",
]  # fmt: skip


NO_MEMORY = "memory: there was none left"  # how a reason begins that is the audit's own


@dataclass(frozen=True)
class Column:
    """A column: its name, Arrow type, one line of meaning, and for a closed set its values in order."""

    name: str
    type: Any
    meaning: str
    values: tuple[str, ...] = ()
    ordered: bool = False


def _closed(name: str, meaning: str, values: list[str], ordered: bool = False) -> Column:
    return Column(name, CLOSED, meaning, tuple(values), ordered)


_SAME_IN_BOTH = [
    Column("cipher_suite", TEXT, "suite of the ServerHello, by its IANA name; an unknown one as 0x1234"),
    Column("key_exchange_group", TEXT, "named group of the key exchange: key share (TLS 1.3) or ServerKeyExchange"),
    Column("forward_secrecy", BOOL, "whether forward secrecy was achieved; NA where the capture cannot show it"),
    Column("post_quantum", BOOL, "whether the key exchange was a post-quantum or hybrid one"),
    Column("resumed", BOOL, "whether an earlier session was resumed"),
    Column("established", BOOL, "whether the handshake came to its end; NA if the capture does not show it"),
    Column("ja3", TEXT, "JA3 fingerprint of the ClientHello"),
    Column("ja3s", TEXT, "JA3S fingerprint of the ServerHello"),
    Column("ja4", TEXT, "JA4 fingerprint of the ClientHello"),
]

TABLES: dict[str, list[Column]] = {
    "flows": [
        Column("flow_id", INT, "number of the flow, made of its ends, scope and first packet: the same in every audit"),
        Column("capture", TEXT, "the capture it was seen in"),
        Column("started", TIME, "time of its first packet"),
        Column("ended", TIME, "time of its last packet"),
        _closed("transport", "transport; esp (IPsec) and eapol (802.1X) have no ports", ["tcp", "udp", "esp", "eapol"]),
        Column("client_ip", NAME, "address of the client: who sent the SYN or the ClientHello, else the first packet"),
        Column("client_port", INT, "port of the client"),
        Column("server_ip", NAME, "address of the server"),
        Column("server_port", INT, "port of the server"),
        Column("community_id", NAME, "Community ID (version 1, seed 0), by which logs of Zeek, Suricata, Arkime join"),
        Column("client_packets", INT, "packets from the client"),
        Column("server_packets", INT, "packets from the server"),
        Column("client_bytes", INT, "bytes on the wire from the client, link layer included"),
        Column("server_bytes", INT, "bytes on the wire from the server, link layer included"),
        Column("client_mac", TEXT, "hardware address at the client's end of this wire"),
        Column("server_mac", TEXT, "hardware address at the server's end of this wire: the next hop"),
        Column("vlan", TEXT, "VLAN tags from outer to inner, as 100.20"),
        Column("tunnel", TEXT, "tunnel around the flow, as vxlan:4096 or gre; outer and inner with / between"),
        Column("interface", TEXT, "capture interface (pcapng if_name)"),
        Column("vpc_endpoint", TEXT, "VPC endpoint that a PROXY header names: by which the client came"),
        _closed(
            "tcp_state",
            "state of the connection in Zeek's words (conn_state)",
            ["S0", "S1", "SF", "REJ", "S2", "S3", "RSTO", "RSTR", "RSTOS0", "RSTRH", "SH", "SHR", "OTH"],
        ),
        Column("rtt_ms", FLOAT, "round-trip time of the TCP handshake in milliseconds"),
        Column("protocol", TEXT, "application protocol, recognised by its bytes: tls, quic, dtls, http, ssh, dns, …"),
        _closed(
            "upgrade",
            "TLS within another protocol (STARTTLS): used; or offered, asked for, refused, and the session stayed in clear",
            ["used", "offered, not used", "asked, not used", "refused"],
        ),
        Column("service", TEXT, "AWS service, by its endpoint prefix or, without a name, its address range"),
        Column("region", TEXT, "AWS Region"),
        Column("partition", TEXT, "AWS partition: aws, aws-cn, aws-us-gov, …"),
        Column("aws_endpoint", BOOL, "whether the server is an endpoint of that AWS service, not a customer's machine"),
        Column("server_name", NAME, "name of the server"),
        _closed(
            "server_name_source",
            "where the name comes from; dns: an answer before, within its life",
            ["sni", "dns", "certificate", "host"],
        ),
        _closed("tls_version", "negotiated version", [], True),
        *_SAME_IN_BOTH,
        _closed("path", "the way it went", PATHS),
        _closed("path_confidence", "how well the evidence proves the path", CONFIDENCES, True),
        Column("path_detail", TEXT, "the evidence that decided, in words"),
        Column("path_link", TEXT, "the virtual interface, VPN or uplink that it took"),
        Column("path_against", TEXT, "the strongest evidence against that path"),
        _closed("path_out", "the way of the client's packets", PATHS),
        _closed("path_out_confidence", "how well that is proven", CONFIDENCES, True),
        _closed("path_back", "the way of the server's packets", PATHS),
        _closed("path_back_confidence", "how well that is proven", CONFIDENCES, True),
        Column("path_asymmetric", BOOL, "whether the two directions went different ways; NA if one is not proven"),
        Column(
            "path_changed", TIME, "when the path changed: within the flow, or against the one before; NA if it did not"
        ),
        Column(
            "hops_out",
            INT,
            "routers that the client's packets had passed: by their time to live, if it began at 64, 128 or 255",
        ),
        Column("hops_back", INT, "routers that the server's packets had passed"),
        _closed("verdict", "worst verdict of the policy's rules", VERDICTS, True),
    ],
    "handshakes": [
        Column("flow_id", INT, "the flow it belongs to"),
        Column("started", TIME, "time of the packet with which its first hello began"),
        _closed("transport", "what carried it; other: another protocol's messages", ["tcp", "dtls", "quic", "other"]),
        _closed("tls_version", "negotiated version", [], True),
        _closed("tls_version_offered", "highest version that the client offered", [], True),
        *_SAME_IN_BOTH[:1],
        Column("cipher_suite_id", INT, "code point of the suite"),
        Column("cipher_suites_offered", TEXT, "suites of the ClientHello in its order, with spaces between"),
        Column("key_exchange", TEXT, "key exchange: ECDHE, DHE, RSA, PSK, …"),
        *_SAME_IN_BOTH[1:2],
        Column("groups_offered", TEXT, "supported groups of the ClientHello"),
        Column("key_shares_offered", TEXT, "groups for which the ClientHello has a key share"),
        Column("signature_schemes_offered", TEXT, "signature schemes of the ClientHello"),
        Column("signature_scheme", TEXT, "scheme of the ServerKeyExchange; in TLS 1.3 it is encrypted"),
        *_SAME_IN_BOTH[2:3],
        Column("forward_secrecy_reason", TEXT, "why, in words"),
        *_SAME_IN_BOTH[3:4],
        Column("post_quantum_offered", BOOL, "whether the client offered a post-quantum or hybrid group"),
        Column("server_name", NAME, "server name of the ClientHello (SNI)"),
        Column("alpn", TEXT, "protocol that the server chose (ALPN); in TLS 1.3 it is encrypted, and known with keys"),
        Column("alpn_offered", TEXT, "protocols that the client offered"),
        Column("extensions", TEXT, "extensions of the ClientHello in its order"),
        *_SAME_IN_BOTH[6:],
        *_SAME_IN_BOTH[4:5],
        _closed("resumption", "how it was resumed", ["session_id", "ticket", "psk", "psk_dhe"]),
        Column("early_data", BOOL, "whether the client offered early data (0-RTT)"),
        Column("hello_retry", BOOL, "whether the server sent a HelloRetryRequest"),
        _closed("ech", "Encrypted ClientHello; outer may be GREASE, which looks the same", ["none", "grease", "outer"]),
        Column("compression", INT, "compression method chosen; 0 is none"),
        Column("quic_version", TEXT, "version of QUIC: 1, 2, draft-29, …"),
        Column("starttls", TEXT, "protocol that was upgraded to TLS, or carries it in its messages"),
        *_SAME_IN_BOTH[5:6],
        Column("alert", TEXT, "last alert seen in clear, with who sent it"),
        Column("history", TEXT, "messages in Zeek's letters (ssl_history), capitals are the client's"),
        Column("client_hello_capture", TEXT, "capture in which the ClientHello ends"),
        Column("client_hello_frame", INT, "frame of that capture in which the ClientHello ends"),
        Column("server_hello_capture", TEXT, "capture in which the ServerHello ends"),
        Column("server_hello_frame", INT, "frame of that capture in which the ServerHello ends"),
        Column("client_hello_bytes", INT, "length of the ClientHello message"),
        Column("client_hello_segments", INT, "TCP segments that it took"),
        _closed("hello_outcome", "what became of the ClientHello (TCP): answered, or what happened to it", OUTCOMES),
        Column("hello_repeats", INT, "segments that the client sent again before the answer"),
        Column("hello_acknowledged", INT, "bytes of the ClientHello that the server acknowledged"),
        Column("mss", INT, "smaller of both sides' maximum segment sizes (TCP option)"),
        _closed("status", "what was seen of it", STATUSES),
        Column("status_reason", TEXT, "what is missing or wrong"),
        Column("dh_group", TEXT, "what is known of the prime of a DHE key exchange: a standard group, or its own"),
        Column("certificate_id", TEXT, "SHA-256 of the server's certificate; encrypted in TLS 1.3, known with keys"),
        Column("certificate_chain", TEXT, "SHA-256 of all certificates that the server sent, in its order"),
        _closed(
            "chain_order",
            "whether each certificate is issued by the next, and whether the root was sent",
            ["leaf only", "self-signed", "in order", "in order, with root", "out of order"],
        ),
        Column("certificate_matches", BOOL, "whether the server's certificate is good for the server name (RFC 6125)"),
        Column("certificate_valid", BOOL, "whether the server's certificate was valid when the handshake began"),
        Column("client_certificate_id", TEXT, "SHA-256 of the client's certificate"),
        Column("client_certificate_asked", BOOL, "whether the server asked for a certificate (to TLS 1.2)"),
        Column("ocsp_stapled", BOOL, "whether the server sent an OCSP response (to TLS 1.2)"),
        Column("extended_master_secret", BOOL, "whether both sides agreed on it (RFC 7627); always so in TLS 1.3"),
        Column("secure_renegotiation", BOOL, "whether the server knows secure renegotiation (RFC 5746)"),
        Column("encrypt_then_mac", BOOL, "whether both sides agreed on it (RFC 7366)"),
        Column("truncated_hmac", BOOL, "whether both sides agreed on MACs of 80 bits (RFC 6066, 7); never in TLS 1.3"),
        Column("heartbeat", BOOL, "whether the server accepts heartbeats (RFC 6520)"),
        _closed(
            "post_quantum_kind",
            "kind of the negotiated group: classical, hybrid, pure post-quantum, or an obsolete draft of one",
            ["classical", "hybrid", "pure", "obsolete"],
        ),
        _closed(
            "authentication",
            "how the server proved who it is, as far as the capture shows",
            ["classical", "post-quantum", "pre-shared key", "anonymous", "not_observable"],
        ),
    ],
    "certificates": [
        Column("certificate_id", TEXT, "SHA-256 of the certificate's DER"),
        Column("roles", TEXT, "where it was sent: server, client, issuer (behind the first of a chain)"),
        Column("handshakes", INT, "handshakes that showed it"),
        Column("first_seen", TIME, "start of the first of them"),
        Column("subject", NAME, "subject, most specific part first (RFC 4514)"),
        Column("issuer", TEXT, "issuer"),
        Column("serial", NAME, "serial number in hexadecimal"),
        Column("version", INT, "X.509 version"),
        Column("not_before", TIME, "begin of its validity"),
        Column("not_after", TIME, "end of its validity; no later than a timestamp can hold (2262)"),
        Column("san_dns", NAME, "DNS names it is good for, with spaces between"),
        Column("san_ip", TEXT, "addresses it is good for"),
        Column("san_email", TEXT, "e-mail addresses it is good for"),
        Column("key_algorithm", TEXT, "algorithm of the public key, in OpenSSL's words"),
        Column("key_type", TEXT, "rsa, ecdsa, dsa, or the algorithm"),
        Column("key_bits", INT, "size of the key"),
        Column("exponent", TEXT, "public exponent of an RSA key"),
        Column("curve", TEXT, "curve of an elliptic-curve key"),
        Column("signature_algorithm", TEXT, "algorithm of its signature"),
        Column("weak", TEXT, "weak hash in its signature: md2, md5 or sha1"),
        Column("is_ca", BOOL, "whether it is a certificate authority's; NA without basic constraints"),
        Column("self_signed", BOOL, "whether its own key signed it; NA where that cannot be verified"),
        Column("scts", INT, "signed certificate timestamps inside it (RFC 6962)"),
        Column("must_staple", BOOL, "whether it asks for a stapled OCSP response (RFC 7633)"),
        Column("problem", TEXT, "what could not be parsed, and why"),
    ],
    "requests": [
        Column("flow_id", INT, "the flow it went over"),
        Column("time", TIME, "when it was whole"),
        Column("method", TEXT, "HTTP method; AUTH of SMTP"),
        _closed("scheme", "https; http and smtp are in clear", ["https", "http", "smtp"]),
        Column("authority", TEXT, "host and port that it is for (Host, :authority)"),
        Column("path_template", TEXT, "its path with identifiers replaced; the query is not kept"),
        Column("api", TEXT, "operation that it calls, as botocore names service and operation; NA for unknown ones"),
        Column("service", TEXT, "AWS service of the host, else of the flow"),
        Column("region", TEXT, "AWS Region of the host, else of the flow"),
        Column("status", INT, "status of the response; NA if none was seen"),
        Column("aws_request_id", NAME, "the id by which AWS knows it, from the response"),
        Column("error_code", TEXT, "AWS error of the response"),
        Column("user_agent_sdk", TEXT, "first product of the User-Agent"),
        Column("signed", BOOL, "whether it carries a whole signature; it is not verified, which needs the secret key"),
        _closed(
            "signature_version",
            "Signature Version 4, 4a or 2; presigned: in the URL; bearer and basic: other credentials",
            ["4", "4a", "2", "presigned", "bearer", "basic", "none"],
        ),
        _closed(
            "credential_kind",
            "kind of access key, by its prefix: AKIA is long-term, ASIA temporary (AWS STS)",
            ["long_term", "temporary", "other"],
        ),
        Column(
            "credential_hash",
            TEXT,
            "stands for the access key id; equal ones are of one key, within one audit or, with --join-key, several",
        ),
        Column("scope_date", TEXT, "date of the credential scope"),
        Column("scope_region", TEXT, "Region of the credential scope"),
        Column("scope_service", TEXT, "service of the credential scope"),
        Column("signed_headers", TEXT, "names of the headers that are signed, with spaces between"),
        Column("token_present", BOOL, "whether it carries a session token"),
        Column("clock_skew_s", FLOAT, "seconds by which the signer's clock was ahead of the capture's"),
        Column("expires_s", INT, "seconds for which a presigned URL is good"),
        Column("capture", TEXT, "capture that shows it whole"),
        Column("frame", INT, "frame of that capture that shows it whole"),
    ],
    "evidence": [
        Column("flow_id", INT, "the flow"),
        _closed("direction", "whose packets the evidence is of", SIDES),
        _closed("kind", "what kind of evidence", EVIDENCE),
        _closed("path", "the path it speaks for", PATHS),
        _closed("confidence", "how strongly", CONFIDENCES, True),
        Column("link", TEXT, "the virtual interface, VPN or uplink that it is about"),
        Column("detail", TEXT, "the evidence in words"),
        Column("capture", TEXT, "the capture that shows it first; NA where none does"),
        Column("frame", INT, "the first frame of that capture that shows it"),
    ],
    "verdicts": [
        Column("flow_id", INT, "the flow"),
        Column("rule", TEXT, "code of the rule"),
        _closed("verdict", "what the rule says of the flow", VERDICTS, True),
        Column("reason", TEXT, "why"),
    ],
    "findings": [
        Column("finding_id", TEXT, "rule and number, as TLS101-3"),
        Column("rule", TEXT, "code of the rule"),
        Column("policy", TEXT, "policy that it is of"),
        Column("title", TEXT, "what the rule asks for"),
        _closed("severity", "how bad", SEVERITIES, True),
        _closed("verdict", "fail or warn", VERDICTS, True),
        Column("client_group", TEXT, "network of the clients: /24 or /64, wider where there are many"),
        Column("service", TEXT, "AWS service; the server's name or address where it is none's endpoint"),
        Column("region", TEXT, "Region of the AWS service"),
        Column("reason", TEXT, "why, as on most of its flows"),
        Column("flows", INT, "flows that it is about"),
        Column("clients", INT, "different client addresses"),
        Column("servers", INT, "different server names, or addresses where they have none"),
        Column("sample_servers", TEXT, "up to five of them"),
        Column("top_clients", TEXT, "the client addresses with the most of its flows, each with how many"),
        Column("top_servers", TEXT, "the servers with the most of its flows, each with how many"),
        Column("first_seen", TIME, "start of the first of them"),
        Column("last_seen", TIME, "start of the last of them"),
        Column("capture", TEXT, "capture of the first sample flow's first packet, or that it is about"),
        Column("sample_flows", TEXT, "flow_id of up to five flows"),
        Column("sample_frames", TEXT, "frames of that capture that prove it, of these flows"),
        Column("evidence", TEXT, "JSON: captures with packets of the sample flows, and the frames that prove it"),
    ],
    "network": [
        Column("capture", TEXT, "the capture that shows it first; NA of frames that are only counted"),
        _closed(
            "kind",
            "what was observed: an address that a MAC has, a neighbour, a BGP speaker, an error, frames of MACsec",
            ["address", "neighbour", "bgp", "error", "macsec"],
        ),
        Column("subject", TEXT, "address, or MAC where there is none"),
        Column("mac", TEXT, "its MAC"),
        Column("vlan", TEXT, "VLAN tags of the frame"),
        Column("interface", TEXT, "capture interface"),
        Column("told_by", TEXT, "protocol that shows it: ARP, ND, BGP, LLDP, ICMP, MACsec"),
        Column("detail", TEXT, "what it says, in words"),
        Column("count", INT, "how many frames, routes or errors"),
        Column("frame", INT, "the first frame that shows it"),
        Column("time", TIME, "when"),
    ],
    "witnesses": [
        Column("witness", TEXT, "the file"),
        Column("kind", TEXT, "what wrote it"),
        Column("rows", INT, "its rows or events"),
        Column("skipped", INT, "rows without data, or that could not be read"),
        Column("matched", INT, "rows that are about a flow of the captures"),
        Column("not_captured", INT, "rows of the captures' time that no captured flow fits"),
        Column("samples", TEXT, "some of these"),
        Column("flows_matched", INT, "flows that witnesses of this kind report"),
        Column("flows_lacking", INT, "flows to the log's own interfaces that are not in it"),
        Column("started", TIME, "earliest row"),
        Column("ended", TIME, "latest row"),
    ],
    "captures": [
        Column("capture", TEXT, "file name, - for standard input, or the interface"),
        Column("sha256", TEXT, "SHA-256 of the input as it was read, compressed or not"),
        Column("bytes", INT, "its length"),
        Column("format", TEXT, "pcap, pcapng, snoop or erf"),
        Column("compression", TEXT, "gzip, bzip2, xz, zstd or lz4"),
        Column("link_types", TEXT, "link types of its interfaces"),
        Column("interfaces", TEXT, "names of its interfaces"),
        Column("packets", INT, "packets read"),
        Column("duplicates", INT, "frames that show a packet again, at the same or another place; it counts once"),
        Column("retransmissions", INT, "TCP segments that were sent again, as far as handshakes are followed"),
        Column("wire_bytes", INT, "their length on the wire"),
        Column("started", TIME, "earliest packet"),
        Column("ended", TIME, "latest packet"),
        Column("gap_s", FLOAT, "seconds from the end of captures before it to its beginning; NA if they overlap"),
        Column("overlap_s", FLOAT, "seconds of it in which captures before it have packets too; NA where none has"),
        Column("clock_offset_s", FLOAT, "seconds by which its clock is ahead of captures that share packets with it"),
        Column("flows", INT, "flows that begin in it"),
        Column("handshakes", INT, "TLS handshakes of these flows"),
        Column("not_ip", INT, "packets without IP, or of a link type that is not decoded"),
        Column("other_ip", INT, "IP packets that are neither TCP nor UDP"),
        Column("fragments", INT, "IP fragments"),
        Column("reassembled", INT, "datagrams put together from them"),
        Column("incomplete", INT, "fragmented datagrams that never became whole, or had to be thrown away (RFC 5722)"),
        Column("short", INT, "packets of which the capture has only the beginning (snap length)"),
        Column("cut", INT, "packets that end inside a header"),
        Column("malformed", INT, "packets with a header that contradicts itself"),
        Column("encrypted", INT, "frames encrypted below IP (MACsec, 802.11): what is inside cannot be seen"),
        Column("dropped", INT, "packets that the capturing kernel dropped"),
        Column("segments_dropped", INT, "TCP segments not kept because a stream had too many gaps"),
        Column("ended_early", INT, "Flows ended before they were over because memory was full (`--memory`)"),
        Column("secrets", INT, "pcapng blocks with decryption secrets; their contents are not stored"),
        _closed("status", "whether it could be read to its end", ["complete", "truncated", "damaged"]),
        Column("damage_offset", INT, "where reading stopped, in bytes of the (unpacked) capture"),
        Column("warnings", TEXT, "what was odd, in words"),
    ],
}


def schema(table: str) -> pa.Schema:
    """The Arrow schema of a table."""
    return pa.schema([(column.name, column.type) for column in TABLES[table]])
