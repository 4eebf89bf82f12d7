"use strict";
// The page is whole without this script but for the table of flows: it filters, sorts and copies. Whatever comes from the
// capture is put into the page as text, never as markup. What is chosen is in the address's fragment, so a link is a filter.
const SIGNS = { fail: "✕ fail", warn: "! warn", not_observable: "? not observable", pass: "✓ pass", not_applicable: "– not judged" };
const KINDS = { fail: "v0", warn: "v1", not_observable: "v2", pass: "v3", not_applicable: "v4" };
const HIDDEN = { suite: "Suite", finding: "Finding" }; // filters that links set, without a list to choose from
const COLUMNS = { flow_id: "flow", verdict: "verdict", started: "started (UTC)", client: "client", server: "server", path: "path", version: "version and suite", bytes: "bytes", findings: "findings" };
const STEP = 100; // rows that are shown at a time
const MOST_VALUES = 60; // of a facet that are listed
const MOST_DIGITS = 7; // of a flow's number that fit its column: of very many flows it needs more
const MOST_KEPT = 28; // letters that stay on one line
const $ = (id) => document.getElementById(id);
const whole = (number) => number.toLocaleString("en");

function element(name, text, kind) {
  const created = document.createElement(name);
  if (text !== undefined && text !== null) created.textContent = String(text);
  if (kind) created.className = kind;
  return created;
}

// Text of which lines end behind words, slashes, underscores and the labels of names: not at a hyphen, nor within an address of IPv4.
function kept(text, name = "span") {
  const made = element(name);
  for (const piece of text.split(/(?<=[ _])|(?<=\/)(?!\d)|(?<=\.)(?=[^\d\s][^\s.]*\.)/)) made.append(element("span", piece, piece.length <= MOST_KEPT ? "whole" : ""), element("wbr"));
  return made;
}

async function unpack(id) {
  const text = atob($(id).textContent), bytes = new Uint8Array(text.length);
  for (let k = 0; k < text.length; k++) bytes[k] = text.charCodeAt(k);
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
}

const size = (n) => (n < 1e3 ? `${n} B` : n < 1e6 ? `${(n / 1e3).toFixed(1)} kB` : n < 1e9 ? `${(n / 1e6).toFixed(1)} MB` : `${(n / 1e9).toFixed(1)} GB`);
const place = (address, port) => (address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`);
const time = (milliseconds) => new Date(milliseconds).toISOString().slice(0, 23).replace("T", " ");

class Flows {
  constructor(data) {
    this.columns = data.flows.columns;
    const [named, codes] = this.columns.service, [servers, server] = this.columns.server;
    // What is none of AWS's is counted with its server: that text is not kept twice.
    this.columns.service = [[...named, ...servers], codes.map((code, row) => (code < 0 ? named.length + server[row] : code))];
    this.count = data.flows.count;
    this.inAll = data.flows.in_all;
    this.facets = data.facets;
    this.state = new URLSearchParams();
    this.sorted = null;
    this.most = STEP;
  }

  get(name, row) {
    const column = this.columns[name];
    return Array.isArray(column[0]) ? column[0][column[1][row]] : column[row];
  }

  // For each row whether its text in a column is wanted: the few texts are looked at, not the many rows.
  matching(name, isWanted) {
    const [texts, codes] = this.columns[name];
    const wanted = texts.map((text) => text !== null && isWanted(text));
    return (row) => wanted[codes[row]];
  }

  filterOf(name) {
    const values = new Set(this.state.getAll(name));
    if (!values.size) return null;
    if (name === "finding") return this.matching("findings", (text) => text.split(" ").some((one) => values.has(one)));
    return this.matching(name, (text) => values.has(text));
  }

  filters() {
    const chosen = new Map();
    for (const name of [...Object.keys(this.facets), ...Object.keys(HIDDEN)]) {
      const filter = this.filterOf(name);
      if (filter) chosen.set(name, filter);
    }
    const words = (this.state.get("q") ?? "").toLowerCase().split(/\s+/).filter(Boolean);
    const texts = Object.keys(this.columns).filter((name) => Array.isArray(this.columns[name][0]));
    const ids = this.columns.flow_id;
    words.forEach((word, k) => {
      const any = texts.map((name) => this.matching(name, (text) => text.toLowerCase().includes(word)));
      chosen.set(`q${k}`, (row) => any.some((is) => is(row)) || ids[row].startsWith(word));
    });
    return chosen;
  }

  rows(filters, without) {
    const some = [...filters].filter(([name]) => name !== without).map(([, filter]) => filter);
    const rows = [];
    for (let row = 0; row < this.count; row++) if (some.every((is) => is(row))) rows.push(row);
    return rows;
  }

  // How many flows each value would leave, the other filters as they are.
  counts(name, filters, shown) {
    const rows = filters.has(name) ? this.rows(filters, name) : shown;
    const [texts, codes] = this.columns[name], counts = new Array(texts.length).fill(0);
    for (const row of rows) counts[codes[row]] += 1;
    const chosen = new Set(this.state.getAll(name));
    return texts.map((text, code) => [text, counts[code]])
      .filter(([text, count]) => text !== null && (count || chosen.has(text)))
      .sort((a, b) => chosen.has(b[0]) - chosen.has(a[0]) || b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  }

  order(rows) {
    if (!this.sorted) return rows;
    const [name, down] = this.sorted, column = this.columns[name];
    const values = Array.isArray(column[0]) ? column[1] : column; // texts are in their order already
    const turn = down ? -1 : 1;
    return rows.sort((a, b) => (values[a] < values[b] ? -turn : values[a] > values[b] ? turn : a - b));
  }

  go(state) {
    const text = state.toString();
    history.pushState(null, "", text ? `#${text}` : location.pathname + location.search);
    this.read();
  }

  toggle(name, value) {
    const state = new URLSearchParams(this.state), values = state.getAll(name);
    state.delete(name);
    for (const one of values.includes(value) ? values.filter((v) => v !== value) : [...values, value]) state.append(name, one);
    this.go(state);
  }

  read() {
    const text = location.hash.slice(1);
    if (text && !text.includes("=")) return false; // an anchor
    this.state = new URLSearchParams(text);
    this.most = STEP;
    if (document.activeElement !== $("search")) $("search").value = this.state.get("q") ?? "";
    this.draw();
    return Boolean(text);
  }

  draw() {
    const filters = this.filters(), rows = this.rows(filters);
    this.shown = this.order(rows.slice());
    this.drawFacets = () => { for (const [name, title] of Object.entries(this.facets)) this.drawFacet(name, title, filters, rows); };
    this.drawFacets();
    const chosen = [...this.state].filter(([name]) => name in this.facets || name in HIDDEN);
    for (const list of document.querySelectorAll(".chosen")) list.replaceChildren(...chosen.map(([name, value]) => this.chip(name, value)));
    $("clear").hidden = !filters.size;
    const worst = this.inAll > this.count ? `; the worst ${whole(this.count)} of ${whole(this.inAll)} are here, all are in flows.parquet` : "";
    const some = filters.size ? ` of ${whole(this.count)}` : "";
    $("hits").textContent = `${whole(this.shown.length)}${some} ${this.shown.length === 1 && !some ? "flow" : "flows"}${worst}`;
    const words = [...this.state].map(([name, value]) => `${this.facets[name] ?? HIDDEN[name] ?? "Search"}: ${value}`);
    $("printed").textContent = filters.size ? `${$("hits").textContent} (${words.join(", ")})` : "";
    this.problems.draw(this, filters, rows);
    this.drawRows();
  }

  chip(name, value) {
    const item = element("li"), button = element("button", `${this.facets[name] ?? HIDDEN[name]}: ${value} ×`);
    button.type = "button";
    button.title = "take this filter away";
    button.addEventListener("click", () => this.toggle(name, value));
    item.append(button);
    return item;
  }

  drawFacet(name, title, filters, rows) {
    const box = $(`facet-${name}`), list = box.lastElementChild, chosen = new Set(this.state.getAll(name));
    box.classList.toggle("on", chosen.size > 0);
    box.firstElementChild.textContent = chosen.size ? `${title} (${chosen.size})` : title;
    if (!box.open) return; // counted when it is
    const values = this.counts(name, filters, rows);
    const lines = values.slice(0, MOST_VALUES).map(([value, count]) => {
      const label = element("label"), check = element("input");
      check.type = "checkbox";
      check.checked = chosen.has(value);
      check.addEventListener("change", () => this.toggle(name, value));
      const kind = name === "verdict" ? `mark ${KINDS[value]}` : name === "severity" ? `mark s-${value}` : "";
      label.append(check, element("span", name === "verdict" ? SIGNS[value] ?? value : value, kind), element("span", whole(count), "count"));
      return label;
    });
    if (values.length > MOST_VALUES) lines.push(element("p", `and ${whole(values.length - MOST_VALUES)} more: the search finds them`, "note"));
    list.replaceChildren(...lines);
  }

  // The AWS service of a flow; of other servers it is their name again.
  service(row) {
    const service = this.get("service", row);
    return service === this.get("server", row) ? "" : `${service} · `;
  }

  cell(name, row) {
    const value = this.get(name, row), cell = element("td");
    cell.dataset.label = COLUMNS[name];
    if (name === "verdict") cell.append(element("span", SIGNS[value] ?? value, `mark ${KINDS[value]}`));
    else if (name === "started") {
      const [day, clock] = time(value).split(" ");
      cell.append(element("span", clock, "whole"), element("small", day, "whole"));
    }
    else if (name === "bytes") cell.append(element("span", size(value), "whole"));
    else if (name === "client") cell.append(element("span", value, value.includes(":") ? "" : "whole"), element("small", `port ${this.get("client_port", row)}`));
    else if (name === "server") cell.append(kept(value), kept(`${this.service(row)}${place(this.get("address", row), this.get("server_port", row))}`, "small"));
    else if (name === "version") cell.append(kept(value), kept(this.get("suite", row) ?? "", "small"));
    else if (name === "flow_id") cell.append(element("span", value, value.length > MOST_DIGITS ? "digits" : "whole"));
    else if (name === "findings") for (const one of value ? value.split(" ") : []) {
      const link = element("a", one, "code");
      link.href = `#f-${one}`;
      cell.append(link, " ");
    } else cell.append(kept(value ?? "·"));
    const span = element("span");
    span.append(...cell.childNodes);
    cell.replaceChildren(span);
    return cell;
  }

  drawRows() {
    const lines = this.shown.slice(0, this.most).map((row) => {
      const line = element("tr");
      line.append(...Object.keys(COLUMNS).map((name) => this.cell(name, row)));
      return line;
    });
    $("flows").tBodies[0].replaceChildren(...lines);
    $("more").hidden = this.shown.length <= this.most;
    $("more").textContent = `Show more (${whole(this.shown.length - this.most)} left)`;
  }

  build() {
    const head = element("tr");
    for (const [name, title] of Object.entries(COLUMNS)) {
      const cell = element("th"), button = element("button", title);
      cell.dataset.name = name;
      cell.dataset.title = title; // for paper, where a button in a head is not repeated on each page
      cell.scope = "col";
      button.type = "button";
      button.addEventListener("click", () => {
        this.sorted = [name, this.sorted?.[0] === name && !this.sorted[1]];
        for (const other of head.children) other.removeAttribute("aria-sort");
        cell.setAttribute("aria-sort", this.sorted[1] ? "descending" : "ascending");
        this.draw();
      });
      cell.append(button);
      head.append(cell);
    }
    $("flows").tHead.append(head);
    for (const name of Object.keys(this.facets)) {
      const box = element("details", null, "facet");
      box.id = `facet-${name}`;
      box.hidden = this.columns[name][0].every((text) => text === null); // there is nothing to choose from
      box.append(element("summary"), element("div"));
      box.addEventListener("toggle", () => { if (box.open) this.drawFacets(); });
      $("facets").append(box);
    }
    $("search").addEventListener("input", () => {
      const state = new URLSearchParams(this.state), text = $("search").value;
      if (text) state.set("q", text); else state.delete("q");
      history.replaceState(null, "", state.size ? `#${state}` : location.pathname + location.search);
      this.read();
    });
    $("more").addEventListener("click", () => { this.most += STEP; this.drawRows(); });
    for (const id of ["clear", "narrowed-clear"]) $(id).addEventListener("click", () => { $("search").value = ""; this.go(new URLSearchParams()); });
    addEventListener("popstate", () => this.read());
    // What is above the problems leads to those it leaves; what is behind them, and where none is left, to the flows.
    let aim = "flow-section";
    addEventListener("hashchange", () => { if (this.read()) $(this.problems.left ? aim : "flow-section").scrollIntoView(); });
    document.addEventListener("click", (event) => {
      aim = event.target.closest("#answer, #who") ? "problems" : "flow-section";
      for (const box of document.querySelectorAll(".facet[open]")) if (!box.contains(event.target)) box.open = false;
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape") for (const box of document.querySelectorAll(".facet[open]")) { box.open = false; box.firstElementChild.focus(); }
    });
    $("tools").hidden = $("flows").hidden = !this.count;
    if (!this.count) $("flows").before(element("p", "No flow was seen."));
  }
}

// The problems: those of which flows are chosen. Some are whole in the page; the others are listed, who does not meet what, and
// from there lead to their flows and findings.
class Problems {
  constructor(columns) {
    this.columns = columns;
    this.boxes = [...document.querySelectorAll("details.problem")];
    this.rules = [...document.querySelectorAll("details.rule")];
    this.count = this.boxes.length + columns.who.length;
    if (columns.who.length) $("further-more").addEventListener("click", () => this.list());
  }

  // Which problems have a flow among some rows; of those that are about no flow, by their own verdict and severity.
  draw(flows, filters, rows) {
    for (const box of this.rules) box.hidden = false;
    const is = filters.size ? this.wanted(flows, filters, rows) : () => true;
    for (const box of this.boxes) box.hidden = !is(box.dataset);
    const { severity, verdict, network, service } = this.columns;
    this.rows = this.columns.who.map((_, row) => row).filter((row) => is({ severity: severity[row], verdict: verdict[row], network: network[row] ?? undefined, service: service[row] }));
    this.left = this.boxes.filter((box) => !box.hidden).length + this.rows.length;
    const rest = $("finding-list").querySelector(".rest");
    if (rest) {
      const inside = [...rest.querySelectorAll(".problem")].filter((box) => !box.hidden).length;
      rest.hidden = !inside;
      rest.firstElementChild.textContent = `${whole(inside)} more`;
    }
    $("narrowed").hidden = !filters.size;
    $("narrowed-to").textContent = `${this.left ? whole(this.left) : "None"} of ${whole(this.count)} ${this.count === 1 ? "problem" : "problems"}`;
    $("narrowed-flows").textContent = `${whole(rows.length)} of ${whole(flows.count)} ${flows.count === 1 ? "flow" : "flows"}`;
    if (this.columns.who.length) {
      const further = $("further");
      further.hidden = !this.rows.length;
      further.open ||= this.rows.length === this.left && filters.size > 0; // there is nothing else to see
      further.firstElementChild.textContent = `${whole(this.rows.length)} more ${this.rows.length === 1 ? "pair" : "pairs"} of client network and service`;
      $("further-list").replaceChildren();
      this.drawn = 0;
      this.list();
    }
  }

  wanted(flows, filters, rows) {
    // By the numbers of texts: there are few of them, and many rows.
    const [texts, finding] = flows.columns.findings, [networks, network] = flows.columns.network, [services, service] = flows.columns.service;
    const used = new Set(), pairs = new Set();
    for (const row of rows) {
      if (texts[finding[row]] === null) continue;
      used.add(texts[finding[row]]);
      pairs.add(network[row] * services.length + service[row]);
    }
    const keys = new Set([...pairs].map((pair) => `${networks[Math.floor(pair / services.length)]} ${services[pair % services.length]}`));
    const rules = new Set([...used].flatMap((some) => some.split(" ")).map((one) => one.slice(0, one.lastIndexOf("-"))));
    for (const box of this.rules) box.hidden = !rules.has(box.id.slice("rule-".length));
    const own = [...filters.keys()].every((name) => name === "severity" || name === "verdict");
    const has = (name, value) => { const values = flows.state.getAll(name); return !values.length || values.includes(value); };
    return (one) => (one.network === undefined ? own && has("severity", one.severity) && has("verdict", one.verdict) : keys.has(`${one.network} ${one.service}`));
  }

  list() {
    const end = Math.min(this.drawn + STEP, this.rows.length);
    $("further-list").append(...this.rows.slice(this.drawn, end).map((row) => this.line(row)));
    this.drawn = end;
    const left = this.rows.length - end;
    $("further-more").hidden = !left;
    $("further-more").textContent = `Show more (${whole(left)} left)`;
    $("further-left").textContent = left ? `and ${whole(left)} more, which Audit.problems lists` : "";
  }

  line(row) {
    const { severity, verdict, network, service, who, what, flows, findings } = this.columns, line = element("p", null, "pair");
    const text = element("span", null, "text"), named = element("span", null, "names"), flow = element("span", null, "flows");
    const count = `${whole(flows[row])} ${flows[row] === 1 ? "flow" : "flows"}`;
    for (const one of findings[row].split(" ").filter(Boolean)) {
      const link = element("a", one, "code");
      link.href = `#f-${one}`;
      named.append(link, " ");
    }
    if (network[row] !== null) {
      const link = element("a", count);
      link.href = `#${new URLSearchParams([["network", network[row]], ["service", service[row]], ["verdict", "fail"], ["verdict", "warn"]])}`;
      flow.append(link);
    } else flow.append(count);
    text.append(kept(who[row], "b"), " ", element("span", what[row], "what"), " ", named);
    line.append(element("span", severity[row], `mark s-${severity[row]}`), element("span", SIGNS[verdict[row]], `mark ${KINDS[verdict[row]]}`), text, flow);
    return line;
  }
}

// Problems and rules are folded on a screen, open on paper and where a link leads into them.
function folding() {
  const boxes = () => document.querySelectorAll("details.problem, details.rule, details.rest");
  const target = () => {
    const aim = location.hash.includes("=") ? null : $(location.hash.slice(1));
    for (let box = aim?.closest("details"); box; box = box.parentElement.closest("details")) { box.open = true; box.hidden = false; }
    if (aim?.closest("details")) aim.scrollIntoView({ block: "center" });
  };
  let open = [];
  for (const box of boxes()) box.open = false;
  addEventListener("beforeprint", () => { open = [...boxes()].map((box) => box.open); for (const box of boxes()) box.open = true; });
  addEventListener("afterprint", () => { [...boxes()].forEach((box, k) => { box.open = open[k]; }); });
  addEventListener("hashchange", target);
  target();
}

function theme() {
  const root = document.documentElement, button = $("theme");
  let kept = null;
  try { kept = localStorage.getItem("audit-theme"); } catch { /* a browser may keep nothing of files */ }
  if (kept === "dark" || kept === "light") root.dataset.theme = kept;
  button.hidden = false;
  button.addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("audit-theme", root.dataset.theme); } catch { /* as above */ }
  });
}

function copying() {
  if (!navigator.clipboard) return;
  for (const button of document.querySelectorAll(".copy")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const said = button.textContent;
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "copied";
      setTimeout(() => { button.textContent = said; }, 1500);
    });
  }
}

(async () => {
  theme();
  folding();
  copying();
  const data = await unpack("data"), flows = new Flows(data);
  flows.problems = new Problems(data.problems);
  flows.build();
  if (!flows.read()) flows.draw();
  else $("flow-section").scrollIntoView();
  document.body.dataset.ready = "yes";
})();
