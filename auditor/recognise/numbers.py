"""The one table of applications: number, name and transport of each. It imports nothing, so that every room may use it."""

from typing import NamedTuple

UNKNOWN, TLS, HTTP, SSH, SMTP, IMAP, POP3, FTP, DNS, QUIC, DTLS, HTTP2, STUN, OTHER = range(14)
ESP, IKE, WIREGUARD, OPENVPN = range(14, 18)
TEXT = 255  # text in clear of no known protocol
XMPP, IRC, NNTP, SIEVE, LDAP, POSTGRESQL, MYSQL, RDP, SOCKS, PROXY = range(18, 28)


class Application(NamedTuple):
    """What a flow may speak: its number in ``FLOW``'s ``application``, its name in tables, and what carries it."""

    number: int
    name: str
    transport: str  # tcp, udp, or ip: a protocol of its own beside them


APPLICATIONS = (
    Application(TLS, "tls", "tcp"),
    Application(HTTP, "http", "tcp"),
    Application(SSH, "ssh", "tcp"),
    Application(SMTP, "smtp", "tcp"),
    Application(IMAP, "imap", "tcp"),
    Application(POP3, "pop3", "tcp"),
    Application(FTP, "ftp", "tcp"),
    Application(DNS, "dns", "udp"),
    Application(QUIC, "quic", "udp"),
    Application(DTLS, "dtls", "udp"),
    Application(HTTP2, "http2", "tcp"),
    Application(STUN, "stun", "udp"),
    Application(ESP, "esp", "ip"),
    Application(IKE, "ike", "udp"),
    Application(WIREGUARD, "wireguard", "udp"),
    Application(OPENVPN, "openvpn", "udp"),
    Application(XMPP, "xmpp", "tcp"),
    Application(IRC, "irc", "tcp"),
    Application(NNTP, "nntp", "tcp"),
    Application(SIEVE, "sieve", "tcp"),
    Application(LDAP, "ldap", "tcp"),
    Application(POSTGRESQL, "postgresql", "tcp"),
    Application(MYSQL, "mysql", "tcp"),
    Application(RDP, "rdp", "tcp"),
    Application(SOCKS, "socks", "tcp"),
    Application(PROXY, "proxy", "tcp"),
)
PROTOCOL_NAMES = {application.number: application.name for application in APPLICATIONS}
