"""CycloneDX 1.6 or 1.7: a cryptography bill of materials of what was negotiated on the wire, with where it was seen."""

import hashlib
import json
import uuid
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from auditor.report.plain import iso, printable
from auditor.report.results import Results
from auditor.tls.suites import properties

PROTOCOLS = {"TLS": "tls", "DTLS": "other", "SSL": "tls"}
MOST_OCCURRENCES = 20
PRIMITIVES = {"CBC": "block-cipher", "STREAM": "stream-cipher", "NULL": "other"}


@dataclass
class ProtocolUse:
    """How a version of a protocol was used: suites by name with their code points, and where it was seen."""

    suites: dict[str, int] = field(default_factory=dict)
    occurrences: list[dict[str, Any]] = field(default_factory=list)
    handshakes: int = 0


def _suite(name: str, code: int) -> dict[str, Any]:
    told: dict[str, Any] = {"name": name, "identifiers": [f"0x{code >> 8:02X}", f"0x{code & 255:02X}"]}
    known = properties().get(name)
    if known is not None and known.cipher != "?":
        told["algorithms"] = [_reference(known)]
    return told


def _algorithm_name(known: Any) -> str:
    return f"{known.cipher}-{known.bits}-{known.mode}" if known.bits else known.cipher


def _reference(known: Any) -> str:
    return f"crypto/algorithm/{_algorithm_name(known).lower()}"


def _algorithm(known: Any) -> dict[str, Any]:
    told = {"primitive": PRIMITIVES.get(known.mode, "ae"), "parameterSetIdentifier": str(known.bits)}
    if known.mode in ("GCM", "CCM", "CBC", "CTR"):
        told["mode"] = known.mode.lower()
    return {
        "type": "cryptographic-asset",
        "bom-ref": _reference(known),
        "name": _algorithm_name(known),
        "cryptoProperties": {"assetType": "algorithm", "algorithmProperties": told},
    }


def _certificate(row: dict[str, Any]) -> dict[str, Any]:
    names = {
        "subjectName": row["subject"],
        "issuerName": row["issuer"],
        "notValidBefore": _second(row["not_before"]),
        "notValidAfter": _second(row["not_after"]),
        "certificateFormat": "X.509",
    }
    return {
        "type": "cryptographic-asset",
        "bom-ref": f"crypto/certificate/{row['certificate_id']}",
        "name": printable(row["subject"] or row["certificate_id"]),
        "hashes": [{"alg": "SHA-256", "content": row["certificate_id"]}],
        "cryptoProperties": {
            "assetType": "certificate",
            "certificateProperties": {k: printable(v) for k, v in names.items() if v is not None},
        },
    }


def _second(nanoseconds: int | None) -> str | None:
    text = iso(nanoseconds)
    return f"{text.partition('.')[0]}Z" if text else None


def write_1_7(result: Results, out: BinaryIO) -> None:
    """As ``write``, in edition 1.7."""
    write(result, out, "1.7")


def write(result: Results, out: BinaryIO, edition: str = "1.6") -> None:
    """Protocols with their suites, the algorithms of these, and certificates."""
    uses = sorted(_uses(result).items(), key=lambda item: "/".join(item[0]))  # drafts before their version
    known = [properties().get(name) for _, use in uses for name in sorted(use.suites)]
    algorithms = {_reference(suite): suite for suite in known if suite is not None and suite.cipher != "?"}
    bom = {
        "$schema": f"http://cyclonedx.org/schema/bom-{edition}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": edition,
        "serialNumber": f"urn:uuid:{_serial(result)}",
        "version": 1,
        "metadata": _metadata(result),
        "components": [
            *(_protocol(version, transport, use) for (version, transport), use in uses),
            *(_algorithm(suite) for _, suite in sorted(algorithms.items())),
            *(_certificate(row) for row in result.records("certificates", times="ns")),
        ],
    }
    out.write(json.dumps(bom, indent=1, ensure_ascii=True).encode() + b"\n")


def _uses(result: Results) -> dict[tuple[str, str], ProtocolUse]:
    """How each version was used, by its name and transport."""
    flows = {row["flow_id"]: row for row in result.rows("flows", "flow_id", "capture", "server_name", "server_ip")}
    uses: dict[tuple[str, str], ProtocolUse] = {}
    columns = ("flow_id", "tls_version", "transport", "cipher_suite", "cipher_suite_id", "server_hello_frame")
    for shake in result.records("handshakes", *columns):
        if shake["tls_version"] is None:
            continue
        use = uses.setdefault((shake["tls_version"], shake["transport"]), ProtocolUse())
        use.handshakes += 1
        if shake["cipher_suite"] is not None:
            use.suites[shake["cipher_suite"]] = shake["cipher_suite_id"]
        flow = flows[shake["flow_id"]]
        if len(use.occurrences) < MOST_OCCURRENCES and shake["server_hello_frame"]:
            where = f"{flow['capture']}#frame={shake['server_hello_frame']}"
            context = f"server {flow['server_name'] or flow['server_ip']}"
            use.occurrences.append({"location": printable(where), "additionalContext": printable(context)})
    return uses


def _protocol(version: str, transport: str, use: ProtocolUse) -> dict[str, Any]:
    family, _, number = version.partition(" ")
    return {
        "type": "cryptographic-asset",
        "bom-ref": f"crypto/protocol/{f'{version}/{transport}'.lower().replace(' ', '-')}",
        "name": f"{version} over {transport}",
        "cryptoProperties": {
            "assetType": "protocol",
            "protocolProperties": {
                "type": PROTOCOLS.get(family, "other"),
                "version": number or version,
                "cipherSuites": [_suite(name, code) for name, code in sorted(use.suites.items())],
            },
        },
        "evidence": {"occurrences": use.occurrences},
        "properties": [{"name": "auditor:handshakes", "value": str(use.handshakes)}],
    }


def _serial(result: Results) -> uuid.UUID:
    """The same for the same inputs."""
    inputs = [one["sha256"] or one["name"] for one in result.manifest["inputs"]]
    return uuid.UUID(bytes=hashlib.sha256(" ".join(inputs).encode()).digest()[:16], version=4)


def _metadata(result: Results) -> dict[str, Any]:
    """The tool, and the captures' last packet as the time: no time of the run, so that results can be compared."""
    tool = {"type": "application", "name": "auditor", "version": result.manifest["versions"]["auditor"]}
    metadata: dict[str, Any] = {"tools": {"components": [tool]}}
    ends = [row["ended"] for row in result.rows("captures", "ended") if row["ended"] is not None]
    if ends:
        metadata["timestamp"] = _second(max(ends))
    return metadata
