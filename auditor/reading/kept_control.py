"""What captures show of their network as arrays, to be kept in a file, and back."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from auditor.border.gate import RefusedError
from auditor.border.text import printable
from auditor.decode.control import (
    SEGMENT,
    V4_ERRORS,
    V6_ERRORS,
    Address,
    BgpStream,
    Binding,
    Control,
    Encrypted,
    FactLimits,
    FirstSeen,
    IcmpError,
    Neighbour,
)
from auditor.machine.packed import Array, Packed

PROTOCOLS = ("ARP", "ND", "BGP")  # that bind an address to a MAC
KINDS = (*V4_ERRORS.values(), *(kind for kind in V6_ERRORS.values() if kind not in V4_ERRORS.values()))


def _layout(**kinds: str) -> np.dtype[Any]:
    return np.dtype([(name, kind) for kind, names in kinds.items() for name in names.split()])


LAYOUTS: dict[str, np.dtype[Any]] = {
    "bindings": _layout(u8="high low mac vlans tunnel", i8="interface frame time", u1="by protocols"),
    "partners": _layout(u8="high low", i8="of"),
    "errors": _layout(
        u8="reporter_high reporter_low source_high source_low target_high target_low", i8="mtu frame time", u1="kind"
    ),
    "neighbours": _layout(u8="mac vlans", i8="interface frame"),
    "bgp": _layout(
        u8="source_high source_low target_high target_low", i8="source_port target_port frame time closed", u1="ended"
    ),
    "segments": _layout(i8="of sequence length time"),
    "segment_bytes": np.dtype(np.uint8),
    "speakers": _layout(u8="source target", i8="of"),
    "macsec": _layout(u8="source target", i8="frame time count"),
}


def _rows(name: str, rows: Iterable[tuple[int, ...]]) -> Array:
    return np.array(list(rows), LAYOUTS[name])


def _binding(item: tuple[Binding, FirstSeen]) -> tuple[int, ...]:
    key, seen = item
    where = key.mac, key.vlans, key.tunnel, key.interface
    by = PROTOCOLS.index(seen.by), sum(1 << PROTOCOLS.index(one) for one in seen.protocols)
    return (*key.address, *where, seen.frame, seen.time, *by)


def _direction(item: tuple[tuple[Address, int, Address, int], BgpStream]) -> tuple[int, ...]:
    (source, source_port, target, target_port), stream = item
    closed = stream.closed or 0, stream.closed is not None
    return (*source, *target, source_port, target_port, stream.frame, stream.time, *closed)


def parts(control: Control) -> tuple[dict[str, Any], dict[str, Array]]:
    """The values and arrays that say what is in ``control``."""
    texts = [[one.system, one.port] for one in control.neighbours]
    values = {"captures": control.captures, "left_out": dict(control.left_out), "neighbours": texts}
    streams = list(control.bgp.values())
    segments = [(of, *segment) for of, stream in enumerate(streams) for segment in stream.segments]
    return values, {
        "bindings": _rows("bindings", map(_binding, control.bindings.items())),
        "partners": _rows(
            "partners",
            ((*one, of) for of, seen in enumerate(control.bindings.values()) for one in sorted(seen.partners)),
        ),
        "errors": _rows(
            "errors",
            (
                (*one.reporter, *one.source, *one.target, one.mtu, one.frame, one.time, KINDS.index(one.kind))
                for one in control.errors
            ),
        ),
        "neighbours": _rows(
            "neighbours",
            ((one.mac, one.vlans, one.interface, frame) for one, frame in control.neighbours.items()),
        ),
        "bgp": _rows("bgp", map(_direction, control.bgp.items())),
        "segments": _rows("segments", ((of, sequence, len(data), time) for of, sequence, data, time in segments)),
        "segment_bytes": np.frombuffer(b"".join(data for _, _, data, _ in segments), np.uint8),
        "speakers": _rows("speakers", ((*pair, of) for of, one in enumerate(streams) for pair in sorted(one.macs))),
        "macsec": _rows("macsec", ((*pair, one.frame, one.time, one.count) for pair, one in control.macsec.items())),
    }


def whole(found: Packed, most: FactLimits | None = None) -> Control:
    """What ``parts`` was made of. Raises RefusedError for what it cannot have been made of.

    ``most``: how many facts of each kind are kept.
    """
    try:
        return _whole(found, most or FactLimits())
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise RefusedError("damaged: what it says of the network is not whole") from error


def _whole(found: Packed, most: FactLimits) -> Control:
    values, arrays = found.values, {name: array.tolist() for name, array in found.arrays.items() if array.dtype.names}
    control = Control(most, captures=[str(name) for name in values["captures"]])
    control.left_out.update({str(kind): int(count) for kind, count in values["left_out"].items()})
    for high, low, mac, vlans, tunnel, interface, frame, time, by, protocols in arrays["bindings"]:
        seen = FirstSeen(frame, time, PROTOCOLS[by])
        seen.protocols.update(name for n, name in enumerate(PROTOCOLS) if protocols & 1 << n)
        control.bindings[Binding((high, low), mac, vlans, interface, tunnel)] = seen
    bound = list(control.bindings.values())
    for high, low, of in arrays["partners"]:
        bound[of].partners.add((high, low))
    for row in arrays["errors"]:
        *ends, mtu, frame, time, kind = row
        reporter, source, target = ((ends[k], ends[k + 1]) for k in (0, 2, 4))
        control.errors.append(IcmpError(KINDS[kind], reporter, source, target, mtu, frame, time))
    for (mac, vlans, interface, frame), (system, port) in zip(arrays["neighbours"], values["neighbours"], strict=True):
        control.neighbours[Neighbour(mac, printable(system), printable(port), vlans, interface)] = frame
    control.macsec = {(one[0], one[1]): Encrypted(*one[2:]) for one in arrays["macsec"]}
    _add_bgp(control, arrays, found.arrays["segment_bytes"].tobytes())
    return control


def _add_bgp(control: Control, arrays: dict[str, list[Any]], data: bytes) -> None:
    """The directions of BGP sessions, with their segments, which are held to what may be kept of them."""
    for *ends, source_port, target_port, frame, time, closed, ended in arrays["bgp"]:
        source, target = (ends[0], ends[1]), (ends[2], ends[3])
        stream = BgpStream(source, target, frame=frame, time=time, closed=closed if ended else None)
        control.bgp[source, source_port, target, target_port] = stream
        control.bound_bgp(2 * SEGMENT)
    streams, at = list(control.bgp.values()), 0
    for of, sequence, length, time in arrays["segments"]:
        streams[of].segments.append((sequence, data[at : at + length], time))
        at += length
        control.bound_bgp(SEGMENT + length)
    for source_mac, target_mac, of in arrays["speakers"]:
        streams[of].macs.add((source_mac, target_mac))
