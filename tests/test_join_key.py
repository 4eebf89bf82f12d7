"""What stands for an access key says nothing of it, and joins audits only for those who have a secret for that."""

import hashlib
import hmac
import os
from pathlib import Path

import pytest

import auditor
from auditor.requests import signing
from tests import wire

KEY_IDS = [f"AKIA{number:016d}" for number in range(3)]


def request(key_id: str) -> bytes:
    scope = f"{key_id}/20261127/us-east-1/mobiletargeting/aws4_request"
    signature = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature={'0' * 64}"
    lines = ["GET /v1/apps HTTP/1.1", "Host: pinpoint.us-east-1.amazonaws.com", f"Authorization: {signature}"]
    return "\r\n".join([*lines, "X-Amz-Date: 20261127T000000Z", "", ""]).encode()


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """Requests in clear with three access keys, one of them twice."""
    packets = []
    for number, key_id in enumerate([*KEY_IDS, KEY_IDS[0]]):
        packets += wire.Talk(sport=40_000 + number, dport=80).open().play([("c", request(key_id))]).close().packets
    path = tmp_path / "a.pcap"
    path.write_bytes(wire.pcap(packets))
    return path


def hashes(result: auditor.Audit) -> list[str]:
    return list(result.requests.sort_values("time")["credential_hash"])


def test_nothing_joins_audits_by_itself(capture: Path, tmp_path: Path) -> None:
    """Equal keys are equal within an audit; another one of the same capture has other hashes, and nothing says how they came."""
    results = [auditor.audit(capture, http=True, out=tmp_path / f"out{number}") for number in range(2)]
    first, second = map(hashes, results)
    assert first[0] == first[3]
    assert len({*first, *second}) == 6
    whole = b"".join(path.read_bytes() for path in (tmp_path / "out0").iterdir())
    salts = [hashlib.sha256(text).digest() for text in (b"", capture.read_bytes())]
    salts += [whole[at : at + 32] for at in range(len(whole) - 32)]
    for salt in salts:
        assert hmac.new(salt, KEY_IDS[0].encode(), hashlib.sha256).hexdigest()[:12] not in first


def test_a_secret_joins_audits(capture: Path, tmp_path: Path) -> None:
    """With one secret file a key is the same in all audits, with another file another; the secret is in no result."""
    secrets = [tmp_path / name for name in ("one", "two")]
    for number, path in enumerate(secrets):
        path.write_bytes(bytes([number + 1]) * 40)
    one, same, other = (
        auditor.audit(capture, http=True, join_key=path, out=tmp_path / f"out{number}")
        for number, path in enumerate([secrets[0], secrets[0], secrets[1]])
    )
    assert hashes(one) == hashes(same)
    assert not {*hashes(one)} & {*hashes(other)}
    for path in (tmp_path / "out0").iterdir():
        assert secrets[0].read_bytes() not in path.read_bytes()


@pytest.mark.parametrize("content", [b"", b"short", b"x" * (signing.SALT_BYTES - 1), None])
def test_secrets_that_are_none(capture: Path, tmp_path: Path, content: bytes | None) -> None:
    """A file that is missing, or too short to be a secret, is refused in a sentence that says how to make one."""
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    with pytest.raises(auditor.InputError, match="No such file" if content is None else "too few for a secret"):
        auditor.audit(capture, join_key=tmp_path / "secret")


def test_what_is_no_file_is_no_secret(tmp_path: Path) -> None:
    """A pipe that nobody writes to is not waited for, and a device that anybody can read holds no secret."""
    os.mkfifo(tmp_path / "pipe")
    for place, kind in ((tmp_path / "pipe", "pipe"), (Path("/dev/zero"), "device")):
        with pytest.raises(auditor.InputError, match=rf"{place.name}: .*{kind}.*, not a file"):
            signing.joining_salt(place)


def test_a_secret_is_not_written_over(capture: Path, tmp_path: Path) -> None:
    """The secret is one of the files that are read."""
    folder = tmp_path / "out"
    auditor.audit(capture, out=folder)
    (folder / "flows.parquet").unlink()
    (folder / "flows.parquet").write_bytes(b"x" * 40)
    with pytest.raises(auditor.AuditError, match="is one of the files that are read"):
        auditor.audit(capture, join_key=folder / "flows.parquet", out=folder, force=True)
