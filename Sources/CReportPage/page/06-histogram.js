// Histograms as SVG: the bars of one tensor, the curves of several components.

// Round marks between two ends.
function ticks(lower, upper, wanted) {
  const span = upper - lower;
  if (!(span > 0)) return [lower];
  const rough = span / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const marks = [];
  for (let mark = Math.ceil(lower / step) * step; mark <= upper + step * 1e-9; mark += step) {
    marks.push(Math.abs(mark) < step * 1e-9 ? 0 : mark);
  }
  return marks;
}

// A small outline of a histogram, for a row of the table.
function sparkline(histogram) {
  const { counts } = histogram;
  const highest = Math.max(...counts, 1);
  const step = 88 / counts.length;
  let path = "M0 20";
  counts.forEach((value, index) => {
    const y = (20 - (18 * value) / highest).toFixed(1);
    path += `L${(index * step).toFixed(1)} ${y}L${((index + 1) * step).toFixed(1)} ${y}`;
  });
  return svg("svg", { class: "sparkline", viewBox: "0 0 88 20", "aria-hidden": "true" },
    svg("path", { d: path + "L88 20Z" }));
}

// A chart with axes: `draw` gets the plot's size and a function from value to x.
function chart(label, { lower, upper, width = 640, height = 260 }, draw) {
  const [left, right, top, bottom] = [14, 14, 12, 26];
  const inner = width - left - right;
  const depth = height - top - bottom;
  const x = (value) => left + ((value - lower) / (upper - lower)) * inner;
  return svg("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label },
    ticks(lower, upper, width / 100).map((mark) => [
      svg("line", { class: "grid", x1: x(mark), x2: x(mark), y1: top, y2: top + depth }),
      svg("text", { class: "tick", x: x(mark), y: height - 8, "text-anchor": "middle" }, real(mark)),
    ]),
    svg("line", { class: "axis", x1: left, x2: width - right, y1: top + depth, y2: top + depth }),
    draw({ x, top, bottom: top + depth, depth }));
}

// The histogram of one tensor.
function tensorHistogram(tensor, isLogarithmic) {
  const { histogram } = tensor;
  const { lower, upper, counts, below, above } = histogram;
  const total = sum(counts, (value) => value) + below + above;
  const height = (value) => (isLogarithmic ? Math.log10(1 + value) : value);
  const highest = Math.max(...counts.map(height), 1e-9);
  const step = (upper - lower) / counts.length;
  const figure = chart(`Histogram of ${tensor.name}`,
    { lower, upper, width: Math.min(680, Math.max(260, innerWidth - 56)) }, ({ x, bottom, depth }) => [
    counts.map((value, index) => {
      const from = x(lower + index * step);
      const to = x(lower + (index + 1) * step);
      const size = value > 0 ? Math.max(1, (depth * height(value)) / highest) : 0;
      return svg("rect", {
        class: "bin", x: from + 0.3, width: Math.max(0.5, to - from - 0.6), y: bottom - size,
        height: size,
      }, svg("title", {}, `${real(lower + index * step)} to ${real(lower + (index + 1) * step)}: `
        + `${count(value)} (${share(value, total)})`));
    }),
    tensor.mean >= lower && tensor.mean <= upper
      ? svg("line", { class: "mean", x1: x(tensor.mean), x2: x(tensor.mean), y1: bottom - depth, y2: bottom })
      : null,
  ]);
  const outside = [
    below > 0 ? `${count(below)} below ${real(lower)}` : null,
    above > 0 ? `${count(above)} above ${real(upper)}` : null,
  ].filter(Boolean);
  return h("figure", {}, figure, h("figcaption", { class: "muted" },
    `${counts.length} bins; the line is the mean. `
    + (outside.length > 0 ? `Not drawn: ${outside.join(", ")}.` : "All finite values are drawn.")));
}

// The weights of all components over one range, as Swift put them together.
function distributions() {
  const box = byId("distributions-chart");
  const groups = components.filter(({ histogram }) => histogram);
  if (groups.length === 0) {
    byId("distributions-body").replaceChildren(h("p", { class: "empty" }, report.hasStatistics
      ? "No tensor has values that a histogram could show."
      : "Values were not read. Run sdinspect report without --no-stats for histograms."));
    return;
  }
  const [{ histogram: { lower, upper, counts: { length: bins } } }] = groups;
  const shares = new Map(groups.map((component) => {
    const { counts, below, above } = component.histogram;
    const total = sum(counts, (value) => value) + below + above;
    return [component, counts.map((value) => value / (total || 1))];
  }));
  const hidden = new Set();
  let scale = "linear";

  function draw() {
    const width = Math.max(320, Math.min(1200, box.clientWidth));
    const curves = groups.filter(({ name }) => !hidden.has(name));
    const height = (value) => (scale === "log" ? Math.max(0, 6 + Math.log10(value || 1e-9)) : value);
    const highest = Math.max(1e-12, ...curves.flatMap((component) => shares.get(component).map(height)));
    box.replaceChildren(chart("Distribution of the weights of each component",
      { lower, upper, width, height: width < 600 ? 260 : 320 },
      ({ x, bottom, depth }) => curves.map((component) => {
        const step = (upper - lower) / bins;
        const points = shares.get(component).map((value, index) =>
          `${x(lower + (index + 0.5) * step).toFixed(1)} ${(bottom - (depth * height(value)) / highest).toFixed(1)}`);
        const fillColour = colourOf("component", component.name);
        return [
          svg("path", {
            class: "area", style: { fill: fillColour },
            d: `M${x(lower)} ${bottom}L${points.join("L")}L${x(upper)} ${bottom}Z`,
          }),
          svg("path", {
            class: "curve", data: { component: component.name }, style: { stroke: fillColour },
            d: `M${points.join("L")}`,
          }),
        ];
      })));
  }

  byId("distributions-controls").append(
    choices("Scale", [["linear", "Linear"], ["log", "Logarithmic"]], scale, (value) => {
      scale = value;
      draw();
    }),
    h("ul", { class: "legend toggles" }, groups.map((component) =>
      h("li", {}, h("button", {
        type: "button", "aria-pressed": "true",
        on: {
          click() {
            const isShown = hidden.delete(component.name);
            if (!isShown) hidden.add(component.name);
            this.setAttribute("aria-pressed", String(isShown));
            draw();
          },
        },
      }, h("i", { style: { background: colourOf("component", component.name) } }), component.name)))));
  new ResizeObserver(() => requestAnimationFrame(draw)).observe(box);
  draw();
}
