// The elements of a network's drawing: lines with their labels, boxes with their titles.

const kindHue = {
  convolution: 0, attention: 1, linear: 3, group_norm: 4, layer_norm: 4, embedding: 5, add_positions: 5,
  timestep_embedding: 5, geglu: 2, quick_gelu: 2, gelu: 2, silu: 2,
};

const shortKinds = {
  convolution: "conv", timestep_embedding: "sinusoid", upsample_nearest: "upsample",
  concatenate: "concat",
};

// An operation's kind in words, short where there is little room.
const kindText = (kind) => kind.replaceAll("_", " ");
const shortKind = (kind) => shortKinds[kind] ?? kindText(kind);

const clip = (text, width, size) => {
  const most = Math.floor(width / (size * 0.6));
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
};

function path({ points, isAcross, bend, isStraight }) {
  let d = `M${points[0].map((v) => v.toFixed(1)).join(" ")}`;
  for (let index = 1; index < points.length; index += 1) {
    const [[x1, y1], [x2, y2]] = [points[index - 1], points[index]];
    const to = `${x2.toFixed(1)} ${y2.toFixed(1)}`;
    if (bend) d += `Q${bend.map((v) => v.toFixed(1)).join(" ")} ${to}`;
    else if (isStraight) d += `L${to}`;
    else if (isAcross) {
      const middle = ((x1 + x2) / 2).toFixed(1);
      d += Math.abs(y1 - y2) < 0.5 ? `L${to}` : `C${middle} ${y1.toFixed(1)} ${middle} ${y2.toFixed(1)} ${to}`;
    } else {
      const middle = ((y1 + y2) / 2).toFixed(1);
      d += Math.abs(x1 - x2) < 0.5 ? `L${to}` : `C${x1.toFixed(1)} ${middle} ${x2.toFixed(1)} ${middle} ${to}`;
    }
  }
  return d;
}

// Without the batch, which is one.
const valueShape = ({ shape }) => tightShape(shape[0] === 1 && shape.length > 1 ? shape.slice(1) : shape);

function edgeElement(edge, isLabelled) {
  const values = edge.values ?? [edge.value];
  const shapes = Map.groupBy(values.map(valueShape), (text) => text);
  const label = [...shapes].map(([text, all]) => (all.length > 1 ? `${all.length}× ${text}` : text)).join(", ");
  const [start, end] = [edge.points[0], edge.points.at(-1)];
  const isPortEnd = edge.to.way;
  const from = edge.from.way ? edge.from.value.name : edge.from.name;
  const to = edge.to.way ? "…" : edge.to.name;
  const element = svg("g", { class: `edge${edge.side ? " skip" : ""}`, data: { from, to } },
    svg("path", { d: path(edge), class: "line", "marker-end": isPortEnd ? null : "url(#arrow)" },
      svg("title", {}, `${from} → ${to}: ${label}, ${bytes(sum(values, (v) => 4 * product(v.shape)))}`)));
  if (isLabelled) {
    let [x, y] = [(start[0] + end[0]) / 2, (start[1] + end[1]) / 2];
    if (edge.isAcross) {
      // At the start, where edges that fan out are not yet on top of each other.
      [x, y] = [start[0] + 10, start[1] - 4];
    } else if (edge.bend) {
      x = edge.bend[0] + (edge.bend[0] === start[0] ? -6 : 6);
      y = (start[1] + end[1]) / 2 + 3.5;
    } else {
      const [a, b] = [edge.points.at(-2), edge.points.at(-1)];
      x = (a[0] + b[0]) / 2 + 6;
      y = (a[1] + b[1]) / 2 + 3.5;
    }
    element.append(svg("text", {
      class: "edge-label", x, y,
      "text-anchor": edge.bend?.[0] === start[0] ? "end" : "start",
    }, label));
  }
  return element;
}

function costs(module) {
  const facts = [];
  if (module.parameters > 0) facts.push(magnitude(module.parameters));
  if (module.macs > 0) facts.push(`${magnitude(module.macs)} MACs`);
  return facts.join(" · ");
}

function nodeElement(item, x, y) {
  const { module } = item;
  const hasChildren = Boolean(module.children);
  const label = `${module.name}, ${hasChildren ? `module of ${plural(module.count, "layer")}`
    : module.node?.kind ?? (module.isInput ? "input" : "output")}, output ${shapeText(module.shape)}`;
  const element = svg("g", {
    class: `node ${hasChildren ? (item.isOpen ? "module open" : "module") : module.node ? "layer" : "terminal"}`,
    transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})`, tabindex: "-1", role: "button",
    "aria-label": label, "aria-expanded": hasChildren ? String(item.isOpen) : null,
    data: { path: module.path },
  });
  const hue = module.node ? colour(kindHue[module.node.kind] ?? 8) : "var(--line-strong)";
  if (hasChildren && !item.isOpen) {
    element.append(svg("rect", { class: "shadow", x: 4, y: 4, width: item.width, height: item.height, rx: 8 }));
  }
  const { width, height } = item;
  element.append(svg("rect", { class: "box", width, height, rx: module.node || hasChildren ? 8 : 22 }));
  if (!hasChildren && module.node) {
    element.append(svg("rect", {
      class: "stripe", x: 0, y: 8, width: 4, height: height - 16, rx: 2, style: { fill: hue },
    }));
  }
  const room = item.width - (hasChildren ? 46 : 26);
  if (item.isOpen) {
    element.append(svg("text", { class: "title", x: 12, y: 20 }, clip(module.label, room, 12.5)));
  } else {
    const second = hasChildren ? costs(module) || plural(module.count, "layer")
      : module.node ? [shortKind(module.node.kind), costs(module)].filter(Boolean).join(" · ")
        : valueShape(module);
    element.append(
      svg("text", { class: "title", x: 13, y: 20 }, clip(module.label, room, 12.5)),
      svg("text", { class: "sub", x: 13, y: 36 }, clip(second, item.width - 18, 9.8)));
  }
  if (!item.isOpen && module.tags?.size) {
    let at = 12;
    for (const tag of module.tags.values()) {
      const text = clip(tag.label, 76, 9.5);
      const width = text.length * 5.2 + 12;
      if (at + width > item.width - 6) break;
      element.append(svg("g", { class: "tag", transform: `translate(${at} ${item.height - 20})` },
        svg("rect", { width, height: 14, rx: 7 }), svg("text", { x: 6, y: 10.3 }, text)));
      at += width + 5;
    }
  }
  if (hasChildren) {
    element.append(svg("g", { class: "toggle", transform: `translate(${item.width - 28} 3)`, "aria-hidden": "true" },
      svg("rect", { width: 25, height: 25, rx: 6 }),
      svg("path", { d: item.isOpen ? "M8 12.5H17" : "M8 12.5H17M12.5 8V17" })));
  }
  return element;
}

// What is known of a module, an input or a layer, beside the whole network that it is part of.
function moduleFacts(module, whole) {
  const { node } = module;
  const isEnd = module.isInput || module.isOutput;
  const part = (value, total) => (module === whole ? "" : ` (${share(value, total)})`);
  const kind = node ? kindText(node.kind)
    : module.children ? "module" : module.isInput ? "input" : "output";
  const rows = [
    module === whole ? null : ["Kind", kind],
    node?.attributes ? ["Form", node.attributes] : null,
    module.children ? ["Layers", count(module.count)] : null,
    isEnd ? null : ["Parameters", count(module.parameters) + part(module.parameters, whole.parameters)],
    ["Output", shapeText(module.shape)],
    isEnd ? null : ["MACs", magnitude(module.macs) + part(module.macs, whole.macs)],
    [module.children ? "Activations" : "Activation", `${bytes(module.activation)} as float32`],
    module.feeds ? ["Read by", plural(module.feeds.length, "module")] : null,
    module.tags?.size ? ["Reads", [...module.tags.values()].map((tag) => tag.label).join(", ")] : null,
  ];
  return h("dl", { class: "facts" }, rows.filter(Boolean).map(([name, value]) =>
    h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}
