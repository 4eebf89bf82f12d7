"""Where the packets of a side were seen: the position of its first packet in its row, the others in a chain of their own.

A position is an interface, VLANs and tunnels, and the MACs of the frame. Nearly all packets are where the first one was,
so that is compared at once; all that differs is looked for among the few others.
"""

from typing import Any

import numpy as np

from auditor.decode.packet import PacketRow
from auditor.flows.state import FREE_PLACE, FlowRow, Memory, PlaceRows, SideRow, WayRow
from auditor.machine.kernel import inlined, part

MOST_PLACES = 7  # of a side, besides its first


@inlined
def same_scope(side: SideRow, packet: PacketRow) -> bool:
    return side.vlans == packet.vlans and side.tunnel == packet.tunnel and side.outer_tunnel == packet.outer_tunnel


@inlined
def same_tunnel(one: Any, packet: PacketRow) -> bool:
    """Whether two packets that are in a tunnel came in the same one, by frames between the same MACs."""
    return (
        one.outer_source == packet.outer_source
        and one.outer_target == packet.outer_target
        and one.outer_source_mac == packet.outer_source_mac
        and one.outer_target_mac == packet.outer_target_mac
    )


@inlined
def same_link(one: Any, packet: PacketRow) -> bool:
    """Whether two packets were captured on the same interface, in frames between the same MACs."""
    return (
        one.target_mac == packet.target_mac
        and one.source_mac == packet.source_mac
        and one.interface == packet.interface
        and one.shims == packet.shims
    )


@inlined
def is_at_first_place(side: SideRow, way: WayRow, packet: PacketRow) -> bool:
    """Whether a packet was seen where its side's first one was."""
    return same_link(side, packet) and same_scope(side, packet) and (packet.tunnel == 0 or same_tunnel(way, packet))


@part
def was_there(places: PlaceRows, flow: FlowRow, direction: int, packet: PacketRow) -> bool:
    """Whether a side's packets were seen in a packet's VLANs and tunnels before, besides those of its first."""
    at = np.int64(flow.place)
    while at >= 0:
        if places[at].side == direction and same_scope(places[at], packet):
            return True
        at = np.int64(places[at].next)
    return False


@part
def note_side(side: SideRow, way: WayRow, packet: PacketRow) -> None:
    """The position of a side's first packet."""
    way.first_frame = packet.frame
    way.first_time = packet.time
    side.ttl = packet.ttl
    side.source_mac = packet.source_mac
    side.target_mac = packet.target_mac
    side.vlans = packet.vlans
    side.interface = packet.interface
    side.shims = packet.shims
    way.vlan_count = packet.vlan_count
    side.tunnel = packet.tunnel
    side.outer_tunnel = packet.outer_tunnel
    way.outer_source = packet.outer_source
    way.outer_target = packet.outer_target
    way.outer_source_mac = packet.outer_source_mac
    way.outer_target_mac = packet.outer_target_mac
    way.outer_vlan_count = packet.outer_vlan_count
    way.gwlb_endpoint = packet.gwlb_endpoint
    way.gwlb_attachment = packet.gwlb_attachment
    way.spi = packet.spi


@part
def note_place(memory: Memory, flow: FlowRow, way: WayRow, direction: int, packet: PacketRow, copied: bool) -> None:
    """A packet, or a copy of one that was counted, at another position than its side's first one."""
    counters, places = memory.counters, memory.places
    at, kept = np.int64(flow.place), 0
    while at >= 0:
        place = places[at]
        if place.side == direction:
            kept += 1
            if same_link(place, packet) and same_scope(place, packet) and same_tunnel(place, packet):
                if copied:
                    place.copies += 1
                else:
                    place.packets += 1
                place.last_frame = packet.frame
                place.last_time = packet.time
                return
        at = np.int64(place.next)
    if kept >= MOST_PLACES:
        if not copied:
            way.elsewhere += 1
            if way.elsewhere_frame == 0:
                way.elsewhere_frame = packet.frame
        return
    at = counters[FREE_PLACE]
    place = places[at]
    counters[FREE_PLACE] = place.next
    place.next = flow.place
    flow.place = at
    place.side = direction
    place.packets = 0 if copied else 1
    place.copies = 1 if copied else 0
    place.first_frame = packet.frame
    place.last_frame = packet.frame
    place.first_time = packet.time
    place.last_time = packet.time
    place.source_mac = packet.source_mac
    place.target_mac = packet.target_mac
    place.vlans = packet.vlans
    place.vlan_count = packet.vlan_count
    place.interface = packet.interface
    place.shims = packet.shims
    place.tunnel = packet.tunnel
    place.outer_tunnel = packet.outer_tunnel
    place.outer_source = packet.outer_source
    place.outer_target = packet.outer_target
    place.outer_source_mac = packet.outer_source_mac
    place.outer_target_mac = packet.outer_target_mac
    place.outer_vlan_count = packet.outer_vlan_count
