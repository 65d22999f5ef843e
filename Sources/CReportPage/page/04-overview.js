// The head of the page: what the model is, its totals, what is wrong with it, its sizes.

function identity() {
  byId("title").textContent = report.title;
  byId("path").textContent = report.path;
  const format = { diffusers: "diffusers repository", component: "component directory" };
  byId("facts").append(
    ...[
      report.model.title, format[report.format] ?? `${report.format} file`,
      plural(components.length, "component"),
    ].filter(Boolean).map((text) => h("li", {}, text)));
  byId("reasons").append(...report.model.reasons.map((text) => h("li", {}, text)));
}

function totals() {
  const { parameters, buffers, bytes: size } = report.totals;
  const tiles = [
    [magnitude(parameters), "parameters", count(parameters)],
    [bytes(size), "as is", `${count(size)} bytes`],
    [bytes(report.bytesAs.F32), "as F32", `${count(report.bytesAs.F32)} bytes`],
    [bytes(report.bytesAs.F16), "as F16", `${count(report.bytesAs.F16)} bytes`],
    [count(report.totals.tensors), "tensors",
      buffers > 0 ? `and ${plural(buffers, "buffer element")}` : "all learned"],
  ];
  byId("totals").append(...tiles.map(([value, label, detail]) =>
    h("div", { class: "tile" }, h("dt", {}, label), h("dd", {}, value, h("small", {}, detail)))));
}

// A disclosure with a list of texts.
function finding(level, title, names, total = names.length) {
  const rest = total - names.length;
  return h("details", { class: `finding ${level}` },
    h("summary", {}, h("span", { class: "badge" }, count(total)), title),
    h("ul", {}, names.map((name) => h("li", {}, name)),
      rest > 0 ? h("li", { class: "muted" }, `and ${count(rest)} more`) : null));
}

function findings() {
  const box = byId("findings");
  const said = new Set();
  for (const { name, missing, unexpected, misfits } of components) {
    const lists = [
      ["bad", missing, "missing from", (text) => `${name}: ${text} is missing`],
      ["bad", misfits, "of another shape or type in", null],
      ["warn", unexpected, "not expected in", (text) => `${name}: ${text} is not a tensor of this network`],
    ];
    for (const [level, list, words, warning] of lists) {
      if (list.count === 0) continue;
      box.append(finding(level,
        `${list.count === 1 ? "tensor" : "tensors"} ${words} ${name}`, list.names, list.count));
      if (warning) for (const text of list.names) said.add(warning(text));
    }
  }
  const others = report.warnings.filter((text) => !said.has(text));
  const shown = others.slice(0, 100);
  if (others.length > 0) {
    box.prepend(finding("warn", others.length === 1 ? "warning" : "warnings", shown, others.length));
    box.firstElementChild.open = others.length <= 3;
  }
  const tensorsWith = (level, words, has) => {
    const found = tensors.filter(has);
    if (found.length === 0) return;
    box.append(finding(level, `${found.length === 1 ? "tensor" : "tensors"} ${words}`,
      found.slice(0, 500).map(({ component, name }) => `${component.name}: ${name}`), found.length));
  };
  tensorsWith("bad", "with NaN or infinite values", (t) => t.nans > 0 || t.infinities > 0);
  tensorsWith("warn", "with values that F16 cannot hold", (t) => t.overflows > 0);
  if (report.leftovers.length > 0) {
    const total = sum(report.leftovers, (leftover) => leftover.count);
    box.append(finding("note", `${total === 1 ? "tensor" : "tensors"} that no network uses: `
      + report.leftovers.map(({ kind, count: number }) => `${kind} (${count(number)})`).join(", "),
    report.leftovers.flatMap(({ names }) => names), total));
  }
  const isKnown = components.length > 0 && components.every((component) => component.isKnown);
  if (!box.querySelector(".bad, .warn")) {
    box.prepend(h("p", { class: `finding ${isKnown ? "good" : "note"}` }, isKnown
      ? "Complete: every tensor that the configurations ask for is there, in its shape."
      : "Readable. No configuration says what should be in here, so nothing was checked against one."));
  }
}

// One bar of parts with a legend: parts are [label, value, colour index].
function bar(title, parts, unit) {
  const whole = sum(parts, (part) => part[1]);
  const shown = parts.filter((part) => part[1] > 0);
  const text = (value) => (unit === "bytes" ? bytes(value) : magnitude(value));
  return h("figure", { class: "bar" },
    h("figcaption", {}, h("span", {}, title), h("span", { class: "muted" }, text(whole))),
    h("div", { class: "bar-track", "aria-hidden": "true" }, shown.map(([, value, index]) =>
      h("i", { style: { "flex-grow": String(value / (whole || 1)), background: colour(index) } }))),
    h("ul", { class: "legend" }, shown.map(([label, value, index]) =>
      h("li", {}, h("i", { style: { background: colour(index) } }), h("span", {}, label),
        h("b", {}, text(value)), h("span", { class: "muted" }, share(value, whole))))));
}

function bars() {
  const by = (key, value) => (name) => sum(tensors, (t) => (key(t) === name ? value(t) : 0));
  const size = (tensor) => tensor.bytes;
  const learned = (tensor) => (tensor.isLearned ? tensor.parameters : 0);
  byId("bars").append(
    bar("Bytes by component", components.map(({ name, bytes }) =>
      [name, bytes, palette.component[name]]), "bytes"),
    bar("Bytes by type", dtypes.map((name) =>
      [name, by(colourKey.dtype, size)(name), palette.dtype[name]]), "bytes"),
    bar("Parameters by kind", usedKinds.map((name) =>
      [name, by(colourKey.kind, learned)(name), palette.kind[name]])
      .sort((a, b) => b[1] - a[1]), "parameters"));
}

// What each component is and where it came from.
function componentCards() {
  const configurations = { file: "config.json", inferred: "read off the shapes" };
  const namings = { diffusers: "diffusers", ldm: "original (LDM)", ema: "averages (EMA)" };
  byId("components").append(...components.map((component) => {
    const facts = [
      ["Network", component.architecture ?? "not known"],
      ["File", `${component.file.split("/").at(-1)} (${component.format})`],
      component.naming ? ["Names", namings[component.naming] ?? component.naming] : null,
      component.configuration ? ["Configuration", configurations[component.configuration]] : null,
      ["Tensors", count(sum(tensors, (t) => (t.component === component ? 1 : 0)))],
      ["Parameters", count(component.parameters)],
    ].filter(Boolean);
    return h("section", { class: "component-card" },
      h("h3", {}, h("i", { style: { background: colourOf("component", component.name) } }), component.name),
      h("dl", { class: "facts" }, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
      component.metadata.length > 0 ? h("details", {}, h("summary", {}, "Metadata"),
        h("dl", { class: "facts" }, component.metadata.map(([name, value]) =>
          h("div", {}, h("dt", {}, name), h("dd", {}, value))))) : null);
  }));
}

function overview() {
  identity();
  totals();
  findings();
  bars();
  componentCards();
  byId("program").textContent = report.program;
}
