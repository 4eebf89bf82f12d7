"""Names of protocol versions, in their order."""

DRAFTS = ("TLS 1.3 (draft)", *(f"TLS 1.3 (draft {n})" for n in range(1, 29)))  # before 16 the number is not known
# From worst to best: the order of the categorical ``tls_version``. Each DTLS stands beside the TLS that it is made from.
VERSION_ORDER = [
    "SSL 2.0",
    "SSL 3.0",
    "TLS 1.0",
    "TLS 1.1",
    "DTLS 1.0",
    "TLCP 1.1",  # GB/T 38636: made from TLS 1.1
    "TLS 1.2",
    "DTLS 1.2",
    *DRAFTS,
    "TLS 1.3",
    "DTLS 1.3",
]
# RFC 4347 1, RFC 6347 1 and RFC 9147 1: what each DTLS is the equal of. TLCP's base is TLS 1.1.
EQUALS = {"DTLS 1.0": "TLS 1.1", "TLCP 1.1": "TLS 1.1", "DTLS 1.2": "TLS 1.2", "DTLS 1.3": "TLS 1.3"}


def rank_of(name: str | None) -> int:
    """A number by which versions are compared, the same for DTLS and its TLS; -1 for missing and unknown versions."""
    name = EQUALS.get(name or "", name or "")
    return VERSION_ORDER.index(name) if name in VERSION_ORDER else -1
