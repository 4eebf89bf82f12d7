"""What an AWS account says of Direct Connect: what is down under a virtual interface or above it carries nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

import auditor
from auditor.paths import aws_files
from auditor.paths.topology import VirtualInterface, Vpn

VIF = {
    "virtualInterfaceId": "dxvif-1",
    "virtualInterfaceType": "transit",
    "virtualInterfaceState": "available",
    "connectionId": "dxcon-1",
    "directConnectGatewayId": "dxgw-1",
    "vlan": 101,
    "bgpPeers": [{"addressFamily": "ipv4", "bgpStatus": "up"}],
}


def read(folder: Path, **files: list[dict[str, Any]]) -> Any:
    for key, listed in ({"virtualInterfaces": [VIF]} | files).items():
        (folder / f"{key}.json").write_text(json.dumps({key: listed}))
    return aws_files.read(folder)


@pytest.mark.parametrize(
    ("files", "state"),
    [
        ({}, "available"),
        ({"connections": [{"connectionId": "dxcon-1", "connectionState": "available"}]}, "available"),
        ({"connections": [{"connectionId": "dxcon-1", "connectionState": "unknown"}]}, "available"),
        ({"connections": [{"connectionId": "dxcon-1", "connectionState": "down"}]}, "connection down"),
        ({"connections": [{"connectionId": "dxcon-1", "connectionState": "deleted"}]}, "connection deleted"),
        ({"connections": [{"connectionId": "dxcon-2", "connectionState": "down"}]}, "available"),
        ({"lags": [{"lagId": "dxcon-1", "lagState": "down"}]}, "LAG down"),
        ({"lags": [{"lagId": "dxcon-1", "lagState": "available"}]}, "available"),
        (
            {"directConnectGatewayAttachments": [{"virtualInterfaceId": "dxvif-1", "attachmentState": "detached"}]},
            "detached from its gateway",
        ),
        (
            {
                "directConnectGatewayAttachments": [
                    {"virtualInterfaceId": "dxvif-1", "attachmentState": "detached"},
                    {"virtualInterfaceId": "dxvif-1", "attachmentState": "attached"},
                ]
            },
            "available",
        ),
        ({"virtualInterfaces": [VIF | {"bgpPeers": [{"bgpStatus": "down"}]}]}, "BGP down"),
        ({"virtualInterfaces": [VIF | {"virtualInterfaceState": "down"}]}, "down"),
    ],
)
def test_what_is_down(tmp_path: Path, files: dict[str, list[dict[str, Any]]], state: str) -> None:
    """A virtual interface is up if its connection or LAG, its gateway's attachment and a BGP session are."""
    (link,) = read(tmp_path, **files).virtual_interface
    assert (link.state, link.is_up) == (state, state == "available")


def test_rows_that_are_not_as_aws_prints_them(tmp_path: Path) -> None:
    """A connection or attachment that cannot be read says nothing, and the others are read."""
    connections: list[dict[str, Any]] = [
        {"connectionId": 5, "connectionState": "down"},
        {"connectionId": "dxcon-1", "connectionState": "down"},
    ]
    topology = read(tmp_path, connections=connections, directConnectGatewayAttachments=[{"virtualInterfaceId": []}])
    assert [link.state for link in topology.virtual_interface] == ["connection down"]


def test_what_aws_accepts(tmp_path: Path) -> None:
    """Prefixes that AWS accepts are the sources where it lists them; those that were asked for are the most they can be."""
    vif = VIF | {"routeFilterPrefixes": [{"cidr": "198.51.100.0/24"}, {"cidr": "203.0.113.0/24"}]}
    (link,) = read(tmp_path, virtualInterfaces=[vif]).virtual_interface
    assert link.sources == ("198.51.100.0/24", "203.0.113.0/24")
    routes = [{"cidr": "203.0.113.0/24", "routeDirection": "accepted"}]
    (tmp_path / "routes.json").write_text(json.dumps({"virtualInterfaceId": "dxvif-1", "routes": routes}))
    (link,) = read(tmp_path, virtualInterfaces=[vif]).virtual_interface
    assert link.sources == ("203.0.113.0/24",)


def test_a_vpn_on_the_same_transit_gateway(tmp_path: Path) -> None:
    """A VPN that ends on the transit gateway behind a Direct Connect gateway leads where that leads."""
    association = {
        "directConnectGatewayId": "dxgw-1",
        "associationState": "associated",
        "associatedGateway": {"id": "tgw-1", "type": "transitGateway"},
        "allowedPrefixesToDirectConnectGateway": [{"cidr": "172.31.0.0/16"}],
    }
    vpn = {"VpnConnectionId": "vpn-1", "State": "available", "TransitGatewayId": "tgw-1"}
    topology = read(tmp_path, directConnectGatewayAssociations=[association], VpnConnections=[vpn])
    leads = {type(link): link.prefixes for link in topology.links()}
    assert leads == {VirtualInterface: ("172.31.0.0/16",), Vpn: ("172.31.0.0/16",)}


@pytest.mark.parametrize(
    ("allowed", "state", "leads"),
    [
        (["10.9.0.0/16", "2001:db8:9::/56"], "associated", ("10.9.0.0/16", "2001:db8:9::/56")),
        (["10.8.0.0/15", "172.16.0.0/12"], "updating", ("10.9.0.0/16",)),
        (["10.9.0.0/24"], "associated", ()),
        ([], "associated", ("10.9.0.0/16", "2001:db8:9::/56")),
        (["10.8.0.0/15"], "disassociating", ()),
    ],
)
@pytest.mark.parametrize(
    "names_it", [{"associatedGateway": {"id": "vgw-1", "type": "virtualPrivateGateway"}}, {"virtualGatewayId": "vgw-1"}]
)
def test_what_a_private_gateway_advertises(
    tmp_path: Path, names_it: dict[str, Any], allowed: list[str], state: str, leads: tuple[str, ...]
) -> None:
    """Of the VPC behind a virtual private gateway what is allowed lets through blocks that are no wider, and adds none."""
    association = names_it | {
        "directConnectGatewayId": "dxgw-1",
        "associationState": state,
        "allowedPrefixesToDirectConnectGateway": [{"cidr": cidr} for cidr in allowed],
    }
    block = {"Ipv6CidrBlock": "2001:db8:9::/56", "Ipv6CidrBlockState": {"State": "ASSOCIATED"}}  # as documented
    topology = read(
        tmp_path,
        directConnectGatewayAssociations=[association],
        VpnGateways=[{"VpnGatewayId": "vgw-1", "VpcAttachments": [{"VpcId": "vpc-9", "State": "attached"}]}],
        Vpcs=[{"VpcId": "vpc-9", "CidrBlock": "10.9.0.0/16", "Ipv6CidrBlockAssociationSet": [block]}],
        virtualInterfaces=[VIF | {"bgpPeers": []}],
    )
    assert topology.virtual_interface[0].prefixes == leads


def test_one_connection_that_is_in_no_list(tmp_path: Path) -> None:
    """An output of EC2's with an object for a list of one is read."""
    vpn = {"VpnConnectionId": "vpn-1", "State": "available", "VpnGatewayId": "vgw-1"}
    (tmp_path / "vpn.json").write_text(json.dumps({"VpnConnections": vpn}))
    assert [link.name for link in aws_files.read(tmp_path).links()] == ["vpn-1"]


@pytest.mark.parametrize("name", ["vifs.txt", "vifs.yaml", "vifs.json"])
def test_other_forms_of_output(tmp_path: Path, name: str) -> None:
    """Text, tables and YAML of AWS's command line are told by their file, with the option that makes JSON."""
    (tmp_path / name).write_text("VIRTUALINTERFACES\t65010\t64512\t169.254.96.1/30\n")
    with pytest.raises(auditor.TopologyError, match=rf"{name}.*--output json"):
        aws_files.read(tmp_path)
    if name != "vifs.json":
        (tmp_path / "good.json").write_text(json.dumps({"virtualInterfaces": [VIF]}))
        notes: list[str] = []
        assert len(list(aws_files.read(tmp_path, notes).links())) == 1
        assert [name in note and "--output json" in note for note in notes] == [True]


def test_what_is_printed_in_pages(tmp_path: Path) -> None:
    """Pages behind each other in one file are all read; where the last one is missing, that is said."""
    pages: list[dict[str, Any]] = [{"virtualInterfaces": [VIF], "nextToken": "x"}]
    notes: list[str] = []
    for more, said in (({"virtualInterfaces": [VIF | {"virtualInterfaceId": "dxvif-2"}]}, 0), ({}, 1)):
        (tmp_path / "a.json").write_text("\n".join(json.dumps(page, indent=1) for page in [*pages, more][: 2 - said]))
        notes.clear()
        assert len(aws_files.read(tmp_path, notes).virtual_interface) == 2 - said
        assert ["one page of several" in note for note in notes] == [True] * said


def test_what_two_accounts_list(tmp_path: Path) -> None:
    """What accounts share is one link; where what they say differs one that is down goes first, and it is told."""
    notes: list[str] = []
    for state, found in (("available", "available"), ("down", "down")):
        for number, one in enumerate((VIF, VIF | {"virtualInterfaceState": state})):
            (tmp_path / f"{number}.json").write_text(json.dumps({"virtualInterfaces": [one]}))
        assert [vif.state for vif in aws_files.read(tmp_path, notes).virtual_interface] == [found]
    assert ["rows of dxvif-1 differ" in note for note in notes] == [True]


@pytest.mark.parametrize(
    "other",
    ["", "virtualInterfaces: []\n", "An error occurred (AccessDenied)\n", '{"routes": [{"cidr": "10.0.0.0/8"}]}'],
)
def test_other_outputs_beside_it(tmp_path: Path, other: str) -> None:
    """YAML, text, an error's message or other JSON in the folder is one warning, and not the end."""
    (tmp_path / "b.json").write_text(other)
    notes: list[str] = []
    read(tmp_path)
    assert len(aws_files.read(tmp_path, notes).virtual_interface) == 1
    assert ["b.json: not the output, as JSON" in note for note in notes] == [True]


def test_regions_of_zones(tmp_path: Path) -> None:
    """A VPC's Region is that of its subnets' zones, local ones as well."""
    for zone in ("us-west-2b", "us-west-2-lax-1a"):
        subnet = {"VpcId": "vpc-1", "AvailabilityZone": zone}
        account = read(tmp_path, Subnets=[subnet], Vpcs=[{"VpcId": "vpc-1", "CidrBlock": "172.31.0.0/16"}])
        assert [vpc.region for vpc in account.vpc] == ["us-west-2"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("com.amazonaws.us-east-1.pinpoint", ("us-east-1", "pinpoint")),
        ("com.amazonaws.us-gov-west-1.email-smtp", ("us-gov-west-1", "ses-smtp")),
        ("cn.com.amazonaws.cn-north-1.ecr.dkr", ("cn-north-1", "ecr.dkr")),
        ("com.amazonaws.vpce.us-east-1.vpce-svc-0123", ("us-east-1", "vpce-svc-0123")),
        ("com.amazonaws.s3-global.accesspoint", (None, "s3-global.accesspoint")),
        ("com.amazonaws.us-east-1", ("us-east-1", None)),
        ("aws.sagemaker.us-east-1.notebook", (None, None)),
    ],
)
def test_names_of_endpoint_services(name: str, told: tuple[str | None, str | None]) -> None:
    """Services of AWS's and of its customers say their Region where they have one."""
    assert aws_files.endpoint_service(name) == told
