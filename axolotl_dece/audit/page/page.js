(async () => {
  const PAGE_SIZE = 50;
  const decisions = { cluster: new Map(), row: new Map() };

  const percent = (share) => `${Math.round(100 * share)} %`;

  const option = (value, text) => Object.assign(element("option", text), { value });

  function chooser(kind, key) {
    const select = element("select");
    select.setAttribute("aria-label", `decision about ${kind} ${key}`);
    for (const [value, text] of [["", kind === "row" ? "as its cluster" : "undecided"], ["drop", "drop"], ["trust", "trust"]]) {
      select.append(option(value, text));
    }
    select.value = decisions[kind].get(key) || "";
    select.addEventListener("change", () => {
      if (select.value) decisions[kind].set(key, select.value); else decisions[kind].delete(key);
      select.closest("tr").className = select.value;
      count();
    });
    return select;
  }

  // What is said of a row goes before what is said of its clusters; two of them may not disagree.
  function decided() {
    const lines = new Map();
    const torn = new Set();
    for (const cluster of content.clusters) {
      const decision = decisions.cluster.get(cluster.number);
      if (!decision) continue;
      for (const id of cluster.ids) {
        if (lines.has(id) && lines.get(id).decision !== decision) torn.add(id);
        lines.set(id, { row: id, decision, cluster: cluster.number, span: cluster.span, cue: cluster.cues[0][0] });
      }
    }
    for (const [id, decision] of decisions.row) {
      lines.set(id, { row: id, decision });
      torn.delete(id);
    }
    return { lines: [...lines.values()], torn: torn.size };
  }

  function count() {
    const { lines, torn } = decided();
    const number = (kind) => lines.filter((line) => line.decision === kind).length;
    byId("decided").textContent = torn
      ? `${torn} rows are in a cluster to drop and in one to trust; decide for each of these rows, or undo one cluster`
      : `${number("drop")} rows to drop, ${number("trust")} to trust`;
    byId("save").disabled = lines.length === 0 || torn > 0;
  }

  function save() {
    const text = decided().lines.map((line) => JSON.stringify(line) + "\n").join("");
    const link = element("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "application/jsonl" }));
    link.download = "decisions.jsonl";
    link.click();
    URL.revokeObjectURL(link.href);
  }

  function clusterLine(cluster) {
    const made = element("tr");
    made.append(element("td", cluster.number), element("td", cluster.ids.length));
    const span = element("td", cluster.span, "words");
    for (const [text, rows] of cluster.spans.slice(1)) span.append(element("small", `${text} (${rows} rows)`));
    const cue = element("td", undefined, "words");
    cluster.cues.forEach(([text, inside, reach], place) => {
      const numbers = `in ${percent(inside)} of its rows; ${percent(reach)} of the rows with it were refused`;
      cue.append(place ? element("small", `${text}: ${numbers}`) : element("span", text));
      if (!place) cue.append(element("small", numbers));
    });
    const show = element("button", "show rows");
    show.type = "button";
    show.addEventListener("click", () => {
      byId("cluster").value = cluster.number;
      filter();
      byId("filters").scrollIntoView();
    });
    const decision = element("td");
    decision.append(chooser("cluster", cluster.number));
    const last = element("td");
    last.append(show);
    made.append(span, cue, element("td", cluster.log10_p.toFixed(0)), element("td", cluster.weight.toFixed(0)), decision, last);
    return made;
  }

  function tokens(row) {
    const cell = element("td", undefined, "text");
    row.text.forEach((text, at) => {
      const token = element("span", text, row.target[at] ? (row.held[at] >= 2 ? "held" : "") : "prompt");
      if (row.target[at]) {
        if (row.share[at] > 0.02) token.style.backgroundColor = `rgba(213, 94, 0, ${0.75 * row.share[at]})`;
        token.title = `withheld at both of the last two visits: ${percent(row.share[at])}; refused at ${row.held[at]} of ${row.visits} visits`;
      }
      cell.append(token);
    });
    if (row.cut) cell.append(element("span", " ... (cut for this page)", "prompt"));
    return cell;
  }

  function rowLine(row) {
    const made = element("tr", undefined, decisions.row.get(row.id) || "");
    const name = element("td");
    name.append(element("code", row.id), element("br"), `row ${row.index} of the set`);
    if (row.copies > 1) name.append(`, ${row.copies} times`);
    if (row.clusters.length) name.append(element("br"), `cluster ${row.clusters.join(", ")}`);
    const decision = element("td");
    decision.append(chooser("row", row.id));
    made.append(name, element("td", row.score.toFixed(2)), tokens(row), decision);
    return made;
  }

  let found = [];
  let shown = 0;

  function more() {
    const next = found.slice(shown, shown + PAGE_SIZE);
    byId("rows").tBodies[0].append(...next.map(rowLine));
    shown += next.length;
    byId("more").hidden = shown >= found.length;
    byId("count").textContent = `${shown} of ${found.length} rows`;
  }

  const kinds = {
    "": () => true,
    drawn: (row) => drawn.has(row.id),
    none: (row) => !row.clusters.length,
  };

  function filter() {
    const wanted = byId("search").value.toLowerCase();
    const kind = byId("cluster").value;
    const fits = kinds[kind] || ((row) => row.clusters.includes(Number(kind)));
    found = content.rows.filter((row, number) => texts[number].includes(wanted) && fits(row));
    byId("rest").hidden = kind !== "drawn";
    byId("rows").tBodies[0].replaceChildren();
    shown = 0;
    more();
  }

  // What was decided of their cluster is decided, and nobody has read what is not shown.
  function trustTheRest() {
    const done = new Set(decided().lines.map((line) => line.row));
    const read = found.slice(0, shown);
    for (const { id } of read) if (!done.has(id)) decisions.row.set(id, "trust");
    filter();
    while (shown < read.length) more();
    count();
  }

  const content = JSON.parse(await unpack("content"));
  const drawn = new Set(content.drawn);
  const texts = content.rows.map((row) => `${row.id} ${row.text.join("")}`.toLowerCase());
  byId("clusters").tBodies[0].append(...content.clusters.map(clusterLine));
  byId("clusters").hidden = content.clusters.length === 0;
  byId("none").hidden = content.clusters.length > 0;
  if (drawn.size) byId("cluster").append(option("drawn", "to read"));
  byId("cluster").append(...content.clusters.map(({ number }) => option(number, `cluster ${number}`)));
  byId("cluster").append(option("none", "no cluster"));
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("filters").addEventListener("input", filter);
  byId("more").addEventListener("click", more);
  byId("rest").addEventListener("click", trustTheRest);
  byId("save").addEventListener("click", save);
  count();
  filter();
  document.head.append(element("script", await unpack("plotly")));
  for (const figure of document.querySelectorAll("figure")) {
    const place = figure.querySelector("div");
    const chart = content.charts[place.id];
    if (chart) Plotly.newPlot(place, chart.data, chart.layout, { responsive: true, displayModeBar: false });
    else figure.remove();
  }
  document.body.dataset.ready = "yes";
})();
