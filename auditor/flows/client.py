"""Who is the client where nothing that was said tells."""

from auditor.decode.packet import TCP
from auditor.flows.state import FlowRow
from auditor.machine.kernel import inlined

FIRST_USER_PORT = 1024  # below are the system ports (RFC 6335 6)
FIRST_OF_CLIENTS = 32_768  # of the ports that Linux takes for clients by itself; other systems begin at 49,152


@inlined
def likely_client(flow: FlowRow) -> int:
    """The client's side of a flow in which nothing tells it: who sent first, unless that was from a server's port.

    A connection that was there before the capture shows a packet of either side first. System ports are servers' (RFC 6335 6),
    and so is, in TCP, a port below those that systems take for clients by themselves.
    """
    system = flow.a_port < FIRST_USER_PORT <= flow.b_port
    registered = flow.ip_protocol == TCP and flow.a_port < FIRST_OF_CLIENTS <= flow.b_port
    return 1 if (system or registered) and flow.a_port > 0 else 0
