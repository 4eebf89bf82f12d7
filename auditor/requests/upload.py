"""Forms that upload a file to S3: their fields, of which some sign what the form may do.

Sources: RFC 7578 (multipart/form-data), RFC 2046 5.1 (boundaries); Amazon S3 API Reference, POST Object: the fields come
before the file, and what is behind it does not count.
"""

import re
from email.message import Message

from auditor.aws.names import endpoint, host_of

# The fields that sign a form, names in lower case: of Version 4, and of Version 2 behind them.
SIGNING = {"policy", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature", "x-amz-security-token"}
SIGNING |= {"awsaccesskeyid", "signature"}
FILE = "file"
MOST_BYTES = 1 << 16  # of a form that are looked at: a policy has 20 KB at most


def boundary(content_type: str) -> bytes | None:
    """What stands between the parts of a form; None where it is none."""
    message = Message()
    message["content-type"] = content_type.encode("ascii", "replace").decode()  # of others it makes encoded words
    found = message.get_boundary() if message.get_content_type() == "multipart/form-data" else None
    return found.encode("utf-8", "replace") if found else None


def is_upload(method: str, host: str | None) -> bool:
    """Whether a request may be a form that uploads to S3."""
    where = endpoint(host_of(host)) if method == "POST" else None
    return where is not None and where.service is not None and where.service.startswith("s3")


def fields(content_type: str, body: bytes) -> dict[str, str]:
    """The fields that sign a form, by their names in lower case."""
    between = boundary(content_type)
    found: dict[str, str] = {}
    if between is None:
        return found
    for part in (b"\r\n" + body[:MOST_BYTES]).split(b"\r\n--" + between)[1:]:
        head, separator, value = part.partition(b"\r\n\r\n")
        name = re.search(rb'(?i)content-disposition:[^\r\n]*;\s*name="([^"\r\n]{1,128})"', head)
        if not separator or name is None:
            continue
        lower = name[1].decode("ascii", "replace").lower()
        if lower == FILE:
            break
        if lower in SIGNING:
            found.setdefault(lower, value.decode("utf-8", "replace").strip())
    return found
