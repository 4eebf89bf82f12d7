"""Names of protocol versions, in their order."""

DRAFTS = {f"TLS 1.3 (draft {n})": 0x7F00 + n for n in range(1, 29)}
# From worst to best: the order of the categorical ``tls_version``. DTLS n is built on TLS n (RFC 4347: on 1.1).
VERSION_ORDER = [
    "SSL 2.0",
    "SSL 3.0",
    "TLS 1.0",
    "DTLS 1.0",
    "TLS 1.1",
    "DTLS 1.2",
    "TLS 1.2",
    *DRAFTS,
    "DTLS 1.3",
    "TLS 1.3",
]
