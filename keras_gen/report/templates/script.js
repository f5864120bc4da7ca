"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const content = (id) => (byId(id) ? JSON.parse(byId(id).textContent) : []);
  // The state of the page is in its address: a reload, or a link to it, shows the same.
  const state = new URLSearchParams(location.hash.slice(1));
  let touched = 0;
  const keep = (name, value) => {
    if (value === null) state.delete(name);
    else state.set(name, value);
    history.replaceState(null, "", "#" + state);
  };

  // The film.
  const frames = content("frames");
  const slider = byId("slider"), play = byId("play");
  let playing = null;
  const show = (i) => {
    const [epoch, address] = frames[i];
    slider.value = i;
    byId("frame").src = address;
    byId("frame").alt = `Samples after epoch ${epoch}, always of the same z`;
    byId("epoch").textContent = epoch;
    slider.setAttribute("aria-valuetext", `epoch ${epoch}`);
  };
  // The newest frame is followed: it is not kept.
  const move = (i) => {
    show(i);
    keep("epoch", i === frames.length - 1 ? null : frames[i][0]);
  };
  const stop = () => {
    clearInterval(playing);
    playing = null;
    play.textContent = "▶";
    play.setAttribute("aria-label", "Play the film");
  };
  if (frames.length) {
    const kept = frames.findLastIndex(([epoch]) => epoch <= Number(state.get("epoch")));
    show(state.has("epoch") && kept >= 0 ? kept : frames.length - 1);
    slider.addEventListener("input", () => { stop(); touched = Date.now(); move(Number(slider.value)); });
    play.addEventListener("click", () => {
      if (playing) return stop();
      play.textContent = "⏸";
      play.setAttribute("aria-label", "Stop the film");
      let i = Number(slider.value) === frames.length - 1 ? -1 : Number(slider.value);
      playing = setInterval(() => {
        move(++i);
        if (i === frames.length - 1) stop();
      }, 250);
    });
  }

  // The curves.
  const panels = content("panels");
  const plots = [...document.querySelectorAll(".plot")];
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const coarse = matchMedia("(pointer: coarse)").matches;
  const layout = (panel, zoom) => ({
    margin: { l: 52, r: 8, t: 8, b: 36 },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: colour("soft"), size: 12 },
    hoverlabel: { bgcolor: colour("card"), font: { color: colour("ink") } },
    hovermode: "x unified",
    dragmode: coarse ? false : "zoom",  // A finger scrolls the page; the buttons zoom.
    showlegend: panel.lines.length > 1,
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
    xaxis: { title: { text: "epoch", standoff: 4 }, range: zoom.slice(0, 2), gridcolor: colour("line"), zeroline: false },
    yaxis: { range: zoom.slice(2), gridcolor: colour("line"), zeroline: false },
    annotations: (panel.marks || []).map(([y, text]) => ({
      text, xref: "paper", x: 1, xanchor: "right", y, yanchor: "bottom", showarrow: false,
      font: { size: 11, color: colour("soft") },
    })),
    shapes: (panel.marks || []).map(([y]) => ({
      type: "line", xref: "paper", x0: 0, x1: 1, y0: y, y1: y,
      line: { color: colour("soft"), width: 1, dash: "dash" },
    })),
  });
  const whole = (panel) => {
    const last = Math.max(...panel.lines.flatMap((line) => line.x));
    const first = Math.min(...panel.lines.flatMap((line) => line.x));
    const margin = Math.max(0.5, (last - first) * 0.02);
    return [first - margin, last + margin, ...panel.range];
  };
  const zoomOf = (i) => {
    const kept = (state.get(`zoom${i}`) || "").split(",").map(Number);
    return kept.length === 4 && kept.every(Number.isFinite) ? kept : whole(panels[i]);
  };
  const names = ["one", "two", "three", "four", "five", "six"];
  // Of several runs each has its own colour, in all panels.
  const labels = [...new Set(panels.flatMap((panel) => panel.lines.map((line) => line.label)))];
  const several = document.querySelector(".sortable") !== null;
  const draw = () => plots.forEach((plot, i) => {
    const panel = panels[i];
    const lines = panel.lines.map((line, j) => [line, several ? labels.indexOf(line.label) : j]).map(([line, k]) => ({
      x: line.x, y: line.y, name: line.label, connectgaps: true,
      mode: line.y.filter((y) => y !== null).length <= 30 ? "lines+markers" : "lines",
      marker: { size: 4 },
      line: { color: colour(names[k % 6]), width: 1.8, dash: k < 6 ? "solid" : "dash" },
    }));
    Plotly.react(plot, lines, layout(panel, zoomOf(i)), { responsive: true, displayModeBar: false });
  });
  const rounded = (values) => values.map((value) => Number(value.toPrecision(6))).join(",");
  if (plots.length && window.Plotly) {
    draw();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    plots.forEach((plot, i) => plot.on("plotly_relayout", (change) => {
      if (change["xaxis.autorange"] || change["yaxis.autorange"]) {
        keep(`zoom${i}`, null);
        draw();
      } else if (Object.keys(change).some((key) => key.includes("axis.range["))) {
        touched = Date.now();
        keep(`zoom${i}`, rounded([...plot.layout.xaxis.range, ...plot.layout.yaxis.range]));
      }
    }));
    document.querySelectorAll("[data-share]").forEach((button) => button.addEventListener("click", () => {
      const share = Number(button.dataset.share);
      touched = Date.now();
      panels.forEach((panel, i) => {
        const all = whole(panel);
        if (share === 1) return keep(`zoom${i}`, null);
        const from = all[1] - (all[1] - all[0]) / share;
        const seen = panel.lines.flatMap((line) => line.y.filter((y, k) => y !== null && line.x[k] >= from));
        if (!seen.length) return;
        const low = Math.min(...seen), high = Math.max(...seen);
        const margin = 0.08 * (high - low) || 0.1 * Math.abs(high) || 1;
        keep(`zoom${i}`, rounded([from, all[1], low - margin, high + margin]));
      });
      draw();
    }));
  }

  // What is open stays open.
  document.querySelectorAll("details[id]").forEach((details) => {
    details.open = state.has(details.id);
    details.addEventListener("toggle", () => keep(details.id, details.open ? "open" : null));
  });
  addEventListener("beforeprint", () => document.querySelectorAll("details[id]").forEach((d) => { d.open = true; }));

  // Tables that are sorted by the heading of a column.
  document.querySelectorAll("th[data-sort]").forEach((heading) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const before = heading.getAttribute("aria-sort");
      const sign = before ? (before === "ascending" ? -1 : 1) : Number(heading.dataset.sort);
      heading.parentNode.querySelectorAll("th").forEach((th) => th.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const body = heading.closest("table").tBodies[0];
      const value = (row) => row.cells[heading.cellIndex].dataset.value;
      const rows = [...body.rows].sort((a, b) => {
        if (value(a) === "" || value(b) === "") return (value(a) === "") - (value(b) === "");
        return sign * (value(a) - value(b));
      });
      body.append(...rows);
    });
  });

  // A run that is training writes the page again, and the page loads itself.
  const page = byId("page"), every = page && Number(page.dataset.reload);
  if (every) {
    const silence = Date.now() / 1000 - Number(page.dataset.written);
    if (silence > Math.max(120, 5 * every)) {
      byId("news").hidden = byId("resume").hidden = false;
      byId("news").querySelector("span").textContent = `${Math.round(silence / 60)} minutes`;
    }
    const again = () => {
      // Not under the reader's hand.
      if (playing || Date.now() - touched < 3000) setTimeout(again, 1000);
      else location.reload();
    };
    setTimeout(again, 1000 * (silence > 600 ? 60 : every));
  }
})();
