"""The report as a page: opened in a real browser its numbers are those of the tables, and each leads to what it counts."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import auditor
from auditor.report import flow_ids, overview, page
from auditor.report.answer import WAYS, way_of
from auditor.report.flow_columns import FlowColumns
from auditor.report.page import findings
from auditor.report.problems import problems
from tests import wire
from tests.browser import html, kept, opened

VERDICTS = ["fail", "warn", "not_observable", "pass"]


def number(text: str) -> int:
    """The first number of a text."""
    found = re.search(r"\d[\d,]*", text)
    assert found is not None, text
    return int(found[0].replace(",", ""))


def go_to(tab: Any, fragment: str) -> None:
    """Follow a link within the page, and wait until it was followed."""
    tab.evaluate(
        """async fragment => {
            if (location.hash === fragment) return;
            const followed = new Promise(done => addEventListener("hashchange", done, { once: true }));
            location.hash = fragment;
            await followed;
        }""",
        fragment,
    )


def test_the_page_is_one_file(office: Any, hostile: auditor.Audit) -> None:
    """Nothing is fetched, only its own script and style may run, and the same audit gives the same bytes."""
    for result in (office, hostile):
        text = html(result).decode()
        assert not re.findall(r"""(?:src|href)="(?!#|data:,)""", text)
        policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
        assert policy is not None
        assert "default-src &#39;none&#39;" in policy[1]
        assert "unsafe" not in policy[1]
        assert text.encode() == html(result)
        assert len(text) < 300_000


@pytest.mark.parametrize(("most", "fewest"), [(findings.MOST_PROBLEMS, 11), (2, 4)])
def test_anchors_lead_somewhere(
    office: Any, hostile: auditor.Audit, most: int, fewest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each name is given once, each link within the page that is no filter leads to one, however few problems are shown."""
    monkeypatch.setattr(findings, "MOST_PROBLEMS", most)
    for result in (office, hostile):
        text = html(result).decode()
        names = re.findall(r' id="([^"]+)"', text)
        assert len(names) == len(set(names))
        anchors = {name for name in re.findall(r'href="#([^"]+)"', text) if "=" not in name}
        assert len(anchors) >= fewest
        assert anchors <= set(names)
        assert {f"f-{one}" for one in result.findings["finding_id"]} <= set(names)


def test_all_problems_can_be_reached(
    browser: Any, office: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Problems that are not whole in the page are listed by its script, with their flows and findings a link away."""
    monkeypatch.setattr(findings, "MOST_PROBLEMS", 2)
    expected = problems(office)
    tab, said = opened(browser, kept(office, tmp_path))
    assert tab.inner_text("#further > summary") == f"{len(expected) - 2} more pairs of client network and service"
    tab.click("#further > summary")
    go_to(tab, "#verdict=warn")
    listed = tab.locator("#further .pair b").all_text_contents()
    assert 0 < len(listed) < len(expected) - 2
    assert number(tab.inner_text("#narrowed-to")) == len(listed) + tab.locator(".problem:not([hidden])").count()
    tab.click("#narrowed-clear")
    assert tab.locator(".problem summary b, #further .pair b").all_text_contents() == [one.who for one in expected]
    rows = [
        (
            row.locator(".code").all_inner_texts(),
            row.locator(".flows a").get_attribute("href"),
            row.locator(".flows").inner_text(),
        )
        for row in tab.locator("#further .pair").all()
    ]
    for one, (names, href, flows) in zip(expected[2:], rows, strict=True):
        assert names == list(one.findings)
        go_to(tab, href)
        assert number(tab.inner_text("#hits")) == number(flows) == one.flows
        for name in one.findings:
            go_to(tab, f"#f-{name}")
            assert tab.locator(f"details[open] #f-{name}").is_visible()
    assert said == []
    tab.close()


@pytest.fixture(scope="module")
def shown(browser: Any, office: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The page of the office, open."""
    tab, said = opened(browser, kept(office, tmp_path_factory.mktemp("page")), viewport={"width": 1400, "height": 900})
    yield tab
    assert said == []
    tab.close()


def test_the_answer_is_the_one_of_the_library(shown: Any, office: Any) -> None:
    """The page begins with the sentence of ``Audit.answer``, and its numbers are the tables'."""
    judged = office.flows[office.flows["verdict"] != "not_applicable"]
    assert shown.inner_text("#sentence") == office.answer
    tiles = [number(text) for text in shown.locator("#tiles b").all_inner_texts()]
    assert tiles == [int((judged["verdict"] == verdict).sum()) for verdict in VERDICTS]
    ways = Counter(way_of(row) for row in judged.to_dict("records"))
    assert [number(text) for text in shown.locator(".shares li").all_inner_texts()] == [
        ways[w] for w in WAYS if ways[w]
    ]
    numbers = dict(zip(*(shown.locator(f"#numbers {tag}").all_inner_texts() for tag in ("dt", "dd")), strict=True))
    assert numbers == {
        "flows": str(len(office.flows)),
        "judged": str(len(judged)),
        "TLS handshakes": str(len(office.handshakes)),
        "findings": str(len(office.findings)),
        "captures": "1",
    }


def test_the_diagram_has_every_judged_flow(shown: Any, office: Any) -> None:
    """The strands of each half add up to the judged flows, verdict by verdict; so does the list for narrow screens."""
    judged = office.flows[office.flows["verdict"] != "not_applicable"]
    expected = {verdict: int(count) for verdict, count in judged["verdict"].value_counts().items() if count}
    bands = shown.locator(".band").evaluate_all("all => all.map(one => ({...one.dataset}))")
    for column in ("0", "1"):
        counts: Counter[str] = Counter()
        for band in bands:
            if band["column"] == column:
                counts[band["verdict"]] += int(band["flows"])
        assert counts == expected
    groups = dict(zip(*(shown.locator(s).all_text_contents() for s in ("#ways h3", "#ways h3 small")), strict=True))
    assert sum(map(number, groups.values())) == len(judged)
    rows = shown.locator("#ways li .mark").all_text_contents()
    assert sum(map(number, rows)) == len(judged)


def test_paths_by_version_are_those_of_the_terminal(shown: Any, office: Any) -> None:
    """The table of paths and versions has the lines of the terminal's, verdict by verdict."""
    rows = [row.locator("td").all_inner_texts() for row in shown.locator(".versions tbody tr").all()]
    lines = overview.lines(office)
    assert [row[:3] for row in rows] == [[o.words, overview.protocol_words(o.protocol), f"{o.flows}"] for o in lines]
    counts = [[int(cell) if cell != "·" else 0 for cell in row[3:]] for row in rows]
    assert counts == [[line.verdicts[verdict] for verdict in overview.shown_verdicts(lines)] for line in lines]


def test_charts_have_the_numbers_of_the_tables(shown: Any, office: Any) -> None:
    """Versions, suites, kinds of key exchange, hellos and round-trip times are counted as the tables have them."""

    def bars(title: str) -> dict[str, int]:
        rows = shown.locator(f"h3:has-text('{title}') + table tr")
        return {row[0]: number(row[1]) for row in (r.locator("th, td").all_inner_texts() for r in rows.all())}

    flows, shakes = office.flows, office.handshakes
    versions = {name: count for name, count in flows["tls_version"].value_counts().items() if count}
    assert bars("Versions") == {**versions, "TLS, version unknown": 1}
    assert bars("Cipher suites") == flows["cipher_suite"].value_counts().to_dict()
    kinds = shakes["post_quantum_kind"].astype("string").fillna("not seen").value_counts()
    assert bars("Post-quantum") == kinds.to_dict()
    assert sum(bars("ClientHello").values()) == shakes["client_hello_bytes"].notna().sum()
    trips = shown.locator(".trips tbody tr").all()
    times = [number(row.locator("td").first.inner_text()) for row in trips]
    assert sum(times) == flows["rtt_ms"].notna().sum()
    legend = [number(text.split()[-1]) for text in shown.locator("#time ~ .legend li").all_inner_texts()]
    assert sum(legend) == (flows["verdict"] != "not_applicable").sum()


def test_problems_are_those_of_the_library(shown: Any, office: Any) -> None:
    """Problems come as ``Audit.problems`` has them, with each finding's reason and frames, and what each rule asks for."""
    expected = problems(office)
    assert shown.locator(".problem summary b").all_text_contents() == [one.who for one in expected]
    assert [number(t) for t in shown.locator(".problem summary .flows").all_text_contents()] == [
        o.flows for o in expected
    ]
    listed = shown.locator(".findings .code").all_text_contents()
    assert sorted(listed) == sorted(office.findings["finding_id"])
    assert sorted(shown.locator(".rule summary b").all_text_contents()) == sorted(set(office.findings["rule"]))
    for row in office.findings.to_dict("records"):
        text = shown.locator(f"#f-{row['finding_id']}").text_content()
        assert row["reason"] in text
        assert f"frames {row['sample_frames']}" in text
        assert f"({row['flows']} flow" in text.replace("\n", "") or f"{row['flows']} flow" in text


def test_every_number_leads_to_its_flows(shown: Any) -> None:
    """Behind each link that counts flows there are as many in the table."""
    links = shown.locator("main a[href*='=']").evaluate_all(
        """all => all.map(one => [one.getAttribute("href"), one.querySelector(".band")?.dataset.flows
             ?? (one.closest("td.number") ? one : one.closest("tr")?.querySelector("td.number") ?? one).textContent])"""
    )
    assert len(links) > 80
    for href, text in links:
        go_to(shown, href)
        assert number(shown.inner_text("#hits")) == number(text), href
    shown.click("#clear")
    assert shown.evaluate("location.hash") == ""


def test_facets_narrow_each_other(shown: Any, office: Any) -> None:
    """A facet counts what it would leave of what the others leave; what is chosen is in the address and can be taken away."""
    shown.click("#facet-verdict summary")
    shown.click("#facet-verdict label:has-text('fail')")
    fails = office.flows[office.flows["verdict"] == "fail"]
    assert number(shown.inner_text("#hits")) == len(fails)
    assert shown.evaluate("location.hash") == "#verdict=fail"
    shown.click("#facet-network summary")
    groups = FlowColumns.of(office).network.objects()[(office.flows["verdict"] == "fail").to_numpy()]
    rows = [label.locator("span").all_inner_texts() for label in shown.locator("#facet-network label").all()]
    assert {name: int(count) for name, count in rows} == Counter(groups)
    shown.click("#facet-network label:has-text('10.20.2.0/24')")
    assert shown.inner_text("#hits") == "2 of 29 flows"
    shown.go_back()
    assert number(shown.inner_text("#hits")) == len(fails)
    shown.click("#chosen button")
    assert shown.inner_text("#hits") == "29 flows"


def test_filters_choose_among_problems_too(shown: Any, office: Any) -> None:
    """A tile leads to the problems that have such flows, and names how many of all; severity is a facet with its counts."""
    every = problems(office)
    flows = FlowColumns.of(office)
    names = list(zip(flows.network.objects(), flows.service.objects(), office.flows["verdict"], strict=True))
    for verdict in ("fail", "warn"):
        go_to(shown, f"#verdict={verdict}")
        having = {(network, service) for network, service, one in names if one == verdict}
        expected = [one.who for one in every if tuple(one.who.split(" → ")) in having]
        visible = shown.locator(".problem:not([hidden]) summary b").all_text_contents()
        assert 0 < len(visible) < len(every)
        assert visible == expected
        assert number(shown.inner_text("#narrowed-to")) == len(visible)
        assert number(shown.inner_text("#narrowed-flows")) == sum(one == verdict for *_, one in names)
    go_to(shown, "#version=dns")
    assert shown.inner_text("#narrowed-to") == f"None of {len(every)} problems"
    shown.click("#narrowed-clear")
    assert shown.locator(".problem:not([hidden])").count() == len(every)
    assert not shown.is_visible("#narrowed")
    shown.click("#facet-severity summary")
    rows = dict(label.locator("span").all_inner_texts() for label in shown.locator("#facet-severity label").all())
    worst: dict[int, str] = {}
    rank = list(office.findings["severity"].cat.categories)
    severity = {row["rule"]: row["severity"] for row in office.findings.to_dict("records")}
    for row in office.verdicts[office.verdicts["verdict"].isin(["fail", "warn"])].to_dict("records"):
        worst[row["flow_id"]] = max(worst.get(row["flow_id"], "info"), severity[row["rule"]], key=rank.index)
    assert {name: int(count) for name, count in rows.items()} == Counter(worst.values())
    shown.click("#facet-severity label:has-text('critical')")
    assert {one.get_attribute("data-severity") for one in shown.locator(".problem:not([hidden])").all()} == {"critical"}
    rules = shown.locator(".rule:not([hidden]) b").all_text_contents()
    assert 0 < len(rules) < shown.locator(".rule").count()
    shown.click("#narrowed-clear")
    shown.click("#tiles a >> nth=0")
    shown.wait_for_function("Math.abs(document.getElementById('problems').getBoundingClientRect().top) < 200")
    shown.click("#narrowed-clear")


def test_search_and_sorting(shown: Any, office: Any) -> None:
    """All words have to be found, in whichever columns; findings are searched too; columns sort by their values."""
    shown.fill("#search", "tls 1.0 10.20.2.50")
    assert shown.inner_text("#hits") == "2 of 29 flows"
    shown.fill("#search", "pth101-3")
    assert shown.inner_text("#hits") == "1 of 29 flows"
    shown.fill("#search", "")
    shown.click("#flows th button:has-text('bytes')")
    assert shown.get_attribute("#flows th[data-name=bytes]", "aria-sort") == "ascending"
    ids = shown.locator("#flows tbody td:first-child").all_inner_texts()
    by_id = dict(
        zip(
            flow_ids.short(office, office.flows["flow_id"]),
            office.flows["client_bytes"] + office.flows["server_bytes"],
            strict=True,
        )
    )
    assert [by_id[one] for one in ids] == sorted(by_id.values())


def test_from_a_flow_to_its_finding_and_back(shown: Any) -> None:
    """A finding of a flow opens the problem that it is in, and from there its flows are one link away."""
    shown.fill("#search", "TLS102-1")
    shown.click("#flows tbody tr:first-child a:has-text('TLS102-1')")
    assert shown.locator("details.problem[open] #f-TLS102-1").is_visible()
    shown.click("#f-TLS102-1 .more")
    assert shown.inner_text("#hits") == "2 of 29 flows"
    shown.click("#clear")
    go_to(shown, "#rule-TLS102")
    assert shown.locator("#rule-TLS102[open]").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_theme_is_kept(browser: Any, office: Any, tmp_path: Path, scheme: str) -> None:
    """The page follows the system's scheme, the button turns it over, and a reload keeps what was chosen."""
    tab, said = opened(browser, kept(office, tmp_path), color_scheme=scheme)
    ground = "getComputedStyle(document.body).backgroundColor"
    before = tab.evaluate(ground)
    tab.click("#theme")
    after = tab.evaluate(ground)
    assert before != after
    tab.reload()
    tab.wait_for_selector("body[data-ready=yes]")
    assert tab.evaluate(ground) == after
    assert said == []
    tab.close()


@pytest.mark.parametrize("width", [360, 420, 768, 1000, 1400])
def test_nothing_is_wider_than_the_screen(
    browser: Any, office: Any, hostile: auditor.Audit, tmp_path: Path, width: int
) -> None:
    """At every width all is within the page; where the diagram would be too small to read, a list has its numbers."""
    for result in (office, hostile):
        tab, said = opened(browser, kept(result, tmp_path), viewport={"width": width, "height": 900})
        tab.evaluate(
            "for (const one of document.querySelectorAll('details')) if (!one.matches('.facet')) one.open = true"
        )
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.locator("#sankey").is_visible() == (width > 768)
        assert tab.locator("#ways").is_visible() == (width <= 768)
        assert said == []
        tab.close()


def test_no_cell_runs_into_the_next(browser: Any, office: Any, tmp_path: Path) -> None:
    """As long as flows are a table, what is in a cell stays in it, and numbers of flows and addresses are on one line."""
    tab, said = opened(browser, kept(office, tmp_path))
    for width in (993, 1000, 1100, 1280, 1345, 1400):
        tab.set_viewport_size({"width": width, "height": 900})
        wide = """[...document.querySelectorAll("#flows td, #flows th")].filter(cell => {
            const end = cell.getBoundingClientRect().right + 1;
            return [...cell.querySelectorAll("*")].some(one => one.getBoundingClientRect().right > end);
        }).map(cell => cell.innerText)"""
        assert tab.evaluate(wide) == [], width
        whole = "#flows td[data-label=flow] .whole, #flows td[data-label=client] span span"
        lines = f"[...document.querySelectorAll('{whole}')].map(one => one.getClientRects().length)"
        assert set(tab.evaluate(lines)) == {1}, width
    assert said == []
    tab.close()


def test_the_longest_names_of_suites_wrap(browser: Any, audit_bytes: Any, tmp_path: Path) -> None:
    """The longest name of a suite ends before its number, at every width."""
    flights = [("c", wire.record(22, wire.client_hello())), ("s", wire.record(22, wire.server_hello(0xC02B)))]
    result = audit_bytes(wire.pcap(wire.Talk().open().play(flights).packets), all_traffic=True)
    tab, said = opened(browser, kept(result, tmp_path))
    for width in (360, 768, 1000, 1200, 1400):
        tab.set_viewport_size({"width": width, "height": 900})
        wide = """[...document.querySelectorAll(".bars th")].filter(cell => {
            const text = document.createRange();
            text.selectNodeContents(cell);
            return text.getBoundingClientRect().right > cell.getBoundingClientRect().right;
        }).map(cell => cell.innerText)"""
        assert "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" in tab.locator(".bars th").all_text_contents()
        assert tab.evaluate(wide) == [], width
    assert said == []
    tab.close()


def test_without_a_script(browser: Any, office: Any, tmp_path: Path) -> None:
    """Without JavaScript the answer, counts, problems with reasons and frames, charts and captures are there."""
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(kept(office, tmp_path).as_uri())
    text = tab.inner_text("body")
    assert office.answer in text
    for row in office.findings.to_dict("records"):
        assert row["reason"] in text
        assert f"frames {row['sample_frames']}" in text
    assert tab.locator("#sankey").is_visible()
    assert office.captures["sha256"][0] in text
    assert "need JavaScript" in text
    context.close()


def test_nothing_judged_is_a_state_of_its_own(browser: Any, audit_bytes: Any, tmp_path: Path) -> None:
    """Where no rule was about anything, no verdict is counted, nothing is called free of problems, and the flows are shown."""
    result = audit_bytes(wire.pcap(wire.Talk().open().close().packets))
    tab, said = opened(browser, kept(result, tmp_path))
    assert tab.inner_text("#sentence") == result.answer
    assert tab.locator(".tile, .shares").count() == 0
    assert tab.inner_text("#problems") == "Problems nothing was judged"
    assert "No flow was judged; the diagram is of all 1." in tab.inner_text("main")
    assert tab.locator(".band").count() == 2
    assert tab.inner_text("#hits") == "1 flow"
    assert said == []
    tab.close()


def test_all_captures_are_listed(samples: Path) -> None:
    """Each capture is listed with its SHA-256 and its warnings, however many there are."""
    paths = sorted(samples.glob("*.pcapng"))
    result = auditor.audit(paths)
    text = html(result).decode()
    assert len(paths) > 6
    for row in result.captures.to_dict("records"):
        assert f'data-label="capture">{row["capture"]}' in text
        assert row["sha256"] in text


def test_hostile_names_in_a_browser(browser: Any, hostile: auditor.Audit, tmp_path: Path) -> None:
    """Names that are markup are shown as text: no element, link or script comes of them."""
    tab, said = opened(browser, kept(hostile, tmp_path))
    assert tab.locator("main script, main img, main b b, main i, main a:not([href^='#'])").count() == 0
    tab.fill("#search", "<script>")
    assert tab.inner_text("#hits").startswith("1 of ")
    assert "<script>alert(1)</script>" in tab.inner_text("#flows tbody")
    tab.fill("#search", "<img")
    assert r"</script><img\x20src=x\x20onerror=alert(1)>" in tab.inner_text("#flows tbody")
    assert said == []
    tab.close()


@pytest.mark.slow
def test_a_hundred_thousand_flows(browser: Any, tmp_path: Path) -> None:
    """All of a hundred thousand flows are in the page, which stays below six megabytes; a hundred rows are drawn at a time."""
    packet = wire.datagram(b"x", sport=1024)
    packets = [
        (
            1_700_000_000 * wire.SECOND + k * 1_000_000,
            packet[:26]
            + bytes((10, 0, k >> 8 & 7, k & 255))
            + packet[30:34]
            + (k % 64_000).to_bytes(2, "big")
            + packet[36:],
        )
        for k in range(100_000)
    ]
    path = tmp_path / "many.pcap"
    path.write_bytes(wire.pcap(packets))
    result = auditor.audit(path)
    assert len(result.flows) == 100_000
    assert len(html(result)) < 6_000_000
    tab, said = opened(browser, kept(result, tmp_path))
    assert tab.inner_text("#hits") == "100,000 flows"
    assert tab.locator("#flows tbody tr").count() == 100
    # a number of so many flows is long, and has its column all the same
    ends = "cell => [cell.firstElementChild, cell].map(one => one.getBoundingClientRect().right)"
    cells = tab.evaluate(f"[...document.querySelectorAll('#flows td[data-label=flow]')].map({ends})")
    assert all(text <= cell for text, cell in cells)
    tab.fill("#search", "10.0.7.255")
    some = (result.flows["client_ip"] == "10.0.7.255").sum()
    assert tab.inner_text("#hits") == f"{some:,} of 100,000 flows"
    assert said == []
    tab.close()


def test_a_server_is_kept_once(office: auditor.Audit) -> None:
    """Flows that are counted with their server have that text once in the page, and those of AWS their service."""
    flows = FlowColumns.of(office)
    columns = dict(page.flow_table.FlowTable(office, flows).columns())
    (named, codes), (servers, places) = columns["service"], columns["server"]
    meant = [named[code] if code >= 0 else servers[place] for code, place in zip(codes, places, strict=True)]
    assert sorted(meant) == sorted(flows.service.values[code] for code in flows.service.index)
    assert "pinpoint us-east-1" in named
    assert not set(named) & set(servers)


def test_more_flows_than_a_page_holds(office: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a page has not all flows, it has the worst, and says how many there are."""
    monkeypatch.setattr(page.flow_table, "MOST_FLOWS", 10)
    table = page.flow_table.FlowTable(office, FlowColumns.of(office))
    texts, codes = dict(table.columns())["verdict"]
    assert table.counts() == {"in_all": len(office.flows), "count": 10}
    assert [texts[code] for code in codes] == ["fail"] * 7 + ["warn"] * 3


def test_each_fold_has_one_mark(browser: Any, office: auditor.Audit, tmp_path: Path) -> None:
    """A facet that is open has its mark behind its name alone; problems and rules have theirs in front."""
    tab, said = opened(browser, kept(office, tmp_path))
    tab.click("#facet-version summary")
    facet = tab.locator("#facet-version > summary")
    assert facet.evaluate("one => getComputedStyle(one, '::before').content") == "none"
    assert "▾" in facet.evaluate("one => getComputedStyle(one, '::after').content")
    problem = tab.locator(".problem > summary").first
    problem.click()
    assert "▾" in problem.evaluate("one => getComputedStyle(one, '::before').content")
    assert said == []
    tab.close()
