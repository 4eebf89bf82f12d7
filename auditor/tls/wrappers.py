"""Numbers of the protocols that carry TLS or DTLS inside messages of their own, for kernels and for Python."""

# STUN and TURN
COOKIE = 0x2112A442  # RFC 8489 5
CHANNEL_BIND, SEND_INDICATION, DATA_INDICATION = 0x0009, 0x0016, 0x0017  # RFC 8656 17
CHANNEL_NUMBER, PEER, DATA_ATTRIBUTE = 0x000C, 0x0012, 0x0013  # RFC 8656 18
# RADIUS
EAP_MESSAGE = 79  # RFC 3579 3.1
# OpenVPN: opcodes, and the bytes that --tls-auth puts behind the session id (an HMAC of MD5, SHA-1, SHA-224, SHA-256,
# SHA-384 or SHA-512, packet id and time) and that --tls-crypt does (packet id, time, HMAC)
SOFT_RESET, CONTROL, DATA_1, CLIENT_RESET, SERVER_RESET, DATA_2, CLIENT_RESET_3, CONTROL_WITH_KEY = (
    3,
    4,
    6,
    7,
    8,
    9,
    10,
    11,
)
AUTHENTICATED = (0, 24, 28, 36, 40, 56, 72)
CRYPT = 40
FIRST_IDS = 4096  # packet ids of a connection that has begun not long ago
# TDS: types of messages ([MS-TDS] 2.2.3.1.1)
PRELOGIN_RESPONSE, LOGIN_7, PRELOGIN = 0x04, 0x10, 0x12
