"""Time stamps (RFC 3161): that something existed at a time, said by an authority. Only files are read and written.

Asking an authority is not done here: what leaves the machine is for whoever runs it to decide.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.border import gate
from auditor.errors import AuditError, shown
from auditor.machine.installing import install
from auditor.tls.der import elements

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from rfc3161_client import TimeStampResponse

MOST_BYTES = 1 << 20  # of a response, and of a file of certificates
WITH_MODS = b"\x02\x01\x01"  # the status of a response that was granted with modifications
CERTIFICATES = 0xA0  # the tag of [0] in SignedData
DIGESTS = {  # by the numbers of RFC 5754
    "2.16.840.1.101.3.4.2.1": hashlib.sha256,
    "2.16.840.1.101.3.4.2.2": hashlib.sha384,
    "2.16.840.1.101.3.4.2.3": hashlib.sha512,
}


def library() -> Any:
    """The library that reads and checks time stamps. Raises AuditError where it is not installed."""
    try:
        import rfc3161_client
    except ImportError as error:
        raise AuditError(f"time stamps need rfc3161-client: {install('timestamp')}") from error
    return rfc3161_client


def request(message: bytes) -> bytes:
    """What an authority is sent (``application/timestamp-query``): the SHA-256 of a message, and that its certificate is wanted."""
    known = library()
    builder = known.TimestampRequestBuilder().data(message).hash_algorithm(known.HashAlgorithm.SHA256)
    built: bytes = builder.cert_request(cert_request=True).nonce(nonce=True).build().as_bytes()
    return built


def read(path: Path) -> bytes:
    """A response, or certificates. Raises AuditError."""
    try:
        return gate.content(path, MOST_BYTES)
    except OSError as error:
        raise AuditError(f"{shown(path)}: {error.strerror}") from error
    except gate.RefusedError as error:
        raise AuditError(f"{shown(path)}: {error}") from error


def _parsed(response: bytes) -> "TimeStampResponse":
    """Raises ValueError for what is none."""
    parsed: TimeStampResponse = library().decode_timestamp_response(_granted(_ordered(response)))
    return parsed


def _granted(response: bytes) -> bytes:
    """A response that was granted with modifications as one that was granted: both have a token (RFC 3161, 2.4.2).

    The library refuses the former. What was modified is in the token, which is signed and checked; the status is not.
    """
    whole = next(elements(response), (0, b"", b""))
    info, *token = elements(whole[2])
    at = len(whole[1]) - len(whole[2]) + len(info[1]) - len(info[2])
    if not token or response[at : at + len(WITH_MODS)] != WITH_MODS:
        return response
    return response[: at + 2] + b"\0" + response[at + 3 :]


def _ordered(response: bytes) -> bytes:
    """A response whose certificates are in the order of DER (X.690, 11.6), as the library wants them; not all have it.

    The order means nothing, and is not signed (RFC 5652, 5.1).
    """
    inside = response
    for step in (0, 1, 1, 0):  # TimeStampResp, its token, that one's content, SignedData
        parts = list(elements(inside))
        if len(parts) <= step:
            return response
        inside = parts[step][2]
    held = next((contents for tag, _, contents in elements(inside) if tag == CERTIFICATES), b"")
    ordered = b"".join(sorted(whole for _, whole, _ in elements(held)))
    return response.replace(held, ordered, 1) if len(ordered) == len(held) else response


def _authorities(path: Path) -> "list[Certificate]":
    from cryptography.x509 import load_der_x509_certificate, load_pem_x509_certificates

    data = read(path)
    try:
        found = load_pem_x509_certificates(data) if b"-----BEGIN" in data else [load_der_x509_certificate(data)]
    except ValueError as error:
        raise AuditError(f"{shown(path)}: holds no certificate in PEM or DER") from error
    return list(dict.fromkeys(found))


def stamped(path: Path, response: bytes, contents: Mapping[str, bytes]) -> tuple[str, str] | None:
    """Which of the contents the response in a file is about, and the time that it states, unproven; None for none of them.

    Raises AuditError where it is no response, one that refuses, or of a digest that is not accepted.
    """
    try:
        parsed = _parsed(response)
    except ValueError as error:
        raise AuditError(f"{shown(path)}: is no response of a time stamp authority (RFC 3161)") from error
    try:
        stated = parsed.tst_info
        time = f"{stated.gen_time:%Y-%m-%d %H:%M:%S} UTC"
        imprint, kind = stated.message_imprint.message, stated.message_imprint.hash_algorithm.dotted_string
    except ValueError as error:
        why = " ".join(parsed.status_string) or f"status {parsed.status}"
        raise AuditError(f"{shown(path)}: holds no time stamp: the authority refused it ({why})") from error
    if (digest := DIGESTS.get(kind)) is None:
        raise AuditError(f"{shown(path)}: is of a digest that is not accepted ({kind}): ask for one of a SHA-256")
    names = [name for name, data in contents.items() if digest(data).digest() == imprint]
    return (names[0], time) if names else None


def _signer(response: "TimeStampResponse", known: "list[Certificate]") -> "Certificate | None":
    """Which certificate a response is signed with that does not hold it."""
    signers = [(one.issuer, one.serial_number) for one in response.signed_data.signer_infos]
    return next((one for one in known if (one.issuer, one.serial_number) in signers), None)


def check(response: bytes, content: bytes, authorities: Path) -> str | None:
    """What speaks against a response about this content, by an authority that one of the certificates vouches for."""
    from cryptography import x509

    checker, known = library(), _authorities(authorities)
    try:
        parsed = _parsed(response)
        own = None if parsed.signed_data.certificates else _signer(parsed, known)
        checker.VerifierBuilder(tsa_certificate=own, roots=known).build().verify_message(parsed, content)
    except (checker.VerificationError, ValueError, x509.InvalidVersion, x509.DuplicateExtension) as error:
        return str(error)
    return None
