"""Whatever input is wrong, and whatever outsiders send: nothing is said of a flow that is not true of it."""

from pathlib import Path

import pytest

import auditor
from tests import wire
from tests.lab.variants import FORGED, Variant, variants

VARIANTS = variants()
SIDES = ("path", "path_out", "path_back")
COLUMNS = (
    *("client_port", "server_port", "client_packets", "server_packets", "path_detail"),
    *(name for side in SIDES for name in (side, f"{side}_confidence")),
)
GENERAL = {"direct-connect", "vpn", "vpc"}  # of which "private" is said


def wrong(variant: Variant, folder: Path) -> list[str]:
    """What is claimed of the variant's flows that is not true."""
    (folder / "capture.pcap").write_bytes(wire.pcap(sorted(variant.frames), nanoseconds=True))
    (folder / "site.toml").write_text(variant.topology)
    mistakes = []
    result = auditor.audit(folder / "capture.pcap", topology=folder / "site.toml")
    for row in result.rows("flows", *COLUMNS):
        if row["client_port"] not in variant.truth or row["server_port"] != 443:
            continue
        # A packet of an outsider's that came from the internet, with the flow's ends. Of one with the server's, what its row says
        # of the client's side is about the connection's packets, which went the true way.
        outsiders, of_server = row["client_packets"] + row["server_packets"] == 1, row["server_packets"] == 1
        for side in SIDES:
            said, confidence = row[side], row[f"{side}_confidence"]
            of_others = of_server and (side == "path_out" or (side == "path" and confidence == "likely"))
            truth = "internet" if outsiders and not of_others else variant.truth[row["client_port"]]
            right = said == truth or (said == "private" and truth in GENERAL)
            if confidence != "none" and not right:
                mistakes.append(f"{side} {said} {confidence}, but it is {truth}: {row['path_detail']}")
    return mistakes


@pytest.mark.parametrize("variant", VARIANTS, ids=[variant.name for variant in VARIANTS])
def test_nothing_wrong_is_said(variant: Variant, tmp_path: Path) -> None:
    """No direction of any flow is confirmed or likely for a path that it did not take."""
    assert not wrong(variant, tmp_path)


def test_there_are_many() -> None:
    """At least two hundred variants, each with a name of its own, and outsiders in each layout."""
    assert len(VARIANTS) >= 200
    assert len({variant.name for variant in VARIANTS}) == len(VARIANTS)
    assert any(FORGED in variant.truth for variant in VARIANTS)
