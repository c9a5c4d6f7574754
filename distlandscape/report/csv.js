// A figure's own data as CSV: one row a point, whatever the figure.
function csvOf(plot) {
  "use strict";
  const bare = (text) => String(text).replace(/<br>/g, ", ").replace(/<[^>]*>/g, "").trim();
  const axisTitle = (name) => {
    const axis = plot.layout[name.replace(/^([xy])/, "$1axis")] || {};
    return axis.title ? bare(axis.title.text) : "";
  };
  const heading = (x, y) => {
    const refs = [x + " domain", y + " domain"];
    const found = plot.layout.annotations.find((note) => note.xref === refs[0] && note.yref === refs[1]);
    return found ? bare(found.text) : "";
  };
  const at = (values, index) => (Array.isArray(values) ? values[index] : undefined);
  const rows = [];

  function addGrid(trace, place) {
    const meta = trace.meta || trace; // the centres of cells that are drawn by their edges
    const value = bare(trace.colorbar.title.text);
    trace.z.forEach((line, i) => line.forEach((z, j) =>
      rows.push({ ...place, series: value, x: meta.x[j], y: meta.y[i], value: z })));
  }

  function addPoints(trace, place) {
    // Numbers beside the points are what x stands for on an axis of steps; words are names of the points.
    const beside = trace.customdata || [];
    const steps = typeof beside[0] === "number";
    const bars = trace.error_y || trace.error_x || {};
    trace.x.forEach((x, i) => {
      if (x === null || trace.y[i] === null) return;
      const up = at(bars.array, i);
      rows.push({
        ...place,
        series: bare(trace.meta || trace.name || trace.legendgroup || ""),
        point: typeof beside[i] === "string" ? beside[i] : undefined,
        x: steps ? beside[i] : x,
        y: trace.y[i],
        error_minus: bars.arrayminus ? at(bars.arrayminus, i) : up,
        error_plus: up,
      });
    });
  }

  for (const trace of plot.data) {
    if (trace.hoverinfo === "skip" && !trace.meta) continue; // guides of the eye
    const [x, y] = [trace.xaxis || "x", trace.yaxis || "y"];
    const place = { panel: heading(x, y), x_axis: axisTitle(x), y_axis: axisTitle(y) };
    (trace.type === "heatmap" ? addGrid : addPoints)(trace, place);
  }

  const names = ["panel", "series", "point", "x_axis", "x", "y_axis", "y", "error_minus", "error_plus", "value"];
  const kept = names.filter((name) => rows.some((row) => row[name] !== undefined && row[name] !== ""));
  const cell = (value) => {
    if (value === undefined || value === null) return "";
    const text = String(value);
    return /[",\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
  };
  return [kept, ...rows.map((row) => kept.map((name) => row[name]))]
    .map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

function saveCsv(plot, name) {
  "use strict";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csvOf(plot)], { type: "text/csv;charset=utf-8" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
