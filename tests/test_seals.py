"""Results are signed and time-stamped, by keys and authorities as people have them, and whoever changes them is found out."""

import json
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

import auditor
from auditor.report.custody import CUSTODY, SIGNATURE, STAMP, STATEMENT
from auditor.report.seals import keys, sshsig
from auditor.report.seals.sealed import NAMESPACE
from tests import commands
from tests.conftest import HANG
from tests.test_outputs import made, work
from tests.time_stamps import Authority, openssl

__all__ = ["made", "work"]
KINDS: dict[str, Callable[[], sshsig.PrivateKey]] = {
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
}
FORMS = {
    "PEM": (PrivateFormat.PKCS8, Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    "OpenSSH": (PrivateFormat.OpenSSH, Encoding.OpenSSH, PublicFormat.OpenSSH),
}


def audit(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return commands.run(*arguments)


def ssh_keygen(*arguments: object, given: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not installed")
    command = ["ssh-keygen", *map(str, arguments)]
    return subprocess.run(command, input=given, capture_output=True, check=False, timeout=HANG)


def write_pair(folder: Path, key: sshsig.PrivateKey, form: str = "PEM", name: str = "key") -> tuple[Path, Path]:
    """A private key and its public one as files."""
    private, public = folder / name, folder / f"{name}.pub"
    secret, encoding, shape = FORMS[form]
    private.write_bytes(key.private_bytes(Encoding.PEM, secret, NoEncryption()))
    private.chmod(0o600)
    public.write_bytes(key.public_key().public_bytes(encoding, shape))
    return private, public


@pytest.fixture
def pair(work: Path) -> tuple[Path, Path]:
    return write_pair(work, ed25519.Ed25519PrivateKey.generate(), "OpenSSH")


def seals(**proofs: Path) -> dict[str, tuple[bool | None, str]]:
    """What is said of the seals of the results."""
    verified = auditor.Audit("results").verify(**proofs)
    return {name: (same, why) for name, same, why in verified if name.startswith(STATEMENT) or name.endswith(".tsr")}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_key_in_each_form(work: Path, kind: str, form: str) -> None:
    """Whoever signs with a key of OpenSSH is known by its public key, in both forms, and to OpenSSH itself."""
    key = KINDS[kind]()
    private, public = write_pair(work, key, form)
    assert auditor.Audit("results").sign(private) == [STATEMENT, SIGNATURE]
    blob = sshsig.blob_of(key.public_key())
    same, why = seals(key=public)[SIGNATURE]
    assert (same, why) == (True, f"signed by the key {sshsig.fingerprint(blob)}")
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    (work / "allowed").write_text(
        f'# who may\nann@example.org,bob@example.org namespaces="file,traffic-*" {line} at home\n'
    )
    assert "signed by ann@example.org,bob@example.org" in seals(key=work / "allowed")[SIGNATURE][1]
    stated, signature = (work / "results" / STATEMENT).read_bytes(), work / "results" / SIGNATURE
    checked = ssh_keygen(
        *("-Y", "verify", "-f", "allowed", "-I", "ann@example.org", "-n", NAMESPACE, "-s", signature), given=stated
    )
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("kind", [["ed25519"], ["rsa", "-b", "2048"], ["ecdsa", "-b", "384"]])
def test_signatures_that_ssh_keygen_makes(work: Path, kind: list[str]) -> None:
    """The statement alone is written for an agent or a token to sign: what ssh-keygen makes of it counts, in its place."""
    assert ssh_keygen("-q", "-t", *kind, "-N", "", "-f", "made").returncode == 0
    assert audit("sign", "results").returncode == 0
    done = ssh_keygen("-q", "-Y", "sign", "-n", NAMESPACE, "-f", "made", f"results/{STATEMENT}")
    assert done.returncode == 0, done.stderr
    assert seals(key=work / "made.pub")[SIGNATURE][0] is True
    done = ssh_keygen("-q", "-Y", "sign", "-n", "file", "-f", "made", "-O", "hashalg=sha256", "a.pcapng")
    shutil.copyfile("a.pcapng.sig", work / "results" / SIGNATURE)
    assert "its namespace is 'file'" in seals(key=work / "made.pub")[SIGNATURE][1]


def test_sealed_results_say_what_was_changed(work: Path, pair: tuple[Path, Path]) -> None:
    """Who changes a table and everything that lists it is betrayed by the signature, as is who takes that away."""
    private, public = pair
    assert audit("sign", "results", "--key", private).returncode == 0
    assert audit("verify", "results", "--key", public).returncode == 0
    flows, listed = work / "results" / "flows.parquet", work / "results" / CUSTODY
    flows.write_bytes(flows.read_bytes() + b"x")
    told = json.loads(listed.read_text())
    told["sha256"]["flows.parquet"] = auditor.report.files.sha256(flows)
    listed.write_text(json.dumps(told))
    done = audit("verify", "results", "--key", public)
    assert done.returncode == 1
    assert seals()[STATEMENT][0] is seals()[SIGNATURE][0] is False
    assert "signed.json.sig: is no signature of these results" in audit("export", "results").stderr
    (work / "results" / STATEMENT).unlink()
    (work / "results" / SIGNATURE).unlink()
    assert "nobody has signed these results" in seals(key=public)[SIGNATURE][1]
    assert audit("verify", "results", "--key", public).returncode == 1


def test_other_keys(work: Path, pair: tuple[Path, Path]) -> None:
    """A signature of somebody else is named by the key's fingerprint, and is none of those that count."""
    auditor.Audit("results").sign(pair[0])
    _, other = write_pair(work, ed25519.Ed25519PrivateKey.generate(), name="other")
    assert "which is none of those given" in seals(key=other)[SIGNATURE][1]
    assert audit("verify", "results", "--key", other).returncode == 1
    same, why = seals()[SIGNATURE]
    assert same is True
    assert "whose it is, --key says" in why


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ('namespaces="file,git"', "may sign file, git only"),
        ('valid-before="20200101"', "counted until"),
        ('valid-before="20200101000000Z",namespaces="*"', "counted until 2020-01-01 00:00:00"),
        ('valid-after="21000101Z"', "counts from 2100-01-01"),
        ('namespaces="traffic-auditor",valid-after="202001011200"', None),
        ('namespaces="!traffic-auditor,*"', "may sign !traffic-auditor, * only"),
        ('namespaces="!git,traffic-*"', None),
        ('namespaces="[t]raffic-auditor"', "may sign [t]raffic-auditor only"),
    ],
)
def test_what_a_key_is_allowed(work: Path, pair: tuple[Path, Path], options: str, words: str | None) -> None:
    """A list of allowed signers limits what a key may sign, and when."""
    auditor.Audit("results").sign(pair[0])
    (work / "allowed").write_text(f"ann {options} {pair[1].read_text()}\n")
    same, why = seals(key=work / "allowed")[SIGNATURE]
    assert same is (words is None)
    assert (words or "signed by ann") in why


WRONG = [
    "", "\n# nothing\n", "ssh-ed25519", "ssh-ed25519 !!!", "what is this", "ann cert-authority ssh-ed25519 AAAA",
    'ann valid-after="soon" ssh-ed25519 AAAA', "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    "-----BEGIN CERTIFICATE-----\n", 'ann "', 'ann namespaces=" ssh-ed25519 AAAA', "\0" * 100,
]  # fmt: skip


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_public_key(work: Path, pair: tuple[Path, Path], text: str) -> None:
    """Whatever is given as a key and is none, it is a sentence and 2; a private key is not what signatures are verified with."""
    auditor.Audit("results").sign(pair[0])
    (work / "wrong").write_text(text)
    with pytest.raises(auditor.AuditError, match="wrong: "):
        seals(key=work / "wrong")
    with pytest.raises(auditor.AuditError, match="is a private key"):
        seals(key=pair[0])
    with pytest.raises(auditor.AuditError, match="No such file"):
        seals(key=work / "nowhere")


def test_what_is_no_private_key(work: Path, pair: tuple[Path, Path]) -> None:
    """Keys that nobody verifies, passphrases that are not known and files that are no keys are refused; nothing is written."""
    key = x25519.X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (work / "exchange").write_bytes(key)
    short = rsa.generate_private_key(65537, 1024).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (work / "short").write_bytes(short)
    assert ssh_keygen("-q", "-t", "ed25519", "-N", "secret", "-f", "locked").returncode == 0
    subprocess.run(
        ["openssl", "genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:secret", "-out", "locked.pem"],
        check=True,
        capture_output=True,
    )
    for name in ("exchange", "short", "locked", "locked.pem", "key.pub", "a.pcapng", "nowhere"):
        done = audit("sign", "results", "--key", name)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), name
        assert name in done.stderr
        assert "internal" not in done.stderr
    assert not (work / "results" / SIGNATURE).exists()
    auditor.Audit("results").sign(work / "locked.pem", lambda: "secret")
    assert seals()[SIGNATURE][0] is True
    assert pair[1].exists()


def test_signatures_are_not_replaced_unasked(work: Path, pair: tuple[Path, Path]) -> None:
    """A second signature needs force; results that were changed are not signed at all."""
    result = auditor.Audit("results")
    result.sign(pair[0])
    with pytest.raises(auditor.AuditError, match="exists already; --force signs again"):
        result.sign(pair[0])
    result.sign(pair[0], force=True)
    (work / "results" / "more").write_text("")
    with pytest.raises(auditor.AuditError, match="cannot be signed: more is not listed"):
        result.sign(pair[0], force=True)


def test_what_may_follow_a_signature(work: Path, pair: tuple[Path, Path]) -> None:
    """A page beside sealed results, and a copy of them, leave the signature good; a new audit does not replace them unasked."""
    result = auditor.Audit("results")
    result.sign(pair[0])
    result.export("html", work / "results" / "report.html")
    result.save("copy")
    for folder in ("results", "copy"):
        verified = auditor.Audit(folder).verify(key=pair[1])
        assert {same for _, same, _ in verified} == {True}
        assert SIGNATURE in {name for name, _, _ in verified}
    assert "later than the audit" in {name: why for name, _, why in result.verify()}["report.html"]
    with pytest.raises(auditor.AuditError, match="holds results that are sealed"):
        auditor.audit("a.pcapng", out="results")
    assert {same for _, same, _ in auditor.audit("a.pcapng", out="results", force=True, fresh=True).verify()} == {True}
    assert not (work / "results" / SIGNATURE).exists()


def test_signatures_that_are_damaged(work: Path, pair: tuple[Path, Path]) -> None:
    """Whatever of a signature is missing or another, it is none."""
    auditor.Audit("results").sign(pair[0])
    signature = work / "results" / SIGNATURE
    whole = signature.read_bytes()
    for at in range(0, len(whole) - 2, 7):
        other = b"B" if whole[at : at + 1] != b"B" else b"C"
        for damaged in (whole[:at], whole[at + 1 :], whole[:at] + other + whole[at + 1 :]):
            signature.write_bytes(damaged)
            assert seals()[SIGNATURE][0] is False
    signature.write_bytes(whole + whole)
    assert seals()[SIGNATURE][0] is False
    signature.write_bytes(whole)
    assert seals()[SIGNATURE][0] is True


def test_times_of_allowed_signers() -> None:
    """Times are this machine's unless a Z follows."""
    signer = keys._signer('ann valid-after="20260102030405Z",valid-before="20260102" ssh-ed25519 AAAA')
    assert signer.after == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert signer.before == datetime(2026, 1, 2).astimezone(UTC)
    assert signer.refusal(NAMESPACE, datetime(2026, 1, 1, tzinfo=UTC) - timedelta(days=9)) is not None


@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_time_stamps(work: Path, pair: tuple[Path, Path], kind: str) -> None:
    """What an authority answers to a request proves when results were there, to those who believe that authority."""
    authority, other = Authority(work / "tsa", kind), Authority(work / "other", kind)
    assert audit("sign", "results", "--key", pair[0], "--timestamp-request", "request.tsq").returncode == 0
    response = work / "answer.tsr"
    authority.answer(work / "request.tsq", response, "-chain", authority.root)
    asked = ("verify", "results", "--key", pair[1], "--timestamp-response", "answer.tsr")
    assert audit(*asked, "--timestamp-ca", authority.root).returncode == 0
    assert audit(*asked, "--timestamp-ca", other.root).returncode == 1
    done = audit(*asked)
    assert done.returncode == 2
    assert "--timestamp-ca says which authority is believed" in done.stderr
    assert audit("sign", "results", "--timestamp-response", "answer.tsr").returncode == 0
    assert seals(timestamp_ca=authority.root)[STAMP][0] is True
    assert seals(timestamp_ca=other.root)[STAMP][0] is False
    assert "--timestamp-ca says whose word that is" in seals()[STAMP][1]


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_time_stamps_of_the_list_itself(work: Path, digest: str) -> None:
    """A stamp that somebody else asked for, of the list of digests and without certificates in it, counts as well.

    So does one that was granted with modifications (RFC 3161, 2.4.2), and one with any other status does not.
    """
    authority = Authority(work / "tsa", "rsa")
    openssl("ts", "-query", "-data", f"results/{CUSTODY}", f"-{digest}", "-no_nonce", "-out", "request")
    authority.answer(work / "request", work / "answer.tsr")
    (work / "both.pem").write_bytes(authority.root.read_bytes() + (work / "tsa" / "tsa.pem").read_bytes())
    granted = (work / "answer.tsr").read_bytes()
    for status, counts in ((0, True), (1, True), (2, False), (4, False)):
        (work / "answer.tsr").write_bytes(granted.replace(b"\2\1\0", bytes([2, 1, status]), 1))
        said = seals(timestamp_response=work / "answer.tsr", timestamp_ca=work / "both.pem")[str(work / "answer.tsr")]
        assert (said[0], said[1].startswith(CUSTODY)) == (counts, counts)


def test_time_stamps_of_something_else(work: Path) -> None:
    """A stamp of another file, a refusal, and what is no response prove nothing, each in a sentence."""
    authority = Authority(work / "tsa", "rsa")
    openssl("ts", "-query", "-data", "a.pcapng", "-sha256", "-cert", "-out", "request")
    authority.answer(work / "request", work / "answer.tsr", "-chain", authority.root)
    given = ("--timestamp-response", "answer.tsr")
    assert audit("verify", "results", *given, "--timestamp-ca", authority.root).returncode == 1
    assert "of something else" in audit("sign", "results", *given).stderr
    openssl("ts", "-query", "-data", f"results/{CUSTODY}", "-sha1", "-out", "request")
    authority.answer(work / "request", work / "answer.tsr")
    assert "the authority refused it" in audit("verify", "results", *given).stderr
    for wrong in (b"", b"\x30\x03\x02\x01\x00", Path("a.pcapng").read_bytes()):
        (work / "answer.tsr").write_bytes(wrong)
        done = audit("verify", "results", *given)
        assert done.returncode == 2
        assert "is no response of a time stamp authority" in done.stderr
    with pytest.raises(auditor.AuditError, match="No such file"):
        seals(timestamp_response=work / "nowhere")
    assert "where nothing else may be" in audit("sign", "results", "--timestamp-request", "results/request").stderr


def test_time_stamps_of_other_digests(work: Path) -> None:
    """A stamp of a digest that proves nothing any more is said to be one, and not to be of something else."""
    authority = Authority(work / "tsa", "rsa")
    openssl("ts", "-query", "-data", f"results/{CUSTODY}", "-sha1", "-out", "request")
    authority.answer(work / "request", work / "answer.tsr", digests="sha1")
    for command in ("sign", "verify"):
        done = audit(command, "results", "--timestamp-response", "answer.tsr")
        assert done.returncode == 2
        assert "of a digest that is not accepted (1.3.14.3.2.26)" in done.stderr


def test_a_stamp_that_somebody_put_there(work: Path) -> None:
    """What is no time stamp, beside results, is said to be none, and hides nothing else that was changed."""
    (work / "results" / STAMP).write_bytes(b"\x30\x03\x02\x01\x00")
    with (work / "results" / "flows.parquet").open("ab") as file:
        file.write(b"x")
    changed = {name: why for name, same, why in auditor.Audit("results").verify() if same is False}
    assert set(changed) == {"flows.parquet", STAMP}
    assert "is no response" in changed[STAMP]
    said: list[str] = []
    auditor.Audit.load("results", say=said.append)
    assert len(said) == 2
