"""Components of a cryptography bill of materials: ciphers, groups, signatures, certificates and their keys."""

from typing import Any

from auditor.border.text import printable
from auditor.report.plain import iso
from auditor.tls.suites import Properties, properties

PRIMITIVES = {"CBC": "block-cipher", "STREAM": "stream-cipher", "NULL": "other"}
# NIST's categories (FIPS 203 8, FIPS 204 4) by what a name holds; all that is classical has none.
QUANTUM_LEVELS = {"MLKEM512": 1, "MLKEM768": 3, "MLKEM1024": 5, "ML-DSA-44": 2, "ML-DSA-65": 3, "ML-DSA-87": 5}


def second(nanoseconds: int | None) -> str | None:
    """A time to the second, in ISO 8601."""
    text = iso(nanoseconds)
    return f"{text.partition('.')[0]}Z" if text else None


def reference(name: str) -> str:
    """The bom-ref of an algorithm."""
    return f"crypto/algorithm/{printable(name).lower().replace(' ', '-')}"


def cipher_name(known: Properties) -> str:
    """The name of a suite's cipher."""
    return f"{known.cipher}-{known.bits}-{known.mode}" if known.bits else known.cipher


def cipher(known: Properties) -> dict[str, Any]:
    """A suite's cipher."""
    details = {"primitive": PRIMITIVES.get(known.mode, "ae"), "parameterSetIdentifier": str(known.bits)}
    if known.mode in ("GCM", "CCM", "CBC", "CTR"):
        details["mode"] = known.mode.lower()
    return _algorithm(cipher_name(known), details)


def cipher_of(suite: str) -> Properties | None:
    """What is known of a suite that has a cipher."""
    known = properties(suite)
    return known if known is not None and known.cipher != "?" else None


def group(name: str) -> dict[str, Any]:
    """A group of key exchanges: a hybrid combines two, a pure one encapsulates a key."""
    is_kem = name.startswith("MLKEM")
    is_hybrid = not is_kem and ("MLKEM" in name or "Kyber" in name or name == "CECPQ2")
    details: dict[str, Any] = {"primitive": "combiner" if is_hybrid else "kem" if is_kem else "key-agree"}
    details["parameterSetIdentifier"] = name
    details["nistQuantumSecurityLevel"] = _quantum_level(name)
    return _algorithm(name, details)


def signature(name: str) -> dict[str, Any]:
    """A scheme or algorithm of signatures."""
    return _algorithm(name, {"primitive": "signature", "nistQuantumSecurityLevel": _quantum_level(name)})


def _quantum_level(name: str) -> int:
    return next((level for what, level in sorted(QUANTUM_LEVELS.items(), reverse=True) if what in name), 0)


def _algorithm(name: str, details: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "cryptographic-asset",
        "bom-ref": reference(name),
        "name": printable(name),
        "cryptoProperties": {"assetType": "algorithm", "algorithmProperties": details},
    }


def key_algorithm(row: dict[str, Any]) -> str | None:
    """The name of a certificate's kind of key, with its size or curve."""
    if row["key_type"] is None:
        return None
    size = row["curve"] or row["key_bits"]
    return f"{row['key_type']} {size}" if size else str(row["key_type"])


def key(row: dict[str, Any]) -> dict[str, Any] | None:
    """The public key of a certificate."""
    name = key_algorithm(row)
    if name is None:
        return None
    details: dict[str, Any] = {"type": "public-key", "algorithmRef": reference(name)}
    if row["key_bits"] is not None:
        details["size"] = int(row["key_bits"])
    return {
        "type": "cryptographic-asset",
        "bom-ref": f"crypto/key/{row['certificate_id']}",
        "name": f"public key, {printable(name)}",
        "cryptoProperties": {"assetType": "related-crypto-material", "relatedCryptoMaterialProperties": details},
    }


def certificate(row: dict[str, Any]) -> dict[str, Any]:
    """A certificate with its key and its signature."""
    details = {
        "subjectName": row["subject"],
        "issuerName": row["issuer"],
        "notValidBefore": second(row["not_before"]),
        "notValidAfter": second(row["not_after"]),
        "certificateFormat": "X.509",
    }
    if row["signature_algorithm"] is not None:
        details["signatureAlgorithmRef"] = reference(row["signature_algorithm"])
    if row["key_type"] is not None:
        details["subjectPublicKeyRef"] = f"crypto/key/{row['certificate_id']}"
    return {
        "type": "cryptographic-asset",
        "bom-ref": f"crypto/certificate/{row['certificate_id']}",
        "name": printable(row["subject"] or row["certificate_id"]),
        "hashes": [{"alg": "SHA-256", "content": row["certificate_id"]}],
        "cryptoProperties": {
            "assetType": "certificate",
            "certificateProperties": {name: printable(value) for name, value in details.items() if value is not None},
        },
    }
