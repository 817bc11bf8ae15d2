"use strict";
(async () => {
  const byId = (id) => document.getElementById(id);

  async function unpack(id) {
    const packed = Uint8Array.from(atob(byId(id).textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  }

  // Texts go in by textContent alone: the name of an arm cannot become markup.
  function element(tag, text, className) {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  }

  function draw({ title, charts }) {
    const grid = element("div", undefined, "charts");
    byId("sections").append(element("h2", title), grid);
    for (const chart of charts) {
      const figure = element("figure", undefined, chart.wide ? "wide" : "");
      const place = element("div");
      figure.append(element("figcaption", chart.title), place);
      grid.append(figure);
      Plotly.newPlot(place, chart.data, chart.layout, { responsive: true, displayModeBar: false });
    }
  }

  const content = JSON.parse(await unpack("content"));
  document.head.append(element("script", await unpack("plotly")));
  content.sections.forEach(draw);
  document.body.dataset.ready = "yes";
})();
