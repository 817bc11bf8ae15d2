(async () => {
  const content = JSON.parse(await unpack("content"));
  document.head.append(element("script", await unpack("plotly")));
  for (const { title, charts } of content.sections) {
    const section = element("div", undefined, "charts");
    byId("sections").append(element("h2", title), section);
    drawCharts(section, charts);
  }
  document.body.dataset.ready = "yes";
})();
