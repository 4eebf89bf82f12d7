"use strict";
// Everything from the capture is put into the page as text, never as markup.
const COLOURS = { fail: "#d55e00", warn: "#e69f00", not_observable: "#cc79a7", pass: "#009e73", not_applicable: "#8c959f" };
const SERIES = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#8c959f"];
const WORDS = { fail: "✕ fail", warn: "! warn", not_observable: "? not observable", pass: "✓ pass", not_applicable: "– not judged" };
const PAGE = 200;
const $ = (id) => document.getElementById(id);

function element(name, text, kind) {
  const created = document.createElement(name);
  if (text !== undefined && text !== null) created.textContent = String(text);
  if (kind) created.className = kind;
  return created;
}

async function unpack(id) {
  const bytes = Uint8Array.from(atob($(id).textContent.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

function table(headers, rows, numbers = []) {
  const result = element("table"), head = element("tr"), body = element("tbody");
  headers.forEach((name, k) => head.append(element("th", name, numbers.includes(k) ? "number" : "")));
  for (const row of rows) {
    const line = element("tr");
    row.forEach((value, k) => line.append(element("td", value ?? "·", numbers.includes(k) ? "number" : "")));
    body.append(line);
  }
  const top = element("thead");
  top.append(head);
  result.append(top, body);
  return result;
}

const percent = (part, whole) => (whole ? `${Math.round((1000 * part) / whole) / 10} %` : "–");
const size = (n) => (n < 1e3 ? `${n} B` : n < 1e6 ? `${(n / 1e3).toFixed(1)} kB` : n < 1e9 ? `${(n / 1e6).toFixed(1)} MB` : `${(n / 1e9).toFixed(1)} GB`);
const safe = (text) => String(text).replaceAll("<", "‹").replaceAll(">", "›").replaceAll("&", "＆"); // plotly reads some tags

function answer(data) {
  const a = data.answer;
  $("about").textContent = `${data.title} · policy ${data.policies.join(", ")} · AWS address ranges of ${data.ranges}` +
    (data.site ? ` · site ${data.site}` : " · no topology: paths are known only where frames show them");
  $("sentence").textContent = !a.flows ? "No traffic to AWS service endpoints was seen."
    : `${a.private_flows.toLocaleString("en")} of ${a.flows.toLocaleString("en")} flows to AWS (${percent(a.private_bytes, a.bytes)} of the bytes) took a private path` +
      (a.asymmetric_flows ? `, ${a.asymmetric_flows.toLocaleString("en")} of them in one direction only; ` : "; ") +
      `of ${a.unknown_flows.toLocaleString("en")} the path is unknown.`;
  const tiles = [["flows", data.counts.flows], ["to AWS endpoints", a.flows], ["TLS handshakes", data.counts.handshakes], ["findings", data.counts.findings]];
  for (const [name, count] of tiles) tile(name, count.toLocaleString("en"));
  for (const [name, count] of Object.entries(a.verdicts)) tile(WORDS[name], `${count.toLocaleString("en")} (${percent(count, a.flows)})`, name);
}

function tile(name, count, kind) {
  const box = element("div", null, "tile");
  box.append(element("b", count, kind), element("span", name));
  $("tiles").append(box);
}

function look() {
  const style = getComputedStyle(document.documentElement), ink = style.getPropertyValue("--ink").trim();
  return { font: { color: ink, size: 13 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: { l: 48, r: 16, t: 10, b: 40 },
    xaxis: { gridcolor: style.getPropertyValue("--line").trim() }, yaxis: { gridcolor: style.getPropertyValue("--line").trim() } };
}

function plots(data) {
  const options = { displaylogo: false, responsive: true, displayModeBar: false };
  if (data.paths.length) {
    const names = [], at = (layer, name) => {
      const key = `${layer}\u0000${name}`, known = names.indexOf(key);
      return known >= 0 ? known : names.push(key) - 1;
    };
    const link = { source: [], target: [], value: [], color: [] };
    for (const [client, path, service, verdict, flows] of data.paths) {
      for (const [one, two] of [[at(0, client), at(1, path)], [at(1, path), at(2, service)]]) {
        link.source.push(one); link.target.push(two); link.value.push(flows); link.color.push(COLOURS[verdict] + "99");
      }
    }
    const label = names.map((name) => safe(name.split("\u0000")[1]));
    Plotly.react("sankey", [{ type: "sankey", orientation: "h", node: { label, pad: 14, thickness: 14, color: "#8c959f" }, link }], { ...look(), margin: { l: 8, r: 8, t: 10, b: 10 } }, options);
  } else $("sankey").replaceChildren(element("p", "No traffic to AWS service endpoints."));
  const series = Object.entries(data.versions.series);
  if (series.length) Plotly.react("versions", series.map(([name, y], k) => ({ type: "bar", name: safe(name), x: data.versions.times, y, marker: { color: SERIES[k % SERIES.length] } })), { ...look(), barmode: "stack", legend: { orientation: "h" } }, options);
  else $("versions").replaceChildren(element("p", "No handshake was negotiated."));
  const kinds = Object.entries(data.post_quantum);
  if (kinds.length) Plotly.react("quantum", [{ type: "bar", orientation: "h", y: kinds.map(([name]) => safe(name)), x: kinds.map(([, n]) => n), marker: { color: SERIES } }], { ...look(), margin: { l: 90, r: 16, t: 10, b: 40 } }, options);
  else $("quantum").replaceChildren(element("p", "No handshake was seen."));
}

function findings(data) {
  $("findings").textContent = `Findings (${data.counts.findings})`;
  if (!data.findings.length) $("finding-list").append(element("p", "None.", "pass"));
  for (const row of data.findings) {
    const box = element("details"), top = element("summary"), list = element("dl");
    top.append(element("span", `${row.severity} · ${WORDS[row.verdict]} · `, `mark ${row.severity}`), element("b", `${row.finding_id} `), `${row.about}: ${row.title} (${row.flows} flows)`);
    const facts = [["Reason", row.reason], ["Why", row.why], ["How to fix", row.mend], ...row.ways, ["Source", row.source], ["Flows", `${row.flows} of ${row.clients} clients; examples: ${row.sample_flows}`], ["Servers", `${row.servers}: ${row.sample_servers}`],
      ["Seen", `${row.first_seen} to ${row.last_seen}`], ["Frames", `${row.sample_frames} in ${row.capture}`]];
    for (const [name, text] of facts) if (text) list.append(element("dt", name), element("dd", text));
    const filter = element("dd");
    filter.append(element("code", row.filter));
    list.append(element("dt", "Wireshark"), filter);
    box.append(top, list);
    $("finding-list").append(box);
  }
}

function flows(data) {
  const count = data.flows.flow_id.length, columns = data.columns, get = {};
  for (const name of columns) {
    const column = data.flows[name];
    get[name] = Array.isArray(column[0]) ? (k) => column[0][column[1][k]] : (k) => column[k];
  }
  const every = Array.from({ length: count }, (_, k) => k);
  const texts = every.map((k) => columns.map((name) => get[name](k) ?? "").join(" ").toLowerCase());
  let shown = every, most = PAGE, sorted = null;
  const head = element("tr");
  for (const name of columns) {
    const cell = element("th"), button = element("button", name.replaceAll("_", " "));
    button.type = "button";
    button.addEventListener("click", () => {
      const down = sorted === name;
      sorted = down ? null : name;
      const compare = (a, b) => { const x = get[name](a) ?? "", y = get[name](b) ?? ""; return x < y ? -1 : x > y ? 1 : a - b; };
      shown = [...shown].sort((a, b) => (down ? compare(b, a) : compare(a, b)));
      draw();
    });
    cell.append(button);
    head.append(cell);
  }
  $("flows").tHead.append(head);
  const draw = () => {
    const lines = shown.slice(0, most).map((k) => {
      const line = element("tr");
      for (const name of columns) {
        const value = get[name](k), cell = element("td", name === "verdict" ? WORDS[value] : name === "bytes" ? size(value) : value ?? "·", name === "verdict" ? value : "");
        if (typeof value === "string") cell.title = value;
        line.append(cell);
      }
      return line;
    });
    $("flows").tBodies[0].replaceChildren(...lines);
    const all = data.flows_in_all > count ? `; the worst ${count.toLocaleString("en")} of ${data.flows_in_all.toLocaleString("en")} are here, all are in flows.parquet` : "";
    $("hits").textContent = `${shown.length.toLocaleString("en")} flows${all}`;
    $("more").hidden = shown.length <= most;
  };
  $("search").addEventListener("input", () => {
    const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    shown = every.filter((k) => words.every((word) => texts[k].includes(word)));
    most = PAGE;
    draw();
  });
  $("more").addEventListener("click", () => { most += PAGE; draw(); });
  draw();
}

function rest(data) {
  const unseen = Object.entries(data.not_observable).flatMap(([rule, some]) => some.map((one) => [rule, one.flows, one.reason]));
  $("unseen").append(unseen.length ? table(["rule", "flows", "why"], unseen, [1]) : element("p", "Nothing."));
  const trips = data.round_trips.map((row) => [row.path, row.flows, row.p5_ms, row.p50_ms, row.p95_ms, row.p99_ms]);
  $("trips").append(trips.length ? table(["path", "flows", "5 % (ms)", "median", "95 %", "99 %"], trips, [1, 2, 3, 4, 5]) : element("p", "None was seen."));
  $("inputs").append(table(["capture", "bytes", "SHA-256"], data.inputs.map((one) => [one.name, one.bytes, one.sha256]), [1]));
  $("inputs").append(element("p", Object.entries(data.versions_used).map((pair) => pair.join(" ")).join(", ")));
  for (const note of data.notes) $("inputs").append(element("p", note));
}

(async () => {
  const data = JSON.parse(await unpack("data"));
  answer(data);
  findings(data);
  rest(data);
  flows(data);
  const code = new Blob([await unpack("plotly")], { type: "text/javascript" }), script = element("script");
  script.src = URL.createObjectURL(code);
  script.onload = () => { plots(data); document.body.dataset.ready = "yes"; };
  document.head.append(script);
  $("theme").addEventListener("click", () => {
    const root = document.documentElement, dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    plots(data);
  });
})();
