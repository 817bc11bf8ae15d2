(async () => {
  function draw({ title, charts }) {
    const grid = element("div", undefined, "charts");
    byId("sections").append(element("h2", title), grid);
    for (const chart of charts) {
      const figure = element("figure", undefined, chart.wide ? "wide" : "");
      const place = element("div");
      figure.append(element("figcaption", chart.title), place);
      grid.append(figure);
      drawChart(place, chart);
    }
  }

  const content = JSON.parse(await unpack("content"));
  document.head.append(element("script", await unpack("plotly")));
  content.sections.forEach(draw);
  document.body.dataset.ready = "yes";
})();
