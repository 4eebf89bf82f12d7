"""Real routers: BIRD speaks BGP with communities between network namespaces, OpenSSL TLS, dumpcap captures.

Addresses are of documentation and benchmarking ranges, and no packet leaves the namespaces that the test makes.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import auditor
from tests.conftest import HANG

EDGE, AWS = "auditor-edge", "auditor-aws"
AMAZON, CUSTOMER = "203.0.113.33", "203.0.113.34"
SERVICE, CLIENT = "198.18.44.10", "203.0.113.1"  # the service's address, and the site's own
VLAN = 102
NAME = "pinpoint.us-east-1.amazonaws.com"

AWS_BIRD = f"""
router id {AMAZON};
protocol device {{ }}
protocol static {{ ipv4; route 198.18.0.0/16 blackhole; }}
protocol bgp customer {{
  local {AMAZON} as 7224; neighbor {CUSTOMER} as 65001;
  ipv4 {{ import all; export filter {{ bgp_community.add((7224,8100)); bgp_community.add((65535,65281)); accept; }}; }};
}}
"""
EDGE_BIRD = f"""
router id {CUSTOMER};
protocol device {{ }}
protocol kernel {{ ipv4 {{ export all; }}; }}
protocol static {{ ipv4; route 203.0.113.0/28 blackhole; }}
protocol bgp amazon {{
  local {CUSTOMER} as 65001; neighbor {AMAZON} as 7224;
  ipv4 {{ import all; export where source = RTS_STATIC; }};
}}
"""
TOPOLOGY = f"""
[site]
name = "lab"
on_premises = "203.0.113.0/24"
[[virtual_interface]]
name = "dxvif-lab"
kind = "public"
vlan = {VLAN}
peer_address = "{AMAZON}"
own_address = "{CUSTOMER}"
"""


def run(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=check, capture_output=True, text=True, timeout=HANG)


def inside(space: str, *command: str) -> list[str]:
    return ["ip", "netns", "exec", space, *command]


def until(ready: list[str], words: str) -> bool:
    """Wait until a command prints something."""
    end = time.monotonic() + HANG
    while time.monotonic() < end:
        if words in run(*ready, check=False).stdout:
            return True
        time.sleep(0.2)
    return False


@pytest.fixture
def tagged() -> Iterator[bool]:
    """Two namespaces joined by a wire; whether their addresses are on a VLAN of it (some kernels have none)."""
    needed = [tool for tool in ("ip", "bird", "birdc", "dumpcap", "openssl") if shutil.which(tool) is None]
    if needed:
        pytest.skip(f"{', '.join(needed)} not installed")
    if os.geteuid() != 0 or run("ip", "netns", "add", EDGE, check=False).returncode != 0:
        pytest.skip("network namespaces are not allowed here")
    try:
        run("ip", "netns", "add", AWS)
        run(*inside(EDGE, "ip", "link", "add", "name", "dx0", "type", "veth", "peer", "name", "dx1", "netns", AWS))
        vlan = True
        for space, device, address in ((EDGE, "dx0", CUSTOMER), (AWS, "dx1", AMAZON)):
            run(*inside(space, "ip", "link", "set", "lo", "up"))
            run(*inside(space, "ip", "link", "set", device, "up"))
            name = f"{device}.{VLAN}"
            created = run(
                *inside(space, "ip", "link", "add", "link", device, "name", name, "type", "vlan", "id", str(VLAN)),
                check=False,
            )
            vlan = vlan and created.returncode == 0
            used = name if created.returncode == 0 else device
            run(*inside(space, "ip", "link", "set", used, "up"))
            run(*inside(space, "ip", "address", "add", f"{address}/30", "dev", used))
        run(*inside(AWS, "ip", "address", "add", f"{SERVICE}/32", "dev", "lo"))
        run(*inside(EDGE, "ip", "address", "add", f"{CLIENT}/32", "dev", "lo"))
        run(*inside(AWS, "ip", "route", "add", f"{CLIENT}/32", "via", CUSTOMER))
        yield vlan
    finally:
        for space in (EDGE, AWS):
            run("ip", "netns", "del", space, check=False)


def test_bgp_and_tls_between_namespaces(tagged: bool, tmp_path: Path) -> None:
    """The peer's MAC is learned from the session, its routes from BGP; with the tag the path is confirmed."""
    key = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "k.pem", "-out", "c.pem"]
    subprocess.run([*key, "-subj", f"/CN={NAME}", "-days", "2"], cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "site.toml").write_text(TOPOLOGY)
    children = []

    def start(space: str, *command: str) -> None:
        children.append(
            subprocess.Popen(
                inside(space, *command), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                stdin=subprocess.DEVNULL,
            )
        )  # fmt: skip

    try:
        start(EDGE, "dumpcap", "-q", "-i", "dx0", "-w", str(tmp_path / "lab.pcapng"))
        assert until(["ls", "-l", str(tmp_path)], "lab.pcapng")
        time.sleep(0.5)
        for space, text in ((AWS, AWS_BIRD), (EDGE, EDGE_BIRD)):
            (tmp_path / f"{space}.conf").write_text(text)
            start(space, "bird", "-f", "-c", f"{space}.conf", "-s", f"{space}.ctl")
        shown = inside(EDGE, "ip", "route")
        assert until(shown, "198.18.0.0/16"), run(*shown).stdout
        start(AWS, "openssl", "s_server", "-accept", f"{SERVICE}:443", "-cert", "c.pem", "-key", "k.pem", "-quiet")
        time.sleep(0.5)
        client = ["openssl", "s_client", "-connect", f"{SERVICE}:443", "-servername", NAME, "-bind", CLIENT, "-tls1_2"]
        end = time.monotonic() + HANG
        while time.monotonic() < end:
            done = subprocess.run(
                inside(EDGE, *client), input="", capture_output=True, text=True, timeout=HANG, check=False
            )
            if "Cipher is ECDHE" in done.stdout:
                break
            time.sleep(0.3)
        routes = run(*inside(EDGE, "ip", "-j", "route")).stdout
        time.sleep(1.0)
    finally:
        for child in reversed(children):
            child.terminate()
        for child in children:
            child.wait(timeout=HANG)
    (tmp_path / "routes.json").write_text(routes)
    result = auditor.audit(tmp_path / "lab.pcapng", topology=tmp_path / "site.toml", routes=[tmp_path / "routes.json"])
    flow = result.flows[(result.flows["server_ip"] == SERVICE) & (result.flows["tls_version"] == "TLS 1.2")].iloc[-1]
    kinds = set(result.evidence[result.evidence["flow_id"] == flow["flow_id"]]["kind"])
    assert (flow["path"], flow["path_link"]) == ("direct-connect", "dxvif-lab")
    assert flow["path_confidence"] == ("confirmed" if tagged else "likely")
    assert {"vlan+mac" if tagged else "mac", "route", "bgp"} <= kinds
    assert flow["forward_secrecy"]
    network = result.network
    assert "AS 7224" in str(network[network["subject"] == AMAZON].set_index("kind").loc["bgp", "detail"])
