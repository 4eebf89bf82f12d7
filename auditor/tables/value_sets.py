"""The closed sets of values in tables, each in its order, worst or best proven last."""

PATHS = ["direct-connect", "vpn", "vpc", "private", "unknown", "internet"]
CONFIDENCES = ["none", "likely", "confirmed"]
VERDICTS = ["not_applicable", "pass", "not_observable", "warn", "fail"]
SEVERITIES = ["info", "low", "medium", "high", "critical"]
STATUSES = ["complete", "client_only", "server_only", "truncated", "invalid"]
SIDES = ["client", "server"]
EVIDENCE = [
    "vlan+mac", "interface+vlan", "pppoe", "mirror", "interface+mac", "mac", "tunnel", "gateway", "point", "rule", "interface",
    "attachment", "vlan", "bgp", "route", "flow-log", "cloudtrail", "sensor", "nat", "endpoint", "proxy", "prefix",
    "accepted", "address", "router", "ipsec", "source", "contrary", "contested", "moved", "position",
]  # fmt: skip
OUTCOMES = [
    "answered", "retry asked", "alert", "reset by the server", "reset on the way", "closed by the server",
    "given up by the client", "lost", "acknowledged, not answered", "acknowledged when the capture ended",
    "answered by something that is no TLS", "not known",
]  # fmt: skip
