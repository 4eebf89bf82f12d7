"""Packets as tshark dissects them, with texts that whoever sent them chose, for what takes requests out of them."""

import json
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

from auditor.requests.dissector import Dissector, Layers
from tests.fuzz import mutate
from tests.fuzz.decoders import QUERY, SIGNED

Fields = dict[str, list[str]]
ENDS = ("10.0.0.1", "192.0.2.1")  # client and server, as ``cut`` writes them
LAYERS: list[tuple[str, Fields, Fields]] = [  # a layer, what tshark says in it, and what the peers chose
    ("http", {}, {
        "http.request.method": ["GET"], "http.request.uri": [f"/v1/apps?{QUERY}"],
        "http.request.line": ["Host: pinpoint.us-east-1.amazonaws.com\\r\\n", *SIGNED.splitlines()],
    }),
    ("http", {"http.file_data": ["61:62:63"]}, {
        "http.request.method": ["POST"], "http.request.uri": ["/"],
        "http.request.line": ["Host: b.s3.amazonaws.com", "Content-Type: multipart/form-data; boundary=b0"],
    }),
    ("http", {"http.response.code": ["403"]}, {
        "http.response.line": ["x-amzn-requestid: 01234567", "x-amzn-errortype: a.b#Throttling"],
        "http.file_data": ['{"__type": "x"}'],
    }),
    ("http2", {"http2.streamid": ["1"], "http2.type": ["1"], "http2.flags.eh": ["1"]}, {
        "http2.header.name": [":method", ":path", ":authority", "authorization"],
        "http2.header.value": ["GET", "/", "sts.amazonaws.com", SIGNED.partition(": ")[2].splitlines()[0]],
    }),
    ("http2", {"http2.streamid": ["1"], "http2.type": ["1"], "http2.flags.eh": ["1"]},
     {"http2.header.name": [":status"], "http2.header.value": ["200"]}),
    ("tls", {"tls.handshake.type": ["8", "11"], "tls.record.opaque_type": ["23"]},
     {"tls.handshake.extensions_alpn_str": ["h2"], "tls.handshake.certificate": ["30:03"]}),
    ("smtp", {}, {"smtp.req.command": ["AUTH"], "smtp.req.parameter": ["PLAIN x"]}),
    ("urlencoded-form", {}, {
        "urlencoded-form.key": ["Action", "AWSAccessKeyId", "SignatureVersion", "Signature"],
        "urlencoded-form.value": ["GetApps", "AKIA0123456789ABCDEF", "2", "x"],
    }),
]  # fmt: skip


def make(random: Random) -> bytes:
    """A few packets, each of the client or the server, of a few layers."""
    packets = [[random.random() < 0.6, [_layer(random) for _ in range(random.randint(1, 4))]] for _ in range(4)]
    return json.dumps(packets).encode()


def _layer(random: Random) -> tuple[str, Fields]:
    name, fixed, chosen = random.choice(LAYERS)
    fields = {key: list(texts) for key, texts in chosen.items()}
    for _ in range(random.randrange(4)):
        texts = random.choice(list(fields.values()))
        if not texts:
            continue
        at, cut = random.randrange(len(texts)), random.randrange(len(random.choice(texts)) + 1)
        match random.randrange(6):
            case 0:
                texts[at] = str(mutate.strange(random))
            case 1:
                del texts[at]
            case 2:
                texts += texts[:100] * 2
            case 3:
                texts[at] = texts[at][:cut]
            case 4:
                texts[at] = texts[at][:cut] + random.choice(mutate.TEXTS) + texts[at][cut:]
            case _:
                texts[at] = mutate.octets(random, texts[at].encode("utf-8", "replace")).decode("latin-1")
    return name, fixed | fields


def _field(text: str) -> Any:
    return SimpleNamespace(show=text, raw_value=text.encode("utf-8", "replace").hex())


def read(path: Path) -> None:
    """Take the requests out of the packets: nothing raises, and what comes out is JSON of harmless texts."""
    dissector = Dissector({"salt": "00", "clear": [1]})
    for number, (from_client, listed) in enumerate(json.loads(path.read_bytes()), 1):
        layers = [
            SimpleNamespace(
                layer_name=name,
                _all_fields={key: SimpleNamespace(all_fields=[*map(_field, texts)]) for key, texts in fields.items()},
            )
            for name, fields in listed
        ]
        source, target = ENDS if from_client else ENDS[::-1]
        packet = SimpleNamespace(number=str(number), layers=layers, ip=SimpleNamespace(src=source, dst=target))
        for request in dissector._take(Layers(packet)):
            json.dumps(request.out())
    for request in dissector.rest():
        json.dumps(request.out())
