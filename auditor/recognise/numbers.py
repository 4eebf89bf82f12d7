"""The one table of applications: number, name and transport of each. It imports nothing, so that every room may use it."""

from typing import NamedTuple

UNKNOWN, TLS, HTTP, SSH, SMTP, IMAP, POP3, FTP, DNS, QUIC, DTLS, HTTP2, STUN, OTHER = range(14)
ESP, IKE, WIREGUARD, OPENVPN = range(14, 18)
TEXT = 255  # text in clear of no known protocol
XMPP, IRC, NNTP, SIEVE, LDAP, POSTGRESQL, MYSQL, RDP, SOCKS, PROXY = range(18, 28)
TDS, CAPWAP, RADIUS, EAP, VNC, REDIS = range(28, 34)
SFLOW, NETFLOW, IPFIX = range(40, 43)
MQTT, AMQP, STOMP, OPENWIRE, KAFKA, MONGODB, MEMCACHED, CASSANDRA, TNS = range(43, 52)
SMB, NFS, TELNET, SIP, RTSP, FIX, BGP, KERBEROS = range(52, 60)
DHCP, NTP, SNMP, SYSLOG, TFTP, SSDP, BFD = range(60, 67)
LDAP_SASL = 67  # LDAP behind a bind that agreed on a security layer
SMB_CLEAR, SMB_SEALED = 68, 69  # SMB whose messages about files are in clear, or encrypted
NBD, NATS = 70, 71
# What encrypts by itself from some message on: by RealVNC's security types, by GSSAPI, by SASL's layer, by SNMPv3, by FTP's ENC.
VNC_SEALED, POSTGRESQL_SEALED, IMAP_SASL, POP3_SASL, SMTP_SASL, SNMP_SEALED, FTP_SEALED = range(72, 79)
SSH_WEAK, SSH_CLEAR = 79, 80  # SSH whose sides agreed on weak algorithms, or on no cipher
MPTCP = 81  # a subflow that joined a connection, of whose bytes it carries some (RFC 8684 3.2)

UNSEEN_BEGINNING = "an unseen beginning"  # in words: what a client said before its TLS is not in the capture


class Application(NamedTuple):
    """What a flow may speak: its number in ``FLOW``'s ``application``, its name in tables, and what carries it.

    ``in_clear``: what it says is not encrypted unless it goes over to TLS; ``is_open``: nobody expects it to be, because it
    is how hosts find or reach each other, or protects itself what needs to be.
    """

    number: int
    name: str
    transport: str  # tcp, udp, eapol, or ip: a protocol of its own beside them
    in_clear: bool = False
    is_open: bool = False


APPLICATIONS = (
    Application(TLS, "tls", "tcp"),
    Application(HTTP, "http", "tcp", in_clear=True),
    Application(SSH, "ssh", "tcp"),
    Application(SSH_WEAK, "ssh-weak", "tcp"),
    Application(SSH_CLEAR, "ssh-clear", "tcp", in_clear=True),
    Application(SMTP, "smtp", "tcp", in_clear=True),
    Application(SMTP_SASL, "smtp-sasl", "tcp"),
    Application(IMAP, "imap", "tcp", in_clear=True),
    Application(IMAP_SASL, "imap-sasl", "tcp"),
    Application(POP3, "pop3", "tcp", in_clear=True),
    Application(POP3_SASL, "pop3-sasl", "tcp"),
    Application(FTP, "ftp", "tcp", in_clear=True),
    Application(FTP_SEALED, "ftp-encrypted", "tcp"),
    Application(DNS, "dns", "udp", is_open=True),
    Application(QUIC, "quic", "udp"),
    Application(DTLS, "dtls", "udp"),
    Application(HTTP2, "http2", "tcp", in_clear=True),
    Application(STUN, "stun", "udp", is_open=True),
    Application(ESP, "esp", "ip"),
    Application(IKE, "ike", "udp"),
    Application(WIREGUARD, "wireguard", "udp"),
    Application(OPENVPN, "openvpn", "udp"),
    Application(SFLOW, "sflow", "udp", in_clear=True),
    Application(NETFLOW, "netflow", "udp", in_clear=True),
    Application(IPFIX, "ipfix", "udp", in_clear=True),
    Application(XMPP, "xmpp", "tcp", in_clear=True),
    Application(IRC, "irc", "tcp", in_clear=True),
    Application(NNTP, "nntp", "tcp", in_clear=True),
    Application(SIEVE, "sieve", "tcp", in_clear=True),
    Application(LDAP, "ldap", "tcp", in_clear=True),
    Application(LDAP_SASL, "ldap-sasl", "tcp"),
    Application(POSTGRESQL, "postgresql", "tcp", in_clear=True),
    Application(POSTGRESQL_SEALED, "postgresql-encrypted", "tcp"),
    Application(MYSQL, "mysql", "tcp", in_clear=True),
    Application(RDP, "rdp", "tcp"),
    Application(SOCKS, "socks", "tcp"),
    Application(MPTCP, "mptcp", "tcp"),
    Application(PROXY, "proxy", "tcp"),
    Application(TDS, "tds", "tcp", in_clear=True),
    Application(CAPWAP, "capwap", "udp", is_open=True),
    Application(RADIUS, "radius", "udp", is_open=True),
    Application(EAP, "eap", "eapol", is_open=True),
    Application(VNC, "vnc", "tcp", in_clear=True),
    Application(VNC_SEALED, "vnc-encrypted", "tcp"),
    Application(REDIS, "redis", "tcp", in_clear=True),
    Application(MQTT, "mqtt", "tcp", in_clear=True),
    Application(AMQP, "amqp", "tcp", in_clear=True),
    Application(STOMP, "stomp", "tcp", in_clear=True),
    Application(OPENWIRE, "openwire", "tcp", in_clear=True),
    Application(KAFKA, "kafka", "tcp", in_clear=True),
    Application(MONGODB, "mongodb", "tcp", in_clear=True),
    Application(MEMCACHED, "memcached", "tcp", in_clear=True),
    Application(CASSANDRA, "cassandra", "tcp", in_clear=True),
    Application(TNS, "tns", "tcp"),  # Oracle's, whose network encryption is negotiated inside
    Application(SMB, "smb", "tcp"),  # of which only the negotiation was seen
    Application(SMB_CLEAR, "smb-clear", "tcp", in_clear=True),
    Application(SMB_SEALED, "smb-encrypted", "tcp"),
    Application(NFS, "nfs", "tcp", in_clear=True),
    Application(TELNET, "telnet", "tcp", in_clear=True),
    Application(SIP, "sip", "tcp", in_clear=True),
    Application(RTSP, "rtsp", "tcp", in_clear=True),
    Application(FIX, "fix", "tcp", in_clear=True),
    Application(NBD, "nbd", "tcp", in_clear=True),
    Application(NATS, "nats", "tcp", in_clear=True),
    Application(BGP, "bgp", "tcp", is_open=True),
    Application(KERBEROS, "kerberos", "tcp", is_open=True),
    Application(DHCP, "dhcp", "udp", is_open=True),
    Application(NTP, "ntp", "udp", is_open=True),
    Application(SNMP, "snmp", "udp", in_clear=True),  # versions 1, 2c, and 3 without privacy
    Application(SNMP_SEALED, "snmp-encrypted", "udp"),
    Application(SYSLOG, "syslog", "udp", in_clear=True),
    Application(TFTP, "tftp", "udp", in_clear=True),
    Application(SSDP, "ssdp", "udp", is_open=True),
    Application(BFD, "bfd", "udp", is_open=True),
)
PROTOCOL_NAMES = {application.number: application.name for application in APPLICATIONS}


def spoken_names() -> list[str | None]:
    """What is spoken where TLS was to be, by its number; None for nothing."""
    names = [PROTOCOL_NAMES.get(number) for number in range(256)]
    names[OTHER], names[TEXT] = "unknown", "text"
    return names
