"""What the AWS command line prints of an account: its commands, by the top-level key of their output."""

# Top-level key -> the command that prints it.
COMMANDS = {
    "virtualInterfaces": "directconnect describe-virtual-interfaces",
    "connections": "directconnect describe-connections",
    "lags": "directconnect describe-lags",
    "directConnectGateways": "directconnect describe-direct-connect-gateways",
    "directConnectGatewayAttachments": "directconnect describe-direct-connect-gateway-attachments",
    "directConnectGatewayAssociations": "directconnect describe-direct-connect-gateway-associations",
    "routes": "directconnect list-virtual-interface-routes",
    "VpcEndpoints": "ec2 describe-vpc-endpoints",
    "NetworkInterfaces": "ec2 describe-network-interfaces",
    "TransitGatewayAttachments": "ec2 describe-transit-gateway-attachments",
    "VpnConnections": "ec2 describe-vpn-connections",
    "Vpcs": "ec2 describe-vpcs",
    "Subnets": "ec2 describe-subnets",
    "VpnGateways": "ec2 describe-vpn-gateways",
    "ClientVpnEndpoints": "ec2 describe-client-vpn-endpoints",
}
# Outputs that are right to have in such a folder, and say nothing that is used.
UNUSED = {
    "virtualGateways",
    "locations",
    "loa",
    "resourceTags",
    "FlowLogs",
    "TransitGateways",
    "TransitGatewayVpcAttachments",
    "TransitGatewayRouteTables",
    "RouteTables",
    "NatGateways",
    "InternetGateways",
    "CustomerGateways",
    "Addresses",
    "SecurityGroups",
    "NetworkAcls",
    "ManagedPrefixLists",
    "PrefixLists",
    "VpcPeeringConnections",
    "Reservations",
    "DhcpOptions",
    "TrafficMirrorFilters",
    "TrafficMirrorTargets",
    "TrafficMirrorSessions",
    "CarrierGateways",
    "EgressOnlyInternetGateways",
    "LocalGatewayRouteTables",
    "LocalGateways",
    "TransitGatewayPeeringAttachments",
    "TransitGatewayConnectPeers",
    "TransitGatewayConnects",
    "CoreNetworkSegments",
    "CoreNetworks",
    "TransitGatewayRouteTablePropagations",
    "TransitGatewayRouteTableAssociations",
    "TransitGatewayMulticastDomains",
    "ServiceDetails",
    "AvailabilityZones",
    "Routes",
    "Regions",
}

OTHER_OUTPUTS = {".yaml", ".yml", ".txt", ".text", ".tsv"}  # names of what aws wrote in another form
NOT_USED = (
    "not the output, as JSON (--output json), of a command that says where traffic goes, whole (without --query); these do: "
    + ", ".join(COMMANDS.values())
)
