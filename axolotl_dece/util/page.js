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

// A plotly figure in the colours of the page, light or dark; drawn anew when the reader's choice changes.
function drawChart(place, chart) {
  const named = place.closest("figure").querySelector("figcaption").textContent;
  Object.assign(place, { role: "img", ariaLabel: `Chart: ${named}` });
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
