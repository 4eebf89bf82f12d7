"""Requests inside TLS and in clear: what real clients send is read, judged, and nothing secret is kept of it."""

import base64
import contextlib
import datetime as dt
import gzip
import io
import json
import logging
import os
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import psutil
import pytest

import auditor
from auditor.capture.inputs import Spool
from auditor.machine import programs
from auditor.requests import opener
from tests import carriers, request_lab, wire
from tests.conftest import HANG

pytestmark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")

REGION = "us-east-1"
LONG, LONG_2, TEMPORARY = "AKIAQ2W3E4R5T6Y7U8I9", "AKIAZXCVBNMASDFGHJKL", "ASIAQ2W3E4R5T6Y7U8I9"
GOOD, LONG_SHARED, LONG_MANY = "ASIAGOODGOODGOODGOOD", "AKIASHAREDSHAREDSHAR", "AKIAMANYMANYMANYMANY"
SECRET = "SecretKeyOfTheTests0123456789abcdefghijk"
TOKEN = "SessionTokenOfTheTests" + "A1b2C3d4" * 40
BODY = "a-body-nobody-may-see"
PHONE = "+12065550142"
HIDDEN = [
    GOOD,
    LONG_SHARED,
    LONG_MANY,
    SECRET,
    TOKEN,
    BODY,
    PHONE,
    LONG,
    LONG_2,
    TEMPORARY,
    "hidden",
    "cookie-of-the-tests",
    "password-of-the-tests",
]
TOPOLOGY = """
[[site]]
name = "office"
on_premises = ["10.1.0.0/16"]
[[virtual_interface]]
name = "dxvif-1"
kind = "public"
vlan = 101
peer_mac = "02:00:00:00:00:02"
[[uplink]]
name = "isp"
vlan = 200
peer_mac = "02:00:00:00:00:02"
"""


class Clients:
    """The scenes: each client speaks once, from an address of its own, by which its flows are found."""

    def __init__(self, lab: request_lab.Lab) -> None:
        self.lab = lab
        self.addresses: dict[str, str] = {}

    def at(self, scene: str, vlan: int | None = None, address: str | None = None) -> None:
        self.addresses.setdefault(scene, address or f"10.1.2.{len(self.addresses) + 1}")
        self.lab.client, self.lab.vlan = address or self.addresses[scene], vlan

    def boto(self, service: str, key: str = TEMPORARY, token: str | None = TOKEN, **options: Any) -> Any:
        from botocore.config import Config

        config = Config(retries={"total_max_attempts": 1}, **options.pop("config", {}))
        session = boto3.session.Session(key, SECRET, token, region_name=options.pop("region", REGION))
        return session.client(service, verify=str(self.lab.authority), config=config, **options)

    def raw(self, method: str, host: str, path: str, headers: dict[str, str], newest: Any = None) -> None:
        """A request as it is given, over TLS of a version that is ``newest`` at most."""
        from http.client import HTTPSConnection

        context = ssl.create_default_context(cafile=str(self.lab.authority))
        context.keylog_filename = os.environ["SSLKEYLOGFILE"]
        if newest is not None:
            context.maximum_version = newest
        plain = socket.create_connection((request_lab.LOOPBACK, self.lab.tls))
        connection = HTTPSConnection(host)
        connection.sock = context.wrap_socket(plain, server_hostname=host)
        connection.request(method, path, b"", headers)
        connection.getresponse().read()
        connection.close()

    def signed(
        self, service: str, host: str, region: str = REGION, key: str = TEMPORARY, **headers: str
    ) -> dict[str, str]:
        """Headers of a signed request, by botocore's signer."""
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        request = AWSRequest("GET", f"https://{host}/v1/apps", headers={"Cookie": "id=cookie-of-the-tests", **headers})
        SigV4Auth(Credentials(key, SECRET, TOKEN if key == TEMPORARY else None), service, region).add_auth(request)
        return dict(request.headers.items())


def quietly(call: Callable[..., Any], **arguments: Any) -> None:
    """Call an operation; what moto does not know is answered with an error, which is an answer."""
    from botocore.exceptions import BotoCoreError, ClientError

    # KeyError: moto takes what Version 2 signs for another service.
    with contextlib.suppress(ClientError, BotoCoreError, KeyError):
        call(**arguments)


def speak(c: Clients) -> None:
    """All the scenes of boto3 and of hand-made requests."""
    host = "pinpoint.us-east-1.amazonaws.com"
    message = {"MessageConfiguration": {"SMSMessage": {"Body": BODY}}, "Addresses": {PHONE: {"ChannelType": "SMS"}}}
    c.at("good", vlan=101)
    own: Any = {"key": GOOD}
    pinpoint = c.boto("pinpoint", **own)
    quietly(pinpoint.get_apps)
    quietly(pinpoint.send_messages, ApplicationId="0123456789abcdef0123456789abcdef", MessageRequest=message)
    quietly(c.boto("pinpoint-sms-voice-v2", **own).send_text_message, DestinationPhoneNumber=PHONE, MessageBody=BODY)
    mail = {"Simple": {"Subject": {"Data": BODY}, "Body": {"Text": {"Data": BODY}}}}
    quietly(c.boto("sesv2", **own).send_email, FromEmailAddress="a@example.com", Content=mail)
    c.at("assumed", vlan=101)
    role = c.boto("sts", LONG, None).assume_role(
        RoleArn="arn:aws:iam::123456789012:role/sender", RoleSessionName="tests"
    )["Credentials"]
    HIDDEN.extend([role["AccessKeyId"], role["SecretAccessKey"], role["SessionToken"]])
    sts = boto3.client(
        "sts", REGION, aws_access_key_id=role["AccessKeyId"], aws_secret_access_key=role["SecretAccessKey"],
        aws_session_token=role["SessionToken"], verify=str(c.lab.authority),
    )  # fmt: skip
    quietly(sts.get_caller_identity)
    c.at("long_term")
    quietly(c.boto("pinpoint", LONG_2, None).get_apps)
    from botocore import UNSIGNED

    c.at("unsigned")
    quietly(c.boto("pinpoint", config={"signature_version": UNSIGNED}).get_apps)
    c.at("federated")
    quietly(
        c.boto("sts", config={"signature_version": UNSIGNED}).assume_role_with_web_identity,
        RoleArn="arn:aws:iam::123456789012:role/sender", RoleSessionName="tests", WebIdentityToken=BODY,
    )  # fmt: skip
    c.at("version_2")
    quietly(c.boto("sts", LONG, None, config={"signature_version": "v2"}).get_caller_identity)
    c.at("other_region")
    quietly(c.boto("pinpoint", endpoint_url="https://pinpoint.eu-west-1.amazonaws.com").get_apps)
    c.at("other_service")
    c.raw("GET", host, "/v1/apps", c.signed("pinpoint", host))
    c.at("host_not_signed")
    headers = c.signed("mobiletargeting", host)
    headers["Authorization"] = headers["Authorization"].replace("host;x-amz-date;", "").replace("host;", "")
    c.raw("GET", host, "/v1/apps", headers)
    c.at("skewed")
    headers = c.signed("mobiletargeting", host)
    headers["X-Amz-Date"] = (dt.datetime.now(dt.UTC) - dt.timedelta(hours=2)).strftime("%Y%m%dT%H%M%SZ")
    c.raw("GET", host, "/v1/apps", headers)
    c.at("no_token")
    quietly(c.boto("pinpoint", token=None).get_apps)
    c.at("token_too_many")
    quietly(c.boto("pinpoint", LONG_2, TOKEN).get_apps)
    c.at("broken")
    headers = c.signed("mobiletargeting", host)
    headers["Authorization"] = headers["Authorization"][:-20]
    c.raw("GET", host, "/v1/apps", headers)
    for scene, seconds in (("presigned", 900), ("presigned_for_a_week", 604_800)):
        c.at(scene)
        url = urlsplit(c.boto("sts").generate_presigned_url("get_caller_identity", ExpiresIn=seconds, HttpMethod="GET"))
        c.raw("GET", str(url.hostname), f"/?{url.query}", {})
    c.at("clear")
    quietly(c.boto("pinpoint", endpoint_url=f"http://{host}").get_apps)
    c.at("refused")
    for _ in range(6):
        quietly(c.boto("pinpoint", region="us-west-2").get_apps)
    c.at("tls_1_2")
    c.raw("GET", host, "/v1/apps", c.signed("mobiletargeting", host), ssl.TLSVersion.TLSv1_2)
    c.at("bearer")
    c.raw("GET", host, "/v1/apps", {"Authorization": f"Bearer {TOKEN}"})
    c.at("both_paths", vlan=101)
    quietly(c.boto("pinpoint", LONG_SHARED, None).get_apps)
    c.at("both_paths", vlan=200)
    quietly(c.boto("pinpoint", LONG_SHARED, None).get_apps)
    for number in range(12):
        c.at("many_clients", address=f"10.1.3.{number}")
        quietly(c.boto("pinpoint", LONG_MANY, None).get_apps)


def curl(c: Clients, relay: int) -> None:
    """curl over HTTP/2, with its own signer."""
    name = "pinpoint.us-east-1.amazonaws.com"
    subprocess.run(
        [
            "curl", "--silent", "--http2", "--cacert", str(c.lab.authority), "--connect-to",
            f"{name}:443:{request_lab.LOOPBACK}:{relay}", "--aws-sigv4", f"aws:amz:{REGION}:mobiletargeting",
            "--user", f"{LONG}:{SECRET}", "--data", BODY, f"https://{name}/v1/apps/0123abcd/messages",
        ],
        check=True, capture_output=True, timeout=HANG,
    )  # fmt: skip


def quic(lab: request_lab.Lab, relay: int, keylog: Path) -> None:
    """aioquic over HTTP/3."""
    import asyncio

    from aioquic.asyncio.client import connect
    from aioquic.asyncio.protocol import QuicConnectionProtocol
    from aioquic.h3.connection import H3Connection
    from aioquic.h3.events import HeadersReceived
    from aioquic.quic.configuration import QuicConfiguration

    class Client(QuicConnectionProtocol):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.http = H3Connection(self._quic)
            self.answered = asyncio.Event()

        def quic_event_received(self, event: Any) -> None:
            if any(isinstance(found, HeadersReceived) for found in self.http.handle_event(event)):
                self.answered.set()

    async def ask() -> None:
        configuration = QuicConfiguration(
            alpn_protocols=["h3"], server_name="sms-voice.us-east-1.amazonaws.com", verify_mode=ssl.CERT_NONE
        )
        with keylog.open("a") as log:
            configuration.secrets_log_file = log
            async with connect(request_lab.LOOPBACK, relay, configuration=configuration, create_protocol=Client) as raw:
                client: Any = raw
                scope = f"{LONG}/20261125/{REGION}/sms-voice/aws4_request"
                headers = [
                    (b":method", b"POST"), (b":scheme", b"https"), (b":path", b"/"),
                    (b":authority", b"sms-voice.us-east-1.amazonaws.com"),
                    (b"x-amz-target", b"PinpointSMSVoiceV2.SendTextMessage"), (b"x-amz-date", b"20261125T000000Z"),
                    (b"authorization", f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, "
                     f"Signature={'ab' * 32}".encode()),
                ]  # fmt: skip
                stream = client._quic.get_next_available_stream_id()
                client.http.send_headers(stream, headers)
                client.http.send_data(stream, BODY.encode(), end_stream=True)
                client.transmit()
                await asyncio.wait_for(client.answered.wait(), HANG)

    asyncio.run(ask())


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Clients, bytes, Path]]:
    """Everything the clients sent: the scenes, the capture, the key log."""
    folder = tmp_path_factory.mktemp("lab")
    keylog = folder / "keys.log"
    lab = request_lab.Lab(folder)
    clients = Clients(lab)
    for name in ("werkzeug", "botocore", "hypercorn.error"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSLKEYLOGFILE", str(keylog))
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        with lab.names():
            speak(clients)
        tcp, udp = lab.hypercorn()
        clients.at("http2")
        curl(clients, lab.relay_to(tcp))
        clients.at("http3")
        quic(lab, lab.relay_to(udp, is_udp=True), keylog)
    try:
        yield clients, lab.pcap(), keylog
    finally:
        lab.close()


@pytest.fixture(scope="module")
def told(scenes: tuple[Clients, bytes, Path], tmp_path_factory: pytest.TempPathFactory) -> auditor.Audit:
    """The audit of all scenes with the key log."""
    folder = tmp_path_factory.mktemp("told")
    (folder / "lab.pcap").write_bytes(scenes[1])
    (folder / "site.toml").write_text(TOPOLOGY)
    return auditor.audit(folder / "lab.pcap", keylog=[scenes[2]], topology=folder / "site.toml", out=folder / "out")


def of(told: auditor.Audit, clients: Clients, scene: str) -> Any:
    """The requests of a scene."""
    flows = told.flows[told.flows["client_ip"] == clients.addresses[scene]]
    return told.requests[told.requests["flow_id"].isin(flows["flow_id"])]


def test_every_request_is_there(told: auditor.Audit, scenes: tuple[Clients, bytes, Path]) -> None:
    """Each scene's requests are found, over HTTP/1.1, HTTP/2 and HTTP/3, and told by operation."""
    good = of(told, scenes[0], "good")
    assert good["api"].tolist() == [
        "pinpoint:GetApps", "pinpoint:SendMessages", "pinpoint-sms-voice-v2:SendTextMessage", "sesv2:SendEmail",
    ]  # fmt: skip
    assert good["path_template"].tolist()[1] == "/v1/apps/{application-id}/messages"
    assert good["service"].tolist() == ["pinpoint", "pinpoint", "sms-voice", "ses"]
    assert set(good["scope_service"]) == {"mobiletargeting", "sms-voice", "ses"}
    assert good["status"].notna().all()
    assert good["user_agent_sdk"].str.startswith("Boto3/").all()
    assumed = of(told, scenes[0], "assumed")
    assert assumed["api"].tolist() == ["sts:AssumeRole", "sts:GetCallerIdentity"]
    assert assumed["credential_kind"].tolist() == ["long_term", "temporary"]
    assert assumed["token_present"].tolist() == [False, True]
    assert assumed["credential_hash"].nunique() == 2
    two, three = wire.only(of(told, scenes[0], "http2")), wire.only(of(told, scenes[0], "http3"))
    assert (two["api"], two["method"], two["status"], two["signed"]) == ("pinpoint:SendMessages", "POST", 200, True)
    assert (two["scope_service"], two["credential_kind"]) == ("mobiletargeting", "long_term")
    assert two["user_agent_sdk"].startswith("curl/")
    assert three["api"] == "pinpoint-sms-voice-v2:SendTextMessage"
    assert (three["scope_service"], three["signed_headers"], three["status"]) == ("sms-voice", "host x-amz-date", 200)
    assert len(of(told, scenes[0], "refused")) == 6
    assert set(of(told, scenes[0], "refused")["error_code"]) == {"SignatureDoesNotMatch"}
    assert of(told, scenes[0], "refused")["aws_request_id"].notna().all()
    assert all(times.is_monotonic_increasing for _, times in told.requests.groupby("flow_id")["time"])
    frames = told.flows.set_index("flow_id").loc[told.requests["flow_id"]]
    assert (told.requests["time"].to_numpy() >= frames["started"].to_numpy()).all()


# scene -> (rule, verdict, words of the reason)
VERDICTS = {
    "good": [
        ("REQ101", "pass", "signed (1 request)"), ("REQ102", "pass", ""), ("REQ103", "pass", ""), ("REQ104", "pass", ""),
        ("REQ105", "pass", ""), ("REQ106", "pass", ""), ("REQ107", "pass", ""), ("REQ109", "pass", ""),
        ("REQ110", "pass", ""), ("REQ111", "pass", ""), ("REQ112", "pass", ""),
    ],
    "long_term": [("REQ101", "pass", ""), ("REQ107", "warn", "long-term")],
    "unsigned": [("REQ101", "fail", "not signed"), ("REQ102", "not_applicable", "")],
    "federated": [("REQ101", "not_applicable", "")],
    "version_2": [("REQ101", "pass", ""), ("REQ102", "fail", "Version 2")],
    "other_region": [("REQ104", "fail", "signed for us-east-1, the endpoint is in eu-west-1")],
    "other_service": [("REQ104", "fail", "signed for pinpoint, the endpoint is of mobiletargeting")],
    "host_not_signed": [("REQ103", "fail", "host")],
    "skewed": [("REQ105", "warn", "behind the capture's clock")],
    "no_token": [("REQ106", "fail", "without its session token")],
    "token_too_many": [("REQ106", "fail", "with a session token")],
    "broken": [("REQ101", "fail", "no whole signature")],
    "presigned": [("REQ101", "pass", ""), ("REQ108", "pass", "")],
    "presigned_for_a_week": [("REQ108", "warn", "604800 s")],
    "clear": [("REQ109", "fail", "credentials in clear"), ("NET101", "fail", "")],
    "refused": [("REQ110", "warn", "SignatureDoesNotMatch: 6 refusals")],
    "tls_1_2": [("REQ101", "pass", ""), ("TLS101", "pass", "TLS 1.2")],
    "bearer": [("REQ101", "fail", "a bearer token, which pinpoint does not take"), ("REQ107", "not_applicable", "")],
    "both_paths": [("REQ112", "warn", "over direct-connect and over the internet")],
    "many_clients": [("REQ111", "warn", "12 addresses")],
    "http2": [("REQ101", "pass", "")],
    "http3": [("REQ101", "pass", ""), ("REQ105", "warn", "behind")],
}  # fmt: skip


@pytest.mark.parametrize("scene", VERDICTS)
def test_rules_of_requests(told: auditor.Audit, scenes: tuple[Clients, bytes, Path], scene: str) -> None:
    """Each rule says of good and bad clients what it should, and names the request and frame."""
    flows = told.flows[told.flows["client_ip"] == scenes[0].addresses[scene]]["flow_id"]
    for rule, verdict, words in VERDICTS[scene]:
        rows = told.verdicts[told.verdicts["flow_id"].isin(flows) & (told.verdicts["rule"] == rule)]
        assert len(rows), rule
        assert set(rows["verdict"].astype(str)) == {verdict}, (rule, rows["reason"].tolist())
        assert all(words in reason for reason in rows["reason"]), (rule, rows["reason"].tolist())
        if verdict in ("fail", "warn") and rule != "NET101":
            assert rows["reason"].str.contains(r"\(frame \d+").all()


def test_nothing_secret_is_kept(
    told: auditor.Audit, scenes: tuple[Clients, bytes, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """No key id, secret, token, signature, body, cookie or telephone number is in any output, log or file left over."""
    (tmp_path / "lab.pcap").write_bytes(scenes[1])
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    environment = {**os.environ, "TMPDIR": str(scratch), "AUDITOR_DEBUG": "1"}
    texts = []
    for form in ("table", "json", "csv", "jsonl"):
        done = subprocess.run(
            [sys.executable, "-m", "auditor", "pcap", str(tmp_path / "lab.pcap"), "--keylog", str(scenes[2]),
             "--out", str(tmp_path / "out"), "--format", form, *(["--table", "requests"] if form != "table" else [])],
            env=environment, capture_output=True, check=True,
        )  # fmt: skip
        texts += [done.stdout, done.stderr]
    assert list(scratch.iterdir()) == []
    texts.append(told.requests.to_csv().encode())
    for path in [*(tmp_path / "out").iterdir(), *told.folder.iterdir()]:
        texts.append(path.read_bytes())
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            texts.append(json.dumps(pq.read_table(path).to_pylist(), default=str).encode())
    out, err = capfd.readouterr()
    signatures = [line.split(b" ")[2] for line in scenes[2].read_bytes().splitlines() if line.count(b" ") == 2]
    for hidden in [*(text.encode() for text in HIDDEN), *signatures, b"Signature=", b"X-Amz-Credential"]:
        for text in [*texts, out.encode(), err.encode()]:
            assert hidden not in text, hidden


def test_without_keys_it_is_said(scenes: tuple[Clients, bytes, Path], audit_bytes: Any, tmp_path: Path) -> None:
    """Without keys, or with those of others, requests inside TLS are not observable, and why is said."""
    result = audit_bytes(scenes[1])
    verdicts = result.verdicts[result.verdicts["rule"] == "REQ101"]
    hidden = verdicts[verdicts["verdict"] == "not_observable"]
    assert len(hidden)
    assert hidden["reason"].str.contains("--keylog").all()
    assert set(result.requests["scheme"].astype(str)) == {"http"}
    (tmp_path / "other.log").write_text(f"CLIENT_RANDOM {'00' * 32} {'11' * 48}\n")
    other = audit_bytes(scenes[1], keylog=[tmp_path / "other.log"]).verdicts
    assert "those of other sessions" in " ".join(other[other["rule"] == "REQ101"]["reason"])


def test_secrets_in_the_pcapng(scenes: tuple[Clients, bytes, Path], audit_bytes: Any) -> None:
    """Secrets inside a pcapng are found by themselves, and open the same requests as a key log."""
    data = request_lab.with_secrets(scenes[1], scenes[2].read_bytes())
    inside = audit_bytes(data, name="inside.pcapng").requests
    outside = audit_bytes(scenes[1], keylog=[scenes[2]]).requests
    names = [name for name in inside.columns if name not in ("credential_hash", "capture")]
    assert len(inside)
    assert inside[names].equals(outside[names])


def test_standard_input_and_threads(scenes: tuple[Clients, bytes, Path], told: auditor.Audit) -> None:
    """A stream is kept to be read again; and audits run in threads, beside a running event loop, as in Jupyter."""
    done = subprocess.run(
        [sys.executable, "-m", "auditor", "pcap", "-", "--keylog", str(scenes[2]), "--format", "jsonl", "--table", "requests"],
        input=scenes[1], capture_output=True, check=True,
    )  # fmt: skip
    assert len(done.stdout.splitlines()) == len(told.requests)
    inside = gzip.compress(request_lab.with_secrets(scenes[1], scenes[2].read_bytes()))
    done = subprocess.run(
        [sys.executable, "-m", "auditor", "pcap", "-", "--format", "jsonl", "--table", "requests"],
        input=inside, capture_output=True, check=True,
    )  # fmt: skip
    assert len(done.stdout.splitlines()) == len(told.requests)

    import asyncio

    async def notebook() -> int:
        options = auditor.Options(keylog=[scenes[2]], join_key=scenes[2])
        one = auditor.audit(told.folder.parent / "lab.pcap", options)
        other = await asyncio.to_thread(auditor.audit, told.folder.parent / "lab.pcap", options)
        assert one.requests.equals(other.requests)
        return len(one.requests)

    assert asyncio.run(notebook()) == len(told.requests)


def test_only_the_beginning_of_a_stream_is_kept() -> None:
    """What is larger is let go, unless somebody asks for all of it in time."""
    for asks in (False, True):
        spool = Spool(100).of(io.BytesIO(bytes(range(200))))
        spool.read(80)
        if asks:
            spool.keep()
        spool.read(100)
        kept = spool.again()
        assert (kept is not None) == asks
        if kept is not None:
            with kept:
                assert kept.read() == bytes(range(180))
        spool.forget()
        assert spool.again() is None


def test_the_environment_variable_only_when_asked(
    scenes: tuple[Clients, bytes, Path], audit_bytes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SSLKEYLOGFILE counts when it is named, and not otherwise."""
    monkeypatch.setenv("SSLKEYLOGFILE", str(scenes[2]))
    assert set(audit_bytes(scenes[1]).requests["scheme"].astype(str)) == {"http"}
    assert "https" in set(audit_bytes(scenes[1], keylog=["SSLKEYLOGFILE"]).requests["scheme"].astype(str))
    monkeypatch.delenv("SSLKEYLOGFILE")
    with pytest.raises(auditor.InputError, match="no environment variable"):
        audit_bytes(scenes[1], keylog=["SSLKEYLOGFILE"])


def test_without_tshark_it_is_said(
    scenes: tuple[Clients, bytes, Path], audit_bytes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where tshark is missing, the reason says how to get it."""
    monkeypatch.setattr(programs, "FOLDERS", ())
    result = audit_bytes(scenes[1], keylog=[scenes[2]])
    reasons = result.verdicts[result.verdicts["rule"] == "REQ101"]["reason"]
    assert reasons.str.contains("apt-get install tshark").any()
    assert not len(result.requests)


def test_mail_credentials_before_starttls(lab_mail: bytes, audit_bytes: Any) -> None:
    """AUTH in clear to a mail endpoint is found; what was sent with it is not kept."""
    result = audit_bytes(lab_mail)
    row = wire.only(result.requests)
    assert (row["method"], row["scheme"], row["api"], row["signed"]) == ("AUTH", "smtp", "AUTH PLAIN", False)
    verdict = result.verdicts.set_index("rule")
    assert verdict.loc["REQ113", "verdict"] == "fail"
    assert "AUTH PLAIN before STARTTLS" in verdict.loc["REQ113", "reason"]
    secret = base64.b64encode(b"\0user\0password-of-the-tests").decode()
    assert secret not in result.requests.to_csv()


@pytest.fixture
def lab_mail() -> bytes:
    """smtplib logs in without STARTTLS."""
    flights: list[tuple[str, bytes]] = []

    def serve(listener: socket.socket) -> None:
        peer, _ = listener.accept()
        with peer:
            converse(peer)

    def converse(peer: socket.socket) -> None:
        def say(text: bytes) -> None:
            flights.append(("s", text))
            peer.sendall(text)

        say(b"220 email-smtp.us-east-1.amazonaws.com ESMTP\r\n")
        while data := peer.recv(4096):
            flights.append(("c", data))
            word = data[:4].upper()
            say(
                b"250-mail\r\n250-AUTH PLAIN LOGIN\r\n250 STARTTLS\r\n" if word == b"EHLO"
                else b"235 ok\r\n" if word == b"AUTH" else b"221 bye\r\n"
            )  # fmt: skip

    with socket.create_server((request_lab.LOOPBACK, 0)) as listener:
        worker = threading.Thread(target=serve, args=(listener,))
        worker.start()
        with smtplib.SMTP(request_lab.LOOPBACK, listener.getsockname()[1]) as client:
            client.login("user", "password-of-the-tests")
        worker.join()
    dns = wire.datagram(_answer("email-smtp.us-east-1.amazonaws.com", wire.SERVER), 53, 5353,
                        client="10.0.0.53", server=wire.CLIENT)  # fmt: skip
    talk = wire.Talk(dport=587).open().play(flights).close()
    return wire.pcap([dns, *talk.packets])


def _answer(name: str, address: str) -> bytes:
    from scapy.layers.dns import DNS, DNSQR, DNSRR

    return bytes(DNS(qr=1, qd=DNSQR(qname=name), an=DNSRR(rrname=name, rdata=address)))


def test_a_kill_leaves_nothing(scenes: tuple[Clients, bytes, Path], tmp_path: Path) -> None:
    """Killed in the middle of opening TLS, neither a file nor a process is left."""
    (tmp_path / "lab.pcap").write_bytes(scenes[1])
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    slow = tmp_path / "tshark"
    slow.write_text(
        "#!/bin/sh\n"
        "if [ \"$1\" = --version ]; then echo 'TShark (Wireshark) 4.0.17'; exit; fi\n"
        "if [ \"$1\" = -G ]; then printf 'Transmission Control Protocol\\tTCP\\ttcp\\n'; exit; fi\n"
        "sleep 600\n"
    )
    slow.chmod(0o755)
    child = subprocess.Popen(
        [sys.executable, "-m", "auditor", "pcap", str(tmp_path / "lab.pcap"), "--keylog", str(scenes[2])],
        env={**os.environ, "TMPDIR": str(scratch), programs.SETTING: str(tmp_path)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        started = _started_by(child, "sleep 600")
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert len(started) >= 3  # the child that lets tshark dissect, tshark, and what that started
    while any(_is_alive(process) for process in started):
        time.sleep(0.1)
    subprocess.run(
        [sys.executable, "-m", "auditor", "pcap", str(tmp_path / "lab.pcap"), "-q"],
        env={**os.environ, "TMPDIR": str(scratch)}, stdout=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    assert list(scratch.iterdir()) == []  # results without --out: the next audit clears away what a kill left


def test_what_was_begun_too_early_is_ended(tmp_path: Path, samples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A capture that begins as if it held requests to AWS, and holds none, gives its results and leaves no process."""
    begun: list[int] = []

    class Noted(opener.Opener):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            begun.append(self.child.pid)

    monkeypatch.setattr(opener, "Opener", Noted)
    path = tmp_path / "talk.pcap"
    path.write_bytes(wire.pcap([wire.datagram(b"GET / HTTP/1.1 pinpoint.us-east-1.amazonaws.com", 5353, 5353)]))
    assert len(auditor.audit(path).flows) == 1
    assert begun
    assert not any(map(psutil.pid_exists, begun))
    begun.clear()
    assert len(auditor.audit(samples / "tls1.2.pcapng").flows) == 1
    assert not begun


def _started_by(parent: "subprocess.Popen[bytes]", words: str) -> list[psutil.Process]:
    """All that a process has started, once one of them has these words in its command line."""
    while parent.poll() is None:
        children = psutil.Process(parent.pid).children(recursive=True)
        with contextlib.suppress(psutil.NoSuchProcess):
            if any(words in " ".join(child.cmdline()) for child in children):
                return children
        time.sleep(0.1)
    raise AssertionError(f"{words} was not started")


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_rsa_key_of_the_server(tmp_path: Path, audit_bytes: Any) -> None:
    """A server's RSA key opens what was exchanged by RSA, and other keys are refused in a sentence."""
    certificate, key = request_lab.certificate(tmp_path, key_is_rsa=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES128-GCM-SHA256:AES128-SHA:@SECLEVEL=0")
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.set_ciphers("AES128-GCM-SHA256:@SECLEVEL=0")
    name = "pinpoint.us-east-1.amazonaws.com"
    flights = carriers.session(client, context, b"GET /v1/apps HTTP/1.1\r\nHost: %s\r\n\r\n" % name.encode(), name=name)
    capture = wire.pcap(wire.Talk().open().play(flights).packets)
    row = wire.only(audit_bytes(capture, keylog=[key]).requests)
    assert (row["api"], row["signed"]) == ("pinpoint:GetApps", False)
    _, other = request_lab.certificate(tmp_path)
    with pytest.raises(auditor.InputError, match="not an RSA key"):
        audit_bytes(capture, keylog=[other])


# rsasnakeoil2.pcap is opened by the server's RSA key, which is not in the corpus.
OPENED = (
    "test_decrypt.pcap",
    "http2-with-cookies.pcapng",
    "chrome-cloudflare-quic-with-secrets.pcapng",
    "capture.pcap",
)


def test_the_corpus_as_tshark_has_it(corpus: Path) -> None:
    """Every request that tshark finds in the public captures, with their keys, is in ``requests``, in the same frame."""
    import csv

    with (corpus / "expected" / "tshark_decrypted.csv").open(encoding="utf-8", errors="replace") as lines:
        rows = [row for row in csv.DictReader(lines) if row["method"] and row["pcap"].endswith(OPENED)]
    captures = {(row["source"], row["pcap"], row["keyfile"]) for row in rows}
    assert len(captures) == 3
    compared = 0
    for source, name, keys in sorted(captures):
        keylog = [] if keys == "DSB" else [corpus / source / keys]
        found = auditor.audit(corpus / source / name, keylog=keylog).requests
        mine = {(row.frame, row.method, row.authority) for row in found.itertuples()}
        for row in rows:
            if row["pcap"] == name and row["source"] == source:
                # Where a frame has several requests, so have the fields.
                methods, hosts = row["method"].split("|"), row["host"].split("|")
                for method, host in zip(methods, hosts, strict=True):
                    assert (int(row["frame"]), method, host) in mine, row
                    compared += 1
    assert compared >= 34


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"\x7fELF" + os.urandom(1 << 20), "holds no secrets of TLS sessions"),
        (b"CLIENT_RANDOM zz\n" * 1000, "holds no secrets of TLS sessions"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "is no private key"),
        (b"A" * (8 << 20), "holds no secrets of TLS sessions"),
    ],
)
def test_hostile_key_logs(tmp_path: Path, samples: Path, text: bytes, words: str) -> None:
    """What is no key log is refused in one sentence that names the file."""
    (tmp_path / "keys.log").write_bytes(text)
    with pytest.raises(auditor.InputError, match=words) as caught:
        auditor.audit(samples / "tls1.2.pcapng", keylog=[tmp_path / "keys.log"])
    assert "keys.log" in str(caught.value)


def test_a_large_key_log_with_wrong_lines(
    tmp_path: Path, scenes: tuple[Clients, bytes, Path], told: auditor.Audit
) -> None:
    """Twenty megabytes of wrong lines around the right ones: the same requests, and the wrong lines are told."""
    junk = b"CLIENT_RANDOM " + b"0123456789abcdef" * 4 + b" nothing\n" + b"\xff\x00\xfe" * 300 + b"\n"
    (tmp_path / "keys.log").write_bytes(junk * 10_000 + scenes[2].read_bytes() + junk * 10_000)
    (tmp_path / "lab.pcap").write_bytes(scenes[1])
    said: list[str] = []
    result = auditor.audit(tmp_path / "lab.pcap", keylog=[tmp_path / "keys.log"], say=said.append)
    assert len(result.requests) == len(told.requests)
    assert any("40000 of" in note and "no secrets" in note for note in result.manifest["notes"])
    assert any("no secrets" in line for line in said)
