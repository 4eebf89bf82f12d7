"""The child process that lets tshark dissect, through pyshark. What is secret stays in it.

Its orders are two lines of JSON on standard input: how tshark is to be started, and once the packets are there, whose they
are. Standard input stays open: when it is closed, the parent is gone, and this process and tshark end too. Results are
lines of JSON on standard output.
"""

import json
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from auditor.machine import landlock
from auditor.machine.confined import confine
from auditor.requests import tshark

PIECE = 1 << 18  # bytes of packets given to tshark at once
MEMORY = 6 << 30  # bytes of address space, for this process and for tshark
# What shows that keys open a session: the Finished of TLS 1.2, and application data of TLS 1.3 near the beginning.
OPENED = (
    "(tls.handshake.type == 20 && !tls.record.opaque_type)"
    " || (tls.record.opaque_type && tls.record.content_type == 23 && tcp.seq < 16384)"
)
# EncryptedExtensions, Certificate (also compressed), CertificateRequest and CertificateVerify of TLS 1.3, where the handshake's secrets are there.
FLIGHT = "tls.handshake.type == 8 || (tls.handshake.type in {11,13,15,25} && (tls.record.opaque_type || quic))"
# The same of a client that renegotiates, in older versions, among what it sends in clear.
FLIGHT += " || (tls.handshake.type in {11,15} && tcp.dstport == 443)"
HEADS = (
    'http.request || http.response || http2.header.name || urlencoded-form.key || smtp.req.command == "AUTH"'
    f" || quic.stream_data || {OPENED} || {FLIGHT}"
)


def limit_memory(most: int) -> None:
    """Let this process, and what it starts from now on, have no more memory of its own than so many bytes."""
    resource.setrlimit(resource.RLIMIT_DATA, (most, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def preferences(order: dict[str, Any]) -> list[str]:
    """Options of tshark: nothing of the user's own settings may change what is read."""
    settings = {
        "tcp.reassemble_out_of_order": "TRUE",
        "tcp.analyze_sequence_numbers": "TRUE",
        "tls.keylog_file": order["keys"],
    }
    options = [part for name, value in settings.items() for part in ("-o", f"{name}:{value}")]
    for path in order["private_keys"]:
        options += ["-o", f'uat:rsa_keys:"{path}",""']
    return options


def _listen(orders: "SimpleQueue[dict[str, Any]]") -> None:
    """Hand on what the parent orders; at the end of standard input, end everything that was started here."""
    for line in sys.stdin.buffer:
        orders.put(json.loads(line))
    os.killpg(0, signal.SIGKILL)


def _give(capture: int | str, pipe: int, say: Callable[[dict[str, Any]], None]) -> None:
    """Write the packets, which are all there by now, to tshark's standard input; say how far it is."""
    given = 0
    held = (
        os.dup(capture) if isinstance(capture, int) else os.open(capture, os.O_RDONLY)
    )  # pyshark looks whether it is there
    with suppress(BrokenPipeError), os.fdopen(pipe, "wb") as out, os.fdopen(held, "rb") as packets:
        packets.seek(0)
        while piece := packets.read(PIECE):
            out.write(piece)
            given += len(piece)
            say({"given": given})


def _dissect(orders: "SimpleQueue[dict[str, Any]]", say: Callable[[dict[str, Any]], None]) -> None:
    """Start tshark, and load pyshark beside it; dissect what comes then, and say what is found."""
    how = orders.get()
    limit_memory(how["memory"])
    keys, capture = how["keys"], how["capture"]
    files = [keys] if isinstance(keys, int) else []
    how["keys"] = f"{tshark.OPEN}/{keys}" if files else keys
    # Packets come by a pipe, which needs not be full when tshark opens it.
    packets, pipe = os.pipe()
    options = ["-r", "-", "-Y", HEADS, *how["options"], *preferences(how)]
    process = tshark.start(how["tshark"], *options, stdin=packets, files=files, is_confined=True)
    os.close(packets)
    limit_memory(how["own_memory"])
    from auditor.requests.dissection import Dissection
    from auditor.requests.dissector import Dissector

    order = orders.get()
    dissector = Dissector(order)
    threading.Thread(target=_give, args=(capture, pipe, say), daemon=True).start()
    path = f"{tshark.OPEN}/{capture}" if isinstance(capture, int) else capture
    late = threading.Timer(order["seconds"], process.kill)  # what was found until then counts
    late.daemon = True
    late.start()
    try:
        with Dissection(path, how["tshark"], begun=process) as dissection:
            for packet in dissection:
                for request in dissector.take(packet):
                    say(request.out())
    except Exception as error:  # noqa: BLE001 - reported by its type; its text may hold what was dissected
        say({"failed": "time" if late.finished.is_set() else type(error).__name__})
    late.cancel()
    for request in dissector.rest():
        say(request.out())
    for (flow, is_client), entry in dissector.revealed.items():
        say({"revealed": flow, "is_client": is_client, **entry})
    told = {"notes": dissector.notes, "partial": list(dissector.partial.items())}
    say({"done": True, "opened": sorted(dissector.opened), **told})


def main(_: Sequence[str] = ()) -> None:
    """Take the orders, dissect, write the results."""
    confine(MEMORY)
    landlock.restrict([Path(os.devnull)])  # neither here nor in tshark is there anything to be written
    orders: SimpleQueue[dict[str, Any]] = SimpleQueue()
    threading.Thread(target=_listen, args=(orders,), daemon=True).start()

    saying = threading.Lock()

    def say(row: dict[str, Any]) -> None:
        with saying:
            sys.stdout.write(json.dumps(row) + "\n")
            if "given" in row:  # for whoever waits
                sys.stdout.flush()

    try:
        _dissect(orders, say)
    except Exception as error:  # noqa: BLE001 - reported by its type; its text may hold what was dissected
        say({"failed": type(error).__name__})
    sys.stdout.flush()
    os._exit(0)
