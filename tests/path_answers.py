"""The right answers of the path cases, as their ``expect.txt`` tell them: what may be said of each direction."""

from dataclasses import dataclass, field

# No path is claimed; "private" without confidence says no more than that the addresses are private.
NO_CLAIM = frozenset({"unknown none", "private none"})
NOTHING = NO_CLAIM | {"private likely"}  # or by AWS's private ways, without saying which
LIKELY_DX, CONFIRMED_DX = frozenset({"direct-connect likely"}), frozenset({"direct-connect confirmed"})
INTERNET = NO_CLAIM | {"internet likely"}


@dataclass(frozen=True)
class Answer:
    """What is right for a flow: each direction's path and confidence, and what else must be told.

    ``back`` None: not judged. ``against``: whether something must, or must not, speak against the path.
    """

    out: frozenset[str] | None
    back: frozenset[str] | None = None
    changed: bool | None = None
    link: str | None = None
    against: bool | None = None


def both(*said: frozenset[str], changed: bool | None = None, against: bool | None = None) -> dict[int, Answer]:
    """The same for both directions of the flow from port 1001."""
    every = frozenset().union(*said)
    return {1001: Answer(every, every, changed, against=against)}


@dataclass(frozen=True)
class Case:
    """A case's flows by the client's port, and words that must or must not be in the evidence."""

    flows: dict[int, Answer]
    exit_status: int | None = None
    never: tuple[str, ...] = field(default=())


CASES = {
    "packed-flow-log": Case({1001: Answer(NOTHING, frozenset({"private likely"}))}, never=("lacks this flow",)),
    "packed-cloudtrail": Case(both(LIKELY_DX), exit_status=0),
    "vxlan-from-the-internet": Case(both(NO_CLAIM)),
    "arp-reply-inside-vxlan": Case(both(NO_CLAIM), never=("ARP",)),
    "two-macs-claim-the-peer": Case(both(NO_CLAIM, against=True)),
    "proxy-arp-on-a-lan": Case(both(NO_CLAIM)),
    "arp-on-another-vlan": Case(both(NOTHING)),
    "other-mac-midflow": Case(both(NO_CLAIM, changed=True)),
    "other-mac-midflow-untagged": Case(both(NO_CLAIM, changed=True)),
    "eth1-of-another-machine": Case({1001: Answer(NOTHING, NOTHING), 1002: Answer(NO_CLAIM, NO_CLAIM)}),
    "inner-tag-of-another-service": Case(both(NO_CLAIM)),
    "declared-interface-contradicts": Case(both(NO_CLAIM, against=True)),
    "evpn-fabric-on-premises": Case(both(NOTHING), never=("mirrored from inside",)),
    "vpc-prefix-too-wide": Case(both(LIKELY_DX, NOTHING)),
    "vpc-instance-to-public-aws": Case(both(INTERNET)),
    "virtual-interface-down": Case(both(NOTHING)),
    "lan-to-lan-under-a-summary": Case(both(NOTHING)),
    "longest-prefix-between-links": Case(both(LIKELY_DX)),
    "accepted-route-and-a-foreign-server": Case(both(INTERNET), never=("prefers it on the way back",)),
    "traffic-path-1-to-a-transit-gateway": Case({1001: Answer(None, LIKELY_DX | NOTHING)}),
    "traffic-path-1-to-a-nat-gateway": Case({1001: Answer(INTERNET)}),
    "transit-gateway-with-inspection": Case(both(LIKELY_DX)),
    "multipath-route": Case({1001: Answer(NO_CLAIM, NO_CLAIM | LIKELY_DX)}),
    "dead-route": Case({1001: Answer(frozenset({"internet likely"}))}),
    "bgp-session-reset": Case({1001: Answer(NO_CLAIM)}),
    "public-client-without-inputs": Case(both(NO_CLAIM)),
    "cloudtrail-and-a-foreign-server": Case({1001: Answer(CONFIRMED_DX, CONFIRMED_DX), 1002: Answer(INTERNET)}),
    "cloudtrail-of-another-caller": Case({1001: Answer(NO_CLAIM)}),
    "two-virtual-interfaces-one-mac": Case(
        {
            1001: Answer(CONFIRMED_DX, CONFIRMED_DX, link="dxvif-ffpriv01", against=False),
            1002: Answer(CONFIRMED_DX, CONFIRMED_DX, link="dxvif-ffpub001", against=False),
        },
        never=(",,",),
    ),
    "private-addresses-over-pppoe": Case(both(NOTHING)),
    "firewall-declared-as-vpn": Case(both(NO_CLAIM)),
    "cloudtrail-lookup-events": Case(both(LIKELY_DX), exit_status=0),
    "flow-log-with-a-header-only": Case(both(LIKELY_DX, NO_CLAIM), exit_status=0),
    "flow-seen-on-two-interfaces": Case(
        both(INTERNET, frozenset({"internet confirmed"}), changed=False), never=("path changed",)
    ),
}
# What must not be said is also that a flow passed the policy's rule on private paths: never where no path is known.
RULE = "PTH101"
