(async function () {
  "use strict";
  const themes = JSON.parse(document.getElementById("themes").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const touch = window.matchMedia("(pointer: coarse)").matches;
  const sources = Array.from(document.querySelectorAll("script[data-figure]"));
  const figureOf = (source) => document.getElementById(source.dataset.figure);

  for (const source of sources) {
    const button = figureOf(source).querySelector(".download button");
    button.hidden = false;
    button.addEventListener("click", () =>
      saveCsv(JSON.parse(source.textContent), document.title + "-" + source.dataset.figure + ".csv"));
  }

  // On paper nothing can be unfolded. Browsers that do not unfold by the style sheet do it here.
  let folded = [];
  window.addEventListener("beforeprint", () => {
    folded = Array.from(document.querySelectorAll("details:not([open])"));
    for (const one of folded) one.open = true;
  });
  window.addEventListener("afterprint", () => {
    for (const one of folded) one.open = false;
  });

  async function loadPlotly() {
    const packed = document.getElementById("plotly");
    const bytes = Uint8Array.from(atob(packed.textContent), (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    packed.remove();
    document.head.append(script);
  }

  async function draw(source) {
    const theme = dark.matches ? themes.dark : themes.light;
    const coloured = (key, value) => (typeof value === "string" && value[0] === "@" ? theme[value.slice(1)] : value);
    const plot = JSON.parse(source.textContent, coloured);
    // A finger on a figure should scroll the page.
    plot.layout.dragmode = touch ? false : "zoom";
    const place = figureOf(source).querySelector(".plot");
    plot.data.forEach((trace) => fitNumbers(trace, place.clientWidth));
    await window.Plotly.react(place, plot.data, plot.layout, {
      displaylogo: false,
      responsive: true,
      displayModeBar: touch ? false : "hover",
      modeBarButtons: [["toImage", "resetScale2d"]],
      toImageButtonOptions: { filename: document.title + "-" + source.dataset.figure, scale: 2 },
    });
    await makeRoom(place, plot.layout.height);
  }

  // Numbers in the cells of a picture shrink with it, and go where nobody could read them.
  function fitNumbers(trace, width) {
    if (!trace.texttemplate) return;
    const size = Math.floor((width - 145) / trace.x.length / 3); // beside it stand labels and a scale
    if (size < 7) delete trace.texttemplate;
    else trace.textfont = { size: Math.min(size, 10) };
  }

  // The legend goes below the axis, and has as many rows as the screen is narrow: the figure grows by them.
  async function makeRoom(place, height) {
    const legend = place.querySelector(".legend");
    if (!legend) return;
    const size = place._fullLayout._size;
    const bottom = place.getBoundingClientRect().top + size.t + size.h;
    const labels = Array.from(place.querySelectorAll("[class^=x][class$=tick], [class^=g-x]"), (one) => one.getBoundingClientRect().bottom);
    const below = Math.max(0, ...labels.map((one) => one - bottom)) + 10;
    const rows = legend.getBoundingClientRect().height;
    const whole = height + Math.max(0, rows - 40);
    const inner = whole - size.t - below - rows;
    await window.Plotly.relayout(place, { height: whole, "legend.y": -below / inner });
  }

  if (!sources.length || !window.DecompressionStream) return; // without it the images stay
  await loadPlotly();
  // Figures are drawn as they come near, in room kept for them.
  const drawn = [];
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((one) => one.isIntersecting)) {
      const source = sources.find((one) => figureOf(one) === entry.target);
      near.unobserve(entry.target);
      drawn.push(source);
      draw(source);
    }
  }, { rootMargin: "800px" });
  for (const source of sources) {
    const figure = figureOf(source);
    figure.querySelector(".plot").style.minHeight = JSON.parse(source.textContent).layout.height + "px";
    figure.classList.add("live");
    near.observe(figure);
  }
  dark.addEventListener("change", () => drawn.forEach(draw));
})();
