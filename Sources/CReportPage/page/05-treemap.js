// The treemap: areas are parameters; components hold modules, modules hold tensors.

// The tree below one root: `path` of each tensor gives its branches.
function tree(path) {
  const root = { name: "all", children: new Map(), parent: null, value: 0, depth: 0 };
  // Buffers only where there is nothing else.
  const hasLearned = tensors.some((tensor) => tensor.isLearned && tensor.parameters > 0);
  for (const tensor of tensors) {
    if (tensor.parameters === 0 || (hasLearned && !tensor.isLearned)) continue;
    let node = root;
    for (const name of path(tensor)) {
      let child = node.children.get(name);
      if (!child) {
        child = { name, children: new Map(), parent: node, value: 0, depth: node.depth + 1 };
        node.children.set(name, child);
      }
      node = child;
    }
    // Two tensors of one name, as a file may hold: both stay.
    while (node.tensor) {
      const twin = { name: node.name, children: new Map(), parent: node.parent, value: 0, depth: node.depth };
      node.parent.children.set(Symbol(node.name), twin);
      node = twin;
    }
    node.tensor = tensor;
    for (let above = node; above; above = above.parent) above.value += tensor.parameters;
  }
  return joined(root);
}

// A module that only holds one other is shown as one: `encoder.layers.0`.
function joined(node) {
  let children = [...node.children.values()].map(joined);
  if (children.length === 1 && node.parent && !node.tensor) {
    const [child] = children;
    return Object.assign(child, {
      name: `${node.name}.${child.name}`, parent: node.parent, depth: node.depth,
    });
  }
  // A tensor whose name is also a module's stays beside that module's.
  if (node.tensor && children.length > 0) {
    children.push({
      name: node.name, tensor: node.tensor, value: node.tensor.parameters, children: [],
      depth: node.depth + 1,
    });
    node.tensor = undefined;
  }
  children.sort((a, b) => b.value - a.value);
  for (const child of children) child.parent = node;
  node.children = children;
  return node;
}

// Rows of near-square rectangles (Bruls, Huizing and van Wijk 2000). `place(node, x, y, w, h)`.
function squarify(nodes, x, y, width, height, place) {
  const total = sum(nodes, (node) => node.value);
  if (total <= 0 || width <= 0 || height <= 0) return;
  const scale = (width * height) / total;
  let start = 0;
  while (start < nodes.length) {
    const side = Math.min(width, height);
    let end = start;
    let area = 0;
    let worst = Infinity;
    while (end < nodes.length) {
      const next = area + nodes[end].value * scale;
      const largest = nodes[start].value * scale;
      const smallest = nodes[end].value * scale;
      const ratio = Math.max(
        (side * side * largest) / (next * next), (next * next) / (side * side * smallest));
      if (ratio > worst) break;
      worst = ratio;
      area = next;
      end += 1;
    }
    const thickness = side > 0 ? area / side : 0;
    let offset = 0;
    for (const node of nodes.slice(start, end)) {
      const length = area > 0 ? (node.value * scale * side) / area : 0;
      if (width >= height) place(node, x, y + offset, thickness, length);
      else place(node, x + offset, y, length, thickness);
      offset += length;
    }
    if (width >= height) {
      x += thickness;
      width -= thickness;
    } else {
      y += thickness;
      height -= thickness;
    }
    start = end;
  }
}

function treemap(openTensor) {
  const box = byId("treemap-cells");
  const trail = byId("treemap-trail");
  const info = byId("treemap-info");
  const legend = byId("treemap-legend");
  const arrangements = {
    layer: () => tree((t) => [t.component.name, ...parts(t.path)]),
    kind: () => tree((t) => [t.component.name, t.kind, ...parts(t.path)]),
  };
  const made = {};
  let arrangement = "layer";
  let colouring = components.length > 1 ? "component" : "kind";
  let focus = (made.layer = arrangements.layer());

  // The most of a node's parameters: the key that colours it.
  function majority(node) {
    node.keys ??= {};
    if (node.keys[colouring]) return node.keys[colouring];
    const weights = new Map();
    const gather = (inner) => {
      if (inner.tensor) {
        const key = colourKey[colouring](inner.tensor);
        weights.set(key, (weights.get(key) ?? 0) + inner.value);
      }
      inner.children.forEach(gather);
    };
    gather(node);
    return (node.keys[colouring] = [...weights].sort((a, b) => b[1] - a[1])[0]?.[0] ?? "");
  }

  const describe = (node) => {
    const path = [];
    for (let at = node; at.parent; at = at.parent) path.unshift(at.name);
    return path.join(" › ") || "everything";
  };

  function inform(node) {
    const root = made[arrangement];
    const facts = [plural(node.value, "parameter"), share(node.value, root.value) + " of all"];
    if (node.tensor) facts.push(node.tensor.dtype, shapeText(node.tensor.shape), node.tensor.kind);
    info.replaceChildren(h("b", {}, describe(node)), h("span", {}, facts.join(" · ")));
  }

  function enter(node, byKeyboard) {
    if (node.tensor) {
      openTensor(node.tensor);
      return;
    }
    focus = node;
    draw();
    announce(`${describe(node)}, ${plural(node.value, "parameter")}`);
    if (byKeyboard) (box.querySelector("button") ?? box).focus();
  }

  function cell(node, x, y, width, height, depth, parent) {
    if (width < 2 || height < 2) return;
    const isGroup = node.children.length > 0;
    // Small or deep cells stand for what is in them.
    const headed = isGroup && depth < 3 && width > 44 && height > 40;
    const element = h("button", {
      type: "button", class: `cell${headed ? " group" : ""}`,
      "aria-label": `${describe(node)}, ${plural(node.value, "parameter")}`,
      tabindex: depth === 0 ? "0" : "-1",
      data: { name: node.name, value: node.value, depth },
      style: {
        left: `${x}px`, top: `${y}px`, width: `${width}px`, height: `${height}px`,
        "--fill": colourOf(colouring, majority(node)),
      },
      on: {
        click: (event) => enter(node, event.detail === 0),
        pointerenter: () => inform(node), focus: () => inform(node),
      },
    });
    const room = Math.floor((width - 9) / 6.6);
    if (height > 16 && room >= Math.min(node.name.length, 5)) {
      element.append(h("span", { class: "cell-name" }, node.name));
      if ((headed && width > 150) || (!headed && width > 60 && height > 36)) {
        element.append(h("span", { class: "cell-value" }, magnitude(node.value)));
      }
    }
    parent.append(element);
    if (!headed) return;
    const header = 19;
    const inset = 2;
    squarify(node.children, x + inset, y + header, width - 2 * inset, height - header - inset,
      (child, ...place) => cell(child, ...place, depth + 1, parent));
  }


  function draw() {
    const { width, height } = box.getBoundingClientRect();
    const fragment = document.createDocumentFragment();
    const shown = focus.children.length > 0 ? focus.children : [focus];
    squarify(shown, 0, 0, width, height, (node, ...place) => cell(node, ...place, 0, fragment));
    box.replaceChildren(fragment);
    if (focus.value === 0) box.append(h("p", { class: "empty" }, "There are no parameters to show."));
    const above = [];
    for (let at = focus; at; at = at.parent) above.unshift(at);
    trail.replaceChildren(...above.map((node, index) =>
      h("li", {}, index === above.length - 1
        ? h("span", { "aria-current": "location" }, index === 0 ? "All" : node.name)
        : h("button", { type: "button", on: { click: () => enter(node) } },
          index === 0 ? "All" : node.name))));
    const keys = [...new Set(tensors.map(colourKey[colouring]))]
      .map((key) => [key, sum(tensors, (t) => (colourKey[colouring](t) === key ? t.parameters : 0))])
      .sort((a, b) => b[1] - a[1]);
    legend.replaceChildren(...keys.map(([key, value]) =>
      h("li", {}, h("i", { style: { background: colourOf(colouring, key) } }), h("span", {}, key),
        h("span", { class: "muted" }, magnitude(value)))));
    inform(focus);
  }

  byId("treemap-controls").append(
    choices("Group by", [["layer", "Layer"], ["kind", "Kind"]], arrangement, (value) => {
      arrangement = value;
      focus = made[value] ??= arrangements[value]();
      draw();
    }),
    choices("Colour by",
      [["component", "Component"], ["kind", "Kind"], ["dtype", "Type"]], colouring, (value) => {
        colouring = value;
        draw();
      }));
  // Arrow keys go from cell to cell, Escape or Backspace goes up.
  box.addEventListener("keydown", (event) => {
    if ((event.key === "Escape" || event.key === "Backspace") && focus.parent) {
      event.preventDefault();
      enter(focus.parent, true);
    }
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const cells = [...box.querySelectorAll("button")];
    const at = cells.indexOf(document.activeElement);
    cells[Math.max(0, Math.min(cells.length - 1, at + step))]?.focus();
  });
  new ResizeObserver(() => requestAnimationFrame(draw)).observe(box);
  draw();
}
