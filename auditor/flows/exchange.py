"""What flows tell each other: names that the DNS answered, sessions that began. How it lies in memory.

One process that follows all flows looks these up as it goes. Where flows are followed in shares, what a flow tells or asks
may concern flows of another share: it is noted, with its place in the order of packets, and decided when all shares are
followed (``reading/joined.py``).
"""

import numpy as np

# --- answers of the DNS seen in the capture: (client, address) -> name
ANSWER = np.dtype(
    [
        ("client_high", "u8"),
        ("client_low", "u8"),
        ("high", "u8"),
        ("low", "u8"),
        ("name", "i4"),
        ("before", "i4"),  # the name that the address had before this one; 0 for none
        ("time", "i8"),  # of the last answer
        ("since", "i8"),  # of the first answer with this name
        ("until", "i8"),  # how long it names flows: see ``dns.KEPT``
        ("before_since", "i8"),
        ("before_until", "i8"),
    ]
)
ANSWERS = 1 << 16
SESSIONS = 1 << 16

# --- an answer of the DNS, or a new flow that asks for the names of its ends
NAMING = np.dtype(
    [
        ("order", "i8"),  # number of the packet
        ("time", "i8"),
        ("life", "i8"),  # nanoseconds that the answer says it lives
        ("asks", "i8"),  # number of the question, from 1; 0 for an answer
        ("name", "i4"),
        ("client_high", "u8"),  # of a question: one end, and the other one
        ("client_low", "u8"),
        ("high", "u8"),
        ("low", "u8"),
    ]
)
# --- a handshake at the server's ChangeCipherSpec, whose sessions begin or are resumed: fields of HANDSHAKE
SESSION_FIELDS = (
    "session_high",
    "session_low",
    "ticket_high",
    "ticket_low",
    "server_session_high",
    "server_session_low",
    "new_ticket_high",
    "new_ticket_low",
)
RESUMING = np.dtype(
    [
        ("order", "i8"),  # number of the packet; of what came in datagrams, that of its flow
        ("asks", "i8"),  # number of the question, from 1
        ("seen", "u4"),
        *((name, "u8") for name in SESSION_FIELDS),
    ]
)
FIRST_EXCHANGED = 1 << 10  # rows of each that there is room for at first
MOST_NAMINGS, MOST_RESUMINGS = 64, 4  # that one packet may add
