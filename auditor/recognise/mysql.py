"""How MySQL and MariaDB begin: a server's greeting, and a client's request for TLS."""

from auditor.decode.bytes import Bytes, be24
from auditor.machine.kernel import part

SHORTEST_GREETING = 12  # bytes by which a greeting is told
SSL_FLAG = 0x08  # of the second byte of a client's capabilities


@part
def mysql_ssl_request(data: Bytes, size: int) -> int:
    """Length of MySQL's SSLRequest at the start of a stream's bytes, 0 if there is none (of 4.1 and later, or older).

    It is a log-in that ends before the user's name, with the flag CLIENT_SSL. The ClientHello follows without an answer.
    """
    if size < 9 or be24(data, 1) != 1 or data[5] & SSL_FLAG == 0:  # less than 256 bytes, sequence number 1
        return 0
    if data[0] == 5:
        return 9
    if data[0] != 32 or size < 36:
        return 0
    for at in range(13, 32):  # behind them may be MariaDB's own capabilities
        if data[at] != 0:
            return 0
    return 36


@part
def may_be_ssl_request(data: Bytes, size: int) -> bool:
    """Whether MySQL's SSLRequest may come to its end in the next segment."""
    if size >= 36 or (data[0] != 32 and data[0] != 5) or (data[0] == 5 and size >= 9):
        return False
    return (size < 4 or be24(data, 1) == 1) and (size < 6 or data[5] & SSL_FLAG != 0)


@part
def is_mysql(data: Bytes, size: int) -> bool:
    """A server's greeting (length, sequence number 0, protocol 10, its version as text), or a client's SSLRequest."""
    if size >= SHORTEST_GREETING and data[3] == 0 and data[4] == 10 and data[5] >= 48 and data[5] <= 57:
        return True
    return mysql_ssl_request(data, size) == 36


@part
def may_be_mysql(data: Bytes, size: int) -> bool:
    """Whether a stream so far may be the beginning of a greeting of MySQL, or of an SSLRequest to one that was not captured."""
    if size >= 4 and may_be_ssl_request(data, size):
        return True
    if size < 2 or size >= SHORTEST_GREETING or data[1] != 0 or (size >= 3 and data[2] != 0):
        return False
    return (size < 4 or data[3] == 0) and (size < 5 or data[4] == 10)
