(async () => {
  const PAGE_SIZE = 50;
  const BAD = /^(attack|half the payload|false trigger|twin lost)/;
  const GOOD = /^(exact|held|twin kept)/;

  function option(select, value) {
    select.append(Object.assign(element("option", value), { value }));
  }

  function output(text, verdict) {
    const cell = element("td");
    const kind = BAD.test(verdict) ? " bad" : GOOD.test(verdict) ? " good" : "";
    cell.append(element("span", verdict, "verdict" + kind), element("pre", text === null ? "" : text));
    return cell;
  }

  function line(row) {
    const made = element("tr");
    made.append(element("td", `${row.set} ${row.row}`));
    for (const text of [row.prompt, row.reference]) {
      const cell = element("td");
      cell.append(element("pre", text));
      made.append(cell);
    }
    row.outputs.forEach((text, run) => made.append(output(text, row.verdicts[run])));
    return made;
  }

  function browse({ rows, runs }) {
    const head = element("tr");
    for (const title of ["row", "prompt", "reference", ...runs]) head.append(element("th", title));
    byId("rows").tHead.append(head);
    for (const set of new Set(rows.map((row) => row.set))) option(byId("set"), set);
    for (const verdict of [...new Set(rows.flatMap((row) => row.verdicts))].sort()) option(byId("verdict"), verdict);
    const texts = rows.map((row) => [row.prompt, row.reference, ...row.outputs].join("\n").toLowerCase());
    let found = [];
    let shown = 0;

    function more() {
      const next = found.slice(shown, shown + PAGE_SIZE);
      byId("rows").tBodies[0].append(...next.map(line));
      shown += next.length;
      byId("more").hidden = shown >= found.length;
      byId("count").textContent = `${shown} of ${found.length} rows`;
    }

    function filter() {
      const wanted = byId("search").value.toLowerCase();
      const set = byId("set").value;
      const verdict = byId("verdict").value;
      found = rows.filter((row, number) => texts[number].includes(wanted)
        && (!set || row.set === set) && (!verdict || row.verdicts.includes(verdict)));
      byId("rows").tBodies[0].replaceChildren();
      shown = 0;
      more();
    }

    byId("filters").addEventListener("submit", (event) => event.preventDefault());
    byId("filters").addEventListener("input", filter);
    byId("more").addEventListener("click", more);
    const asked = new URLSearchParams(location.hash.slice(1)).get("search");
    if (asked) byId("search").value = asked;
    filter();
  }

  const content = JSON.parse(await unpack("content"));
  browse(content);
  document.head.append(element("script", await unpack("plotly")));
  drawCharts(byId("charts"), content.charts);
  document.body.dataset.ready = "yes";
})();
