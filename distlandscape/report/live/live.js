// Fills the page of a run that is still going, every few seconds. Whatever the run holds is put in as text.
(function () {
  "use strict";
  const VISIBLE_MS = 3000;
  const HIDDEN_MS = 30000;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const touch = window.matchMedia("(pointer: coarse)").matches;
  const byId = (id) => document.getElementById(id);
  const shown = new Map(); // what each part shows now, to leave alone what has not changed
  let state = null;
  let failures = 0;
  let timer = 0;

  function changed(part, value) {
    const text = JSON.stringify(value);
    if (shown.get(part) === text) return false;
    shown.set(part, text);
    return true;
  }

  function element(name, text, className) {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  }

  function row(cells, kind) {
    const made = element("tr");
    for (const cell of cells) made.append(cell instanceof Node ? cell : element(kind, cell));
    return made;
  }

  function table(title, head, rows, className) {
    const made = element("table", undefined, className);
    if (title) made.append(element("caption", title));
    const top = element("thead");
    top.append(row(head, "th"));
    const body = element("tbody");
    for (const cells of rows) body.append(row(cells, "td"));
    made.append(top, body);
    const frame = element("div", undefined, "scroll");
    frame.append(made);
    return frame;
  }

  function verdict(converged) {
    const cell = element("td");
    cell.append(converged ? "yes" : element("span", "no", "no"));
    return cell;
  }

  function section(id, title, items) {
    if (!changed(id, items)) return;
    byId(id).replaceChildren(...(items.length ? [element("h2", title)] : []));
    return items.length ? byId(id) : undefined;
  }

  function tables() {
    if (changed("pairs", state.pairs)) {
      const wide = (name, text) => element(name, text, "wide");
      const head = () => ["rank", "Ritz value", "bound", wide("th", "relative"), "converged"];
      const made = state.pairs.map((end) =>
        table(end.title, head(), end.rows.map((cells) => [...cells.slice(0, 3), wide("td", cells[3]), verdict(cells[4])])));
      byId("pairs").replaceChildren(...made);
    }
    section("tables", "So far", state.tables)?.append(...state.tables.map((t) => table(t.title, t.head, t.rows)));
    section("stages", "Finished stages", state.stages)
      ?.append(table("", ["stage", "time", "found"], state.stages, "text"));
    section("faults", "Faults the run went through", state.faults)
      ?.append(table("", ["at", "what happened"], state.faults, "text"));
  }

  function figures() {
    const theme = dark.matches ? state.themes.dark : state.themes.light;
    const coloured = (key, value) => (typeof value === "string" && value[0] === "@" ? theme[value.slice(1)] : value);
    const wanted = new Set(state.figures.map((figure) => figure.name));
    for (const old of byId("figures").querySelectorAll("figure")) {
      if (!wanted.has(old.id)) {
        window.Plotly.purge(old.querySelector(".plot"));
        shown.delete(old.id);
        old.remove();
      }
    }
    for (const figure of state.figures) {
      let place = byId(figure.name);
      if (!place) {
        place = element("figure");
        place.id = figure.name;
        const caption = element("figcaption");
        caption.append(element("p", figure.caption[0]), element("p", figure.caption[1], "muted"));
        const plot = element("div", undefined, "plot");
        plot.setAttribute("role", "img");
        plot.setAttribute("aria-label", figure.caption[0]);
        place.append(element("h2", figure.title), plot, caption);
      }
      byId("figures").append(place);
      if (!changed(figure.name, [figure, dark.matches])) continue;
      place.querySelector("h2").textContent = figure.title;
      const drawn = JSON.parse(JSON.stringify(figure.plot), coloured);
      drawn.layout.dragmode = touch ? false : "zoom"; // a finger on a figure should scroll the page
      drawn.layout.uirevision = figure.name; // new values keep the part that was enlarged
      window.Plotly.react(place.querySelector(".plot"), drawn.data, drawn.layout, {
        displaylogo: false,
        responsive: true,
        displayModeBar: touch ? false : "hover",
        modeBarButtons: [["toImage", "resetScale2d"]],
      });
    }
  }

  function draw() {
    const theme = dark.matches ? state.themes.dark : state.themes.light;
    for (const [role, colour] of Object.entries(theme)) document.documentElement.style.setProperty(`--${role}`, colour);
    byId("subject").textContent = state.subject;
    byId("headline").textContent = state.headline;
    byId("share").hidden = state.share === null;
    if (state.share !== null) byId("share").value = state.share;
    byId("ended").hidden = !state.report;
    if (changed("facts", state.facts)) {
      byId("facts").replaceChildren(...state.facts.flatMap(([name, text]) => [element("dt", name), element("dd", text)]));
    }
    tables();
    figures();
  }

  function silence(text) {
    byId("silence").hidden = !text;
    byId("silence").textContent = text;
  }

  async function look() {
    clearTimeout(timer);
    try {
      const answer = await fetch("state", { cache: "no-store" });
      if (!answer.ok) throw new Error(await answer.text());
      state = await answer.json();
      failures = 0;
      silence("");
      draw();
    } catch (error) {
      failures += 1;
      const gone = error instanceof TypeError;
      silence(gone ? "Nothing answers: the command that serves this page has ended, or the machine is asleep."
        : String(error.message || error));
    }
    const wait = document.hidden ? HIDDEN_MS : Math.min(HIDDEN_MS, VISIBLE_MS * 2 ** Math.min(failures, 4));
    clearTimeout(timer);
    timer = setTimeout(look, wait);
  }

  dark.addEventListener("change", () => state && draw());
  document.addEventListener("visibilitychange", () => document.hidden || look());
  look();
})();
