"""Getting from AWS what shows where traffic goes, as the JSON files that ``aws_files`` reads. Secrets are never written."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from auditor.errors import AuditError
from auditor.machine import writing
from auditor.machine.installing import install

# Keys whose values are secrets, or hold some: BGP keys, pre-shared keys, whole router configurations.
SECRET = {"authKey", "customerRouterConfig", "CustomerGatewayConfiguration", "PreSharedKey", "secretARN", "ckn"}

# (service, operation, top-level key of what is kept)
CALLS = [
    ("directconnect", "describe_connections", "connections"),
    ("directconnect", "describe_virtual_interfaces", "virtualInterfaces"),
    ("directconnect", "describe_direct_connect_gateways", "directConnectGateways"),
    ("ec2", "describe_vpcs", "Vpcs"),
    ("ec2", "describe_subnets", "Subnets"),
    ("ec2", "describe_vpc_endpoints", "VpcEndpoints"),
    ("ec2", "describe_network_interfaces", "NetworkInterfaces"),
    ("ec2", "describe_transit_gateway_attachments", "TransitGatewayAttachments"),
    ("ec2", "describe_vpn_connections", "VpnConnections"),
    ("ec2", "describe_vpn_gateways", "VpnGateways"),
    ("ec2", "describe_client_vpn_endpoints", "ClientVpnEndpoints"),
]


def without_secrets(value: Any) -> Any:
    """The same JSON without secret values."""
    if isinstance(value, dict):
        return {key: without_secrets(item) for key, item in value.items() if key not in SECRET}
    if isinstance(value, list):
        return [without_secrets(item) for item in value]
    return value


def _all(client: Any, operation: str, key: str, **arguments: Any) -> list[Any]:
    """All pages of an operation."""
    if client.can_paginate(operation):
        pages = client.get_paginator(operation).paginate(**arguments)
        return [row for page in pages for row in page.get(key, [])]
    rows: list[Any] = []
    while True:
        answer = getattr(client, operation)(**arguments)
        rows += answer.get(key, [])
        token = answer.get("nextToken") or answer.get("NextToken")
        if not token:
            return rows
        arguments["nextToken" if "nextToken" in answer else "NextToken"] = token


def _write(path: Path, data: dict[str, Any]) -> None:
    with writing.whole(path, force=True) as file:
        file.write(json.dumps(without_secrets(data), indent=2, default=str).encode() + b"\n")


def _check(out: Path, *, force: bool) -> None:
    """Refuse a folder that holds files already, before AWS is asked."""
    if not force and out.is_dir() and any(out.iterdir()):
        raise AuditError(
            f"{out}: is not empty; give another folder, or --force to overwrite what it has of the same names"
        )


def _session(profile: str | None) -> Any:
    try:
        import boto3
    except ImportError as error:
        raise AuditError(f"fetching needs boto3: {install('aws')}") from error
    try:
        return boto3.Session(profile_name=profile)
    except Exception as error:
        raise AuditError(f"AWS: {error}") from error


def fetch(
    out: Path, profile: str | None, regions: list[str], session: Any = None, *, force: bool = False
) -> Iterator[tuple[Path, int]]:
    """Write a file for each call and Region into ``out``; yields (file, rows). Operations that are refused are reported.

    Raises AuditError where boto3 is not there, nothing at all could be got, or the folder holds files already: with
    ``force`` those of the same names are overwritten.
    """
    if not force and out.is_dir() and any(out.iterdir()):
        raise AuditError(
            f"{out}: is not empty; give another folder, or --force to overwrite what it has of the same names"
        )
    session = session or _session(profile)
    where = regions or [session.region_name]
    if where == [None]:
        raise AuditError("AWS: no Region is configured; give --region")
    writing.make_folder(out)
    refused: list[str] = []
    got = 0
    for region in where:
        for service, operation, key in CALLS:
            try:
                client = session.client(service, region_name=region)
                rows = _all(client, operation, key)
            except Exception as error:  # noqa: BLE001 - any failure of one call is reported, and the others go on
                refused.append(f"{service} {operation} in {region}: {error}")
                continue
            file = out / f"{region}-{service}-{operation.replace('_', '-')}.json"
            _write(file, {key: rows})
            got += 1
            yield file, len(rows)
            if key == "virtualInterfaces":
                yield from _more(client, out, region, rows)
            elif key == "directConnectGateways":
                yield from _attachments(client, out, region, rows)
    if not got:
        raise AuditError("AWS: nothing could be fetched: " + "; ".join(refused))
    if refused:
        raise AuditError("AWS: not all could be fetched: " + "; ".join(refused))


def _more(client: Any, out: Path, region: str, rows: list[Any]) -> Iterator[tuple[Path, int]]:
    """The routes of each virtual interface, where this boto3 knows the call."""
    if not hasattr(client, "list_virtual_interface_routes"):
        return
    for row in rows:
        name = row["virtualInterfaceId"]
        routes = _all(client, "list_virtual_interface_routes", "routes", virtualInterfaceId=name)
        file = out / f"{region}-routes-{name}.json"
        _write(file, {"virtualInterfaceId": name, "routes": routes})
        yield file, len(routes)


def _attachments(client: Any, out: Path, region: str, rows: list[Any]) -> Iterator[tuple[Path, int]]:
    for what in ("attachments", "associations"):
        key, listed = f"directConnectGateway{what.capitalize()}", []
        for row in rows:
            gateway = row["directConnectGatewayId"]
            listed += _all(client, f"describe_direct_connect_gateway_{what}", key, directConnectGatewayId=gateway)
        file = out / f"{region}-directconnect-describe-direct-connect-gateway-{what}.json"
        _write(file, {key: listed})
        yield file, len(listed)
