// The dialog of one tensor: its facts and its histogram.

function tensorDialog() {
  const dialog = byId("tensor-dialog");
  const content = byId("tensor-dialog-content");
  let scale = "linear";
  let shown = null;
  // The tensors that "previous" and "next" go through.
  let sequence = [];

  const facts = (tensor) => [
    ["Component", tensor.component.name],
    tensor.path !== tensor.name ? ["In diffusers", tensor.path] : null,
    ["Kind", tensor.kind], ["Shape", shapeText(tensor.shape)], ["Type", tensor.dtype],
    [tensor.isLearned ? "Parameters" : "Elements", count(tensor.parameters)],
    ["Bytes", `${bytes(tensor.bytes)} (${count(tensor.bytes)})`],
  ].filter(Boolean);

  const values = (tensor) => [
    ["Minimum", real(tensor.min)], ["Maximum", real(tensor.max)], ["Mean", real(tensor.mean)],
    ["Deviation", real(tensor.deviation)],
    ["Zeros", `${count(tensor.zeros)} (${share(tensor.zeros, tensor.parameters)})`],
    ["NaN", count(tensor.nans)], ["Infinite", count(tensor.infinities)],
    ["Beyond F16", tensor.overflows + tensor.underflows === 0 ? "0"
      : `${count(tensor.overflows)} too large, ${count(tensor.underflows)} too small`],
  ];

  const list = (rows) =>
    h("dl", { class: "facts" }, rows.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));

  function histogram(tensor) {
    if (!report.hasStatistics) return h("p", { class: "empty" }, "Values were not read (--no-stats).");
    if (tensor.parameters === 0) return h("p", { class: "empty" }, "This tensor has no elements.");
    if (Number.isNaN(tensor.zeros)) return h("p", { class: "empty" }, "There are no statistics for this type.");
    if (!tensor.histogram) {
      return h("p", { class: "empty" }, Number.isNaN(tensor.min)
        ? "No value is finite." : `Every finite value is ${real(tensor.min)}.`);
    }
    const holder = h("div", {});
    const draw = () => holder.replaceChildren(tensorHistogram(tensor, scale === "log"));
    draw();
    return h("div", {}, choices("Scale", [["linear", "Linear"], ["log", "Logarithmic"]], scale, (value) => {
      scale = value;
      draw();
    }), holder);
  }

  function show(tensor) {
    shown = tensor;
    byId("tensor-dialog-title").textContent = tensor.name || "(unnamed)";
    content.replaceChildren(
      list(facts(tensor)), histogram(tensor),
      ...(report.hasStatistics && !Number.isNaN(tensor.zeros) ? [list(values(tensor))] : []));
    const at = sequence.indexOf(tensor);
    byId("tensor-previous").disabled = at <= 0;
    byId("tensor-next").disabled = at < 0 || at >= sequence.length - 1;
    byId("tensor-position").textContent = at < 0 ? "" : `${count(at + 1)} of ${count(sequence.length)}`;
  }

  const step = (by) => {
    const next = sequence[sequence.indexOf(shown) + by];
    if (next) show(next);
  };
  byId("tensor-previous").addEventListener("click", () => step(-1));
  byId("tensor-next").addEventListener("click", () => step(1));
  byId("tensor-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  // A click beside the dialog closes it.
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });

  return (tensor, among = tensors) => {
    sequence = among;
    show(tensor);
    if (!dialog.open) dialog.showModal();
  };
}
