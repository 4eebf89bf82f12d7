"""CycloneDX 1.6 or 1.7: a cryptography bill of materials of what was negotiated on the wire, with where it was seen."""

import hashlib
import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from auditor.border.text import printable
from auditor.report.formats import cbom_assets
from auditor.report.results import Results

# How the editions call a protocol: 1.6 knows TLS alone.
TYPES = {"1.6": {"SSL": "tls", "TLS": "tls"}, "1.7": {"SSL": "tls", "TLS": "tls", "DTLS": "dtls", "QUIC": "quic"}}
MOST_OCCURRENCES = 20
SHAKE = (
    *("flow_id", "tls_version", "transport", "cipher_suite", "cipher_suite_id", "key_exchange_group"),
    *("signature_scheme", "certificate_id", "server_hello_capture", "server_hello_frame"),
)


@dataclass
class SuiteUse:
    """How a suite was used: its code point, groups and signatures by name."""

    code: int
    groups: set[str] = field(default_factory=set)
    signatures: set[str] = field(default_factory=set)


@dataclass
class ProtocolUse:
    """How a version of a protocol was used: suites by name, certificates, and where it was seen."""

    suites: dict[str, SuiteUse] = field(default_factory=dict)
    certificates: set[str] = field(default_factory=set)
    occurrences: list[dict[str, Any]] = field(default_factory=list)
    handshakes: int = 0


def _suite(name: str, use: SuiteUse, edition: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": name, "identifiers": [f"0x{use.code >> 8:02X}", f"0x{use.code & 255:02X}"]}
    known = cbom_assets.cipher_of(name)
    names = [*([cbom_assets.cipher_name(known)] if known is not None else []), *sorted(use.groups | use.signatures)]
    if names:
        entry["algorithms"] = [cbom_assets.reference(one) for one in names]
    if edition == "1.7":
        listed = {"tlsGroups": sorted(use.groups), "tlsSignatureSchemes": sorted(use.signatures)}
        entry |= {what: some for what, some in listed.items() if some}
    return entry


def write_1_7(result: Results, out: BinaryIO) -> None:
    """As ``write``, in edition 1.7."""
    write(result, out, "1.7")


def write(result: Results, out: BinaryIO, edition: str = "1.6") -> None:
    """Protocols with their suites, the algorithms of these, certificates and their keys."""
    uses = sorted(_uses(result).items(), key=lambda item: "/".join(item[0]))  # drafts before their version
    certificates = list(result.records("certificates", times="ns"))
    keys = (cbom_assets.key(row) for row in certificates)
    bom = {
        "$schema": f"http://cyclonedx.org/schema/bom-{edition}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": edition,
        "serialNumber": f"urn:uuid:{_serial(result)}",
        "version": 1,
        "metadata": _metadata(result),
        "components": [
            *(_protocol(version, transport, use, edition) for (version, transport), use in uses),
            *_algorithms((use for _, use in uses), certificates),
            *(cbom_assets.certificate(row) for row in certificates),
            *(key for key in keys if key is not None),
        ],
    }
    out.write(json.dumps(bom, indent=1, ensure_ascii=True).encode() + b"\n")


def _algorithms(uses: Iterable[ProtocolUse], certificates: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each algorithm once: of suites, groups, signatures, and of certificates."""
    components = []
    for use in uses:
        for name, suite in use.suites.items():
            known = cbom_assets.cipher_of(name)
            components += [cbom_assets.cipher(known)] if known is not None else []
            components += map(cbom_assets.group, suite.groups)
            components += map(cbom_assets.signature, suite.signatures)
    for row in certificates:
        names = (row["signature_algorithm"], cbom_assets.key_algorithm(row))
        components += [cbom_assets.signature(name) for name in names if name is not None]
    return [one for _, one in sorted({one["bom-ref"]: one for one in components}.items())]


def _uses(result: Results) -> dict[tuple[str, str], ProtocolUse]:
    """How each version was used, by its name and transport."""
    uses: dict[tuple[str, str], ProtocolUse] = {}
    ends = ("flow_id", "server_name", "server_ip")
    shakes = ((flow, row) for flow, rows in result.with_flows("handshakes", ends, SHAKE) for row in rows)
    for flow, shake in shakes:
        if shake["tls_version"] is None:
            continue
        use = uses.setdefault((shake["tls_version"], shake["transport"]), ProtocolUse())
        use.handshakes += 1
        if shake["cipher_suite"] is not None:
            suite = use.suites.setdefault(shake["cipher_suite"], SuiteUse(shake["cipher_suite_id"]))
            suite.groups |= {shake["key_exchange_group"]} - {None}
            suite.signatures |= {shake["signature_scheme"]} - {None}
        use.certificates |= {shake["certificate_id"]} - {None}
        if len(use.occurrences) < MOST_OCCURRENCES and shake["server_hello_frame"]:
            where = f"{shake['server_hello_capture']}#frame={shake['server_hello_frame']}"
            context = f"server {flow['server_name'] or flow['server_ip']}"
            use.occurrences.append({"location": printable(where), "additionalContext": printable(context)})
    return uses


def _protocol(version: str, transport: str, use: ProtocolUse, edition: str) -> dict[str, Any]:
    family, _, number = version.partition(" ")
    certificates = [f"crypto/certificate/{one}" for one in sorted(use.certificates)]
    details: dict[str, Any] = {
        "type": TYPES[edition].get("QUIC" if transport == "quic" else family, TYPES["1.6"].get(family, "other")),
        "version": number or version,
        "cipherSuites": [_suite(name, suite, edition) for name, suite in sorted(use.suites.items())],
    }
    if certificates and edition == "1.7":
        details["relatedCryptographicAssets"] = [{"type": "certificate", "ref": one} for one in certificates]
    elif certificates:
        details["cryptoRefArray"] = certificates
    return {
        "type": "cryptographic-asset",
        "bom-ref": f"crypto/protocol/{f'{version}/{transport}'.lower().replace(' ', '-')}",
        "name": f"{version} over {transport}",
        "cryptoProperties": {"assetType": "protocol", "protocolProperties": details},
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
        metadata["timestamp"] = cbom_assets.second(max(ends))
    return metadata
