"""Time stamp authorities of openssl's, that nobody but a test believes."""

import subprocess
from pathlib import Path

AUTHORITY = """
[req]
distinguished_name = name
[name]
[ca]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign
[tsa]
basicConstraints = CA:false
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
[ts]
serial = serial
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
ess_cert_id_alg = sha256
"""


def openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Authority:
    """A time stamp authority of openssl's, with a certificate of a root of its own."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "cnf").write_text(AUTHORITY)
        (folder / "serial").write_text("01")
        new = ["-newkey", "rsa:2048"] if kind == "rsa" else ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        common = ["-nodes", "-config", folder / "cnf", *new]
        root = ["-x509", "-keyout", folder / "ca.key", "-out", self.root, "-subj", "/CN=Root", "-extensions", "ca"]
        openssl("req", *common, *root)
        openssl("req", *common, "-keyout", folder / "key", "-out", folder / "csr", "-subj", "/CN=Authority")
        by = ["-CA", self.root, "-CAkey", folder / "ca.key", "-CAcreateserial", "-extfile", folder / "cnf"]
        openssl("x509", "-req", "-in", folder / "csr", *by, "-extensions", "tsa", "-out", folder / "tsa.pem")

    @property
    def root(self) -> Path:
        return self.folder / "ca.pem"

    def answer(self, request: Path, response: Path, *more: object, digests: str = "sha256, sha384, sha512") -> None:
        settings = self.folder / "ts.cnf"
        text = AUTHORITY.replace("serial = serial", f"serial = {self.folder / 'serial'}")
        settings.write_text(text.replace("sha256, sha384, sha512", digests))
        signer = ["-signer", self.folder / "tsa.pem", "-inkey", self.folder / "key"]
        openssl(
            "ts",
            "-reply",
            "-config",
            settings,
            "-section",
            "ts",
            "-queryfile",
            request,
            *signer,
            *more,
            "-out",
            response,
        )
