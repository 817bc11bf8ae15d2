"use strict";
// What the script of every page uses.
const byId = (id) => document.getElementById(id);

async function unpack(id) {
  const packed = Uint8Array.from(atob(byId(id).textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

// Texts go in by textContent alone: nothing that users or models wrote can become markup.
function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

// Figures of one section: each a chart with its numbers below. All are in place before the first is drawn, for it is as
// wide as it finds its place.
function drawCharts(section, charts) {
  const places = charts.map((chart) => {
    const [figure, place] = [element("figure", undefined, chart.wide ? "wide" : ""), element("div")];
    figure.append(element("figcaption", chart.title), place, numbersOf(chart));
    section.append(figure);
    return place;
  });
  charts.forEach((chart, at) => drawChart(places[at], chart));
}

// A plotly figure in the colours of the page, light or dark; drawn anew when the reader's choice changes.
function drawChart(place, chart) {
  Object.assign(place, { role: "img", ariaLabel: `Chart: ${chart.title}` });
  const draw = () => {
    const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const axes = Object.keys(chart.layout).filter((key) => /^[xy]axis/.test(key));
    const themed = axes.map((key) => [key, { ...chart.layout[key], gridcolor: colour("--line"), linecolor: colour("--line") }]);
    const back = { paper_bgcolor: colour("--back"), plot_bgcolor: colour("--back"), font: { color: colour("--ink") } };
    const layout = { ...chart.layout, ...Object.fromEntries(themed), ...back };
    Plotly.react(place, chart.data, layout, { responsive: true, displayModeBar: false });
  };
  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}

const asPlain = (text) => new DOMParser().parseFromString(text, "text/html").body.textContent; // names are escaped for plotly

// The numbers of a chart as head and rows: a column per line, or per axis where every point has a name of its own.
function tableOf({ data, layout }) {
  const say = (value, { tickformat, ticktext }) => {
    if (ticktext) return asPlain(ticktext[Math.round(value)]);
    if (value === null || value === undefined) return "";
    return tickformat ? `${(100 * value).toFixed(1)}\u00a0%` : String(Number(value.toPrecision(4)));
  };
  const title = (axis) => axis.title.text;
  const { xaxis, yaxis } = layout;
  const [along, across] = yaxis.ticktext ? ["y", "x"] : ["x", "y"];
  const withRange = (trace, name, at) => {
    const [value, bars] = [trace[name][at], trace[`error_${name}`]];
    const axis = layout[`${name}axis`];
    if (!bars || (!bars.array[at] && !bars.arrayminus[at])) return say(value, axis);
    return `${say(value, axis)} (${say(value - bars.arrayminus[at], axis)} to ${say(value + bars.array[at], axis)})`;
  };
  if (data.every((trace) => trace.mode === "markers" && trace.x.length === 1)) {
    const rows = data.map((trace) => [asPlain(trace.name), withRange(trace, "x", 0), withRange(trace, "y", 0)]);
    return { head: ["", title(xaxis), title(yaxis)], rows };
  }
  const rows = new Map();
  data.forEach((trace, column) => trace[along].forEach((place, at) => {
    const key = yaxis.ticktext ? Math.round(place) : place;
    if (!rows.has(key)) rows.set(key, data.map(() => []));
    rows.get(key)[column].push(withRange(trace, across, at));
  }));
  const axis = layout[`${along}axis`];
  const sorted = [...rows].sort(([one], [other]) => one - other);
  return {
    head: [title(axis), ...data.map((trace) => asPlain(trace.name))],
    rows: sorted.map(([key, cells]) => [say(key, axis), ...cells.map((values) => values.join(", "))]),
  };
}

// What a chart shows, for those who cannot see it; filled in when it is opened, for a chart may have many points.
function numbersOf(chart) {
  const details = element("details");
  const box = element("div", undefined, "scroll");
  Object.assign(box, { tabIndex: 0, role: "group", ariaLabel: `Numbers: ${chart.title}` });
  details.append(element("summary", "Numbers"), box);
  details.addEventListener("toggle", () => {
    if (!details.open || box.firstChild) return;
    const { head, rows } = tableOf(chart);
    const table = element("table");
    table.append(element("caption", chart.title));
    const line = (cells, tag) => {
      const made = element("tr");
      made.append(...cells.map((text, at) => {
        const cell = element(at === 0 && text ? "th" : tag, text);
        if (cell.tagName === "TH") cell.scope = tag === "th" ? "col" : "row";
        return cell;
      }));
      return made;
    };
    const [top, body] = [element("thead"), element("tbody")];
    top.append(line(head, "th"));
    body.append(...rows.map((cells) => line(cells, "td")));
    table.append(top, body);
    box.append(table);
  });
  return details;
}
