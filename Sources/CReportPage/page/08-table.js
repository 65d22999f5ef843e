// The table of all tensors: sorted by any column, filtered, and drawn only where it is in view.

const columns = [
  { key: "name", label: "Tensor", text: (t) => t.name || "(unnamed)", isText: true },
  { key: "component", label: "Component", text: (t) => t.component.name, isText: true },
  { key: "kind", label: "Kind", text: (t) => t.kind, isText: true },
  { key: "dtype", label: "Type", text: (t) => t.dtype, isText: true },
  { key: "shape", label: "Shape", text: (t) => shapeText(t.shape), value: (t) => t.parameters },
  { key: "parameters", label: "Parameters", text: (t) => count(t.parameters) },
  { key: "bytes", label: "Bytes", text: (t) => bytes(t.bytes) },
  { key: "min", label: "Min", text: (t) => real(t.min), isValue: true },
  { key: "max", label: "Max", text: (t) => real(t.max), isValue: true },
  { key: "mean", label: "Mean", text: (t) => real(t.mean), isValue: true },
  { key: "deviation", label: "Std", text: (t) => real(t.deviation), isValue: true },
  { key: "zeros", label: "Zeros", text: (t) => (Number.isNaN(t.zeros) ? "–" : count(t.zeros)), isValue: true },
  { key: "nans", label: "NaN", text: (t) => (Number.isNaN(t.nans) ? "–" : count(t.nans)), isValue: true },
];

function tensorTable(openTensor) {
  const shownColumns = columns.filter((column) => report.hasStatistics || !column.isValue);
  const scroller = byId("table-scroller");
  const body = byId("table-body");
  const search = byId("table-search");
  const order = byId("table-order");
  let key = null;
  let isDescending = false;
  let rows = tensors;
  let drawn = "";

  const numbers = new Intl.Collator("en", { numeric: true });
  const value = (column) => column.value ?? (column.isText ? column.text : (t) => t[column.key]);

  function compare(column) {
    const get = value(column);
    const sign = isDescending ? -1 : 1;
    return (a, b) => {
      const [left, right] = [get(a), get(b)];
      if (column.isText) return sign * numbers.compare(left, right) || a.index - b.index;
      // What has no value comes last either way.
      if (Number.isNaN(left) || Number.isNaN(right)) {
        return Number.isNaN(left) - Number.isNaN(right) || a.index - b.index;
      }
      return sign * (left - right) || a.index - b.index;
    };
  }

  const filters = [
    ["component", "Component", components.map(({ name }) => name), (t) => t.component.name],
    ["dtype", "Type", dtypes, (t) => t.dtype],
    ["kind", "Kind", usedKinds, (t) => t.kind],
  ].map(([name, label, options, get]) => ({
    get,
    select: h("select", { id: `filter-${name}`, "aria-label": label, on: { change: refresh } },
      h("option", { value: "" }, `${label}: all`),
      options.map((option) => h("option", { value: option }, option))),
  }));
  byId("table-filters").append(...filters.map(({ select }) => select));

  function refresh() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    rows = tensors.filter((tensor) =>
      words.every((word) => tensor.text.includes(word))
      && filters.every(({ select, get }) => select.value === "" || get(tensor) === select.value));
    const column = shownColumns.find((column) => column.key === key);
    if (column) rows.sort(compare(column));
    const parameters = sum(rows, (t) => (t.isLearned ? t.parameters : 0));
    byId("table-count").textContent =
      `${count(rows.length)} of ${plural(tensors.length, "tensor")} · ${magnitude(parameters)} parameters · `
      + bytes(sum(rows, (t) => t.bytes));
    scroller.scrollTop = 0;
    drawn = "";
    draw();
  }

  function sortBy(newKey, descending) {
    key = newKey;
    isDescending = descending;
    for (const header of headers) {
      const isKey = header.dataset.key === key;
      if (isKey) header.setAttribute("aria-sort", isDescending ? "descending" : "ascending");
      else header.removeAttribute("aria-sort");
    }
    order.value = key === null ? "" : `${key} ${isDescending ? "down" : "up"}`;
    refresh();
  }

  const headers = shownColumns.map((column) =>
    h("th", { scope: "col", class: column.isText ? "" : "number", data: { key: column.key } },
      h("button", {
        type: "button",
        on: {
          // First the order that people look for: names up, numbers down; then the other; then the file's.
          click() {
            const first = !column.isText;
            if (key !== column.key) sortBy(column.key, first);
            else if (isDescending === first) sortBy(column.key, !first);
            else sortBy(null, false);
          },
        },
      }, column.label)));
  byId("table-head").append(...headers,
    ...(report.hasStatistics ? [h("th", { scope: "col" }, "Values")] : []));
  order.append(h("option", { value: "" }, "Order: as in the file"),
    ...shownColumns.flatMap((column) => [["up", "ascending"], ["down", "descending"]].map(([way, words]) =>
      h("option", { value: `${column.key} ${way}` }, `${column.label}, ${words}`))));
  order.addEventListener("change", () => {
    const [newKey, way] = order.value.split(" ");
    sortBy(newKey || null, way === "down");
  });

  // Where there is little room the end of a name, which says more than its beginning, stays.
  function nameInTwo(name) {
    const at = Math.max(name.lastIndexOf(".", name.lastIndexOf(".") - 1), name.length - 34, 0);
    return [h("span", { class: "name-head" }, name.slice(0, at)), h("span", { class: "name-tail" }, name.slice(at))];
  }

  const cell = (column, tensor) => h("td", {
    class: `${column.key}${column.isText ? "" : " number"}${column.key === "nans" && tensor.nans > 0 ? " alarm" : ""}`,
    data: { label: column.label }, title: column.key === "name" ? tensor.name : null,
  }, column.key === "name"
    ? h("button", { type: "button", class: "row-open", on: { click: () => openTensor(tensor, rows) } },
      h("i", { style: { background: colourOf("component", tensor.component.name) } }), nameInTwo(column.text(tensor)))
    : column.text(tensor));

  const row = (tensor, position) => h("tr", {
    "aria-rowindex": position + 2, data: { index: tensor.index },
    on: { click: (event) => { if (!event.target.closest("button")) openTensor(tensor, rows); } },
  }, shownColumns.map((column) => cell(column, tensor)),
    report.hasStatistics ? h("td", { class: "values" }, tensor.histogram ? sparkline(tensor.histogram) : "") : null);

  const spacer = (height) => h("tr", { class: "spacer", "aria-hidden": "true" },
    h("td", { colspan: shownColumns.length + 1, style: { height: `${height}px` } }));

  // All rows on paper, up to what a person would print.
  function draw(isPrinting = false) {
    const height = parseFloat(getComputedStyle(scroller).getPropertyValue("--row-height"));
    const first = isPrinting ? 0 : Math.max(0, Math.floor(scroller.scrollTop / height) - 10);
    const last = isPrinting ? Math.min(rows.length, 150)
      : Math.min(rows.length, Math.ceil((scroller.scrollTop + scroller.clientHeight) / height) + 10);
    const state = `${first} ${last} ${height}`;
    if (state === drawn && !isPrinting) return;
    drawn = isPrinting ? "" : state;
    const focused = document.activeElement?.closest?.("#table-body tr")?.dataset.index;
    body.replaceChildren(
      ...(first > 0 ? [spacer(first * height)] : []),
      ...rows.slice(first, last).map((tensor, index) => row(tensor, first + index)),
      ...(last < rows.length && !isPrinting ? [spacer((rows.length - last) * height)] : []));
    if (focused !== undefined) body.querySelector(`tr[data-index="${focused}"] button`)?.focus({ preventScroll: true });
    byId("table").setAttribute("aria-rowcount", rows.length + 1);
    byId("table-empty").hidden = rows.length > 0;
    byId("table-rest").textContent = isPrinting && last < rows.length
      ? `and ${count(rows.length - last)} more tensors` : "";
  }

  search.addEventListener("input", refresh);
  byId("table-reset").addEventListener("click", () => {
    search.value = "";
    for (const { select } of filters) select.value = "";
    sortBy(null, false);
  });
  scroller.addEventListener("scroll", () => requestAnimationFrame(() => draw()), { passive: true });
  new ResizeObserver(() => requestAnimationFrame(() => draw())).observe(scroller);
  addEventListener("beforeprint", () => draw(true));
  addEventListener("afterprint", () => draw());
  refresh();
}
