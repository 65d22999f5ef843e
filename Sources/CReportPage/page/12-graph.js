// The drawing of a network: pan, zoom, open and close modules, find and read nodes.

// The graph's name, or where two components have it the component's.
function networkName({ name, component }) {
  const isAlone = report.networks.filter((other) => other.name === name).length === 1;
  return isAlone ? name : components[component].name;
}

// The few modules that fill one screen: open the one that holds most until there are enough.
function opening(root) {
  const open = new Set();
  let visible = root.children.filter((child) => !child.isInput && !child.isOutput);
  for (;;) {
    if (root.columns) return open;
    const largest = visible.filter((child) => child.children).sort((a, b) => b.count - a.count)[0];
    if (!largest) return open;
    const next = visible.length - 1 + largest.children.length;
    if (visible.length >= 5 && (next > 16 || largest.count < 0.6 * root.count)) return open;
    if (next > 24) return open;
    open.add(largest.path);
    visible = visible.filter((child) => child !== largest).concat(largest.children);
  }
}

function graphs(openTensor) {
  const section = byId("graph");
  if (report.networks.length === 0) {
    byId("graph-body").replaceChildren(h("p", { class: "empty" },
      "There is no graph to draw: the configuration of these tensors is not known."));
    return;
  }
  const canvas = byId("graph-canvas");
  const drawing = svg("g", {});
  const surface = svg("svg", { class: "graph-surface", "aria-hidden": "false" },
    svg("defs", {}, svg("marker", {
      id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 8, markerHeight: 8,
      orient: "auto", markerUnits: "userSpaceOnUse",
    }, svg("path", { class: "arrow", d: "M0 0.5L8 4L0 7.5Z" }))),
    drawing);
  canvas.append(surface);
  const states = report.networks.map((network) => ({ network }));
  let state = null;

  // A network's modules are found when it is first shown.
  const prepared = (index) => {
    const made = states[index];
    if (!made.tree) {
      made.tree = moduleTree(made.network);
      made.open = opening(made.tree.root);
      made.selected = null;
    }
    return made;
  };

  // ---- view: screen = world * scale + (x, y)

  const view = { x: 0, y: 0, scale: 1 };
  const limits = [0.01, 4];
  const apply = () => {
    drawing.setAttribute("transform", `translate(${view.x} ${view.y}) scale(${view.scale})`);
    canvas.dataset.scale = view.scale.toFixed(3);
    byId("graph-zoom").textContent = `${Math.round(view.scale * 100)} %`;
  };
  function zoom(factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
    const scale = Math.max(limits[0], Math.min(limits[1], view.scale * factor));
    view.x = x - ((x - view.x) * scale) / view.scale;
    view.y = y - ((y - view.y) * scale) / view.scale;
    view.scale = scale;
    apply();
  }
  // All of it, or with `least` as much from the top as is readable.
  function fit(least = 0) {
    const { width, height } = state.box;
    const margin = canvas.clientWidth < 600 ? 10 : 24;
    view.scale = Math.max(limits[0], least, Math.min(1.25,
      (canvas.clientWidth - 2 * margin) / width, (canvas.clientHeight - 2 * margin) / height));
    view.x = (canvas.clientWidth - width * view.scale) / 2;
    view.y = Math.max(margin, (canvas.clientHeight - height * view.scale) / 2);
    if (least === 0) view.y = (canvas.clientHeight - height * view.scale) / 2;
    apply();
  }
  function reveal(module) {
    const place = state.places.get(module);
    if (!place) return;
    view.scale = Math.max(view.scale, 0.9);
    view.x = canvas.clientWidth / 2 - (place.x + Math.min(place.width, 400) / 2) * view.scale;
    view.y = canvas.clientHeight / 2 - (place.y + Math.min(place.height, 200) / 2) * view.scale;
    apply();
  }

  // ---- drawing

  function draw() {
    const { tree, open } = state;
    state.box = layoutModule(
      tree.root, (module) => open.has(module.path), false, true, canvas.clientWidth < 600);
    state.places = new Map();
    const [boxes, lines, nodes] = [[], [], []];
    const visit = (box, x, y) => {
      for (const item of box.items) {
        const [itemX, itemY] = [x + item.x, y + item.y];
        state.places.set(item.module, { x: itemX, y: itemY, width: item.width, height: item.height });
        (item.isOpen ? boxes : nodes).push(nodeElement(item, itemX, itemY));
        if (item.isOpen) visit(item, itemX, itemY);
      }
      const labelled = new Set();
      for (const edge of box.edges) {
        // One label for a value that several siblings read, and none at ports: it is outside.
        const key = `${edge.value.name} ${edge.side}`;
        const hasLabel = !labelled.has(key) && !edge.from.way && !edge.to.way;
        if (hasLabel) labelled.add(key);
        const element = edgeElement({
          ...edge, points: edge.points.map(([px, py]) => [px + x, py + y]),
        }, hasLabel);
        lines.push(element);
      }
    };
    visit(state.box, 0, 0);
    drawing.replaceChildren(svg("g", { class: "boxes" }, boxes), svg("g", { class: "edges" }, lines),
      svg("g", { class: "nodes" }, nodes));
    const first = drawing.querySelector(".node");
    if (first) first.setAttribute("tabindex", "0");
    mark();
    const { width, height } = report.size;
    byId("graph-count").textContent = [
      `${plural(tree.leaves.length, "layer")}, ${count(nodes.length + boxes.length)} boxes shown`,
      `${magnitude(tree.root.parameters)} parameters`,
      `${magnitude(tree.root.macs)} MACs at ${width} × ${height}`,
    ].join(" · ");
  }

  // ---- selection

  const elementOf = (module) =>
    [...drawing.querySelectorAll(".node")].find((node) => node.dataset.path === module.path);
  const moduleAt = (element) => [...state.places.keys()].find((module) => module.path === element.dataset.path);

  function mark() {
    const { selected } = state;
    const feeds = new Set([selected, ...(selected?.feeds ?? [])].filter(Boolean).map((module) => module.path));
    for (const node of drawing.querySelectorAll(".node")) {
      node.classList.toggle("selected", node.dataset.path === selected?.path);
      node.classList.toggle("fed", feeds.has(node.dataset.path) && node.dataset.path !== selected?.path);
    }
    for (const edge of drawing.querySelectorAll(".edge")) {
      const ends = [edge.dataset.from, edge.dataset.to];
      edge.classList.toggle("hot", Boolean(selected) && ends.includes(selected.name));
    }
  }

  function details() {
    const { selected, tree } = state;
    const panel = byId("graph-details");
    if (!selected) {
      panel.replaceChildren(h("h3", {}, networkName(state.network)),
        moduleFacts(tree.root, tree.root), h("p", { class: "muted" },
          "Choose a box to read about it. Boxes with a + are modules that open; the small labels name values "
          + "that are read in many places and are not drawn as lines."));
      return;
    }
    const rows = (selected.node?.rows ?? []).map((row) => tensors[row]);
    const link = (tensor) => h("li", {},
      h("button", { type: "button", class: "link", on: { click: () => openTensor(tensor, rows) } },
        tensor.name),
      h("span", { class: "muted" }, ` ${shapeText(tensor.shape)} ${tensor.dtype}`));
    const change = state.open.has(selected.path) ? "Close this module" : "Open this module";
    panel.replaceChildren(...[
      h("h3", {}, selected.name), moduleFacts(selected, tree.root),
      selected.children
        ? h("button", { type: "button", class: "button", on: { click: () => toggle(selected) } }, change)
        : null,
      rows.length > 0 ? h("h4", {}, "Tensors") : null,
      rows.length > 0 ? h("ul", { class: "tensor-links" }, rows.map(link)) : null,
    ].filter(Boolean));
  }

  function select(module, moveFocus) {
    state.selected = module;
    mark();
    details();
    const element = module && elementOf(module);
    if (element) {
      drawing.querySelector('[tabindex="0"]')?.setAttribute("tabindex", "-1");
      element.setAttribute("tabindex", "0");
      if (moveFocus) element.focus({ preventScroll: true });
    }
  }

  // Opens or closes a module, which stays where it is on the screen.
  function toggle(module) {
    const before = state.places.get(module);
    if (state.open.has(module.path)) {
      for (const path of [...state.open]) {
        if (path === module.path || path.startsWith(`${module.path}.`)) state.open.delete(path);
      }
    } else {
      state.open.add(module.path);
    }
    draw();
    const after = state.places.get(module);
    if (before && after) {
      view.x += (before.x - after.x) * view.scale;
      view.y += (before.y - after.y) * view.scale;
      apply();
    }
    select(module, canvas.contains(document.activeElement) || document.activeElement === document.body);
    announce(`${module.name} ${state.open.has(module.path) ? "opened" : "closed"}`);
  }

  function show(module) {
    for (const above of ancestors(module)) if (above.parent) state.open.add(above.path);
    draw();
    select(module, true);
    reveal(module);
  }

  // ---- controls

  function choose(index) {
    state = prepared(index);
    search.value = "";
    results.replaceChildren();
    draw();
    details();
    fit();
  }

  // The network of most layers comes first.
  const sizes = report.networks.map(({ nodes }) => nodes.length);
  const first = sizes.indexOf(Math.max(...sizes));
  const every = (module) => module.children.filter((child) => child.children)
    .flatMap((child) => [child.path, ...every(child)]);
  const actions = {
    "graph-in": () => zoom(1.3), "graph-out": () => zoom(1 / 1.3), "graph-fit": () => fit(),
    "graph-open": () => { state.open = new Set(every(state.tree.root)); draw(); fit(0.4); },
    "graph-close": () => { state.open = opening(state.tree.root); draw(); fit(); },
  };
  for (const [id, action] of Object.entries(actions)) byId(id).addEventListener("click", action);
  byId("graph-networks").append(choices("Network",
    report.networks.map((network, index) => [index, networkName(network)]), first, choose));

  const search = byId("graph-search");
  const results = byId("graph-results");
  search.addEventListener("input", () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = words.length === 0 ? [] : state.tree.leaves.filter(({ name, node }) =>
      words.every((word) => name.toLowerCase().includes(word) || node.kind.includes(word)));
    results.replaceChildren(...found.slice(0, 40).map((leaf) =>
      h("li", {}, h("button", { type: "button", on: { click: () => { results.replaceChildren(); show(leaf); } } },
        h("span", {}, leaf.name), h("span", { class: "muted" }, kindText(leaf.node.kind))))),
      ...(words.length > 0 && found.length !== 1 ? [h("li", { class: "muted note" },
        found.length === 0 ? "no layer of this name"
          : count(found.length) + (found.length > 40 ? " layers, the first 40" : " layers"))] : []));
  });
  search.addEventListener("keydown", (event) => {
    if (event.key === "Enter") results.querySelector("button")?.click();
    if (event.key === "ArrowDown") results.querySelector("button")?.focus();
    if (event.key === "Escape") { search.value = ""; results.replaceChildren(); }
  });
  results.addEventListener("keydown", (event) => {
    const item = document.activeElement.closest("li");
    const next = { ArrowDown: item?.nextElementSibling, ArrowUp: item?.previousElementSibling }[event.key];
    if (next !== undefined) { event.preventDefault(); (next?.querySelector("button") ?? search).focus(); }
    if (event.key === "Escape") { results.replaceChildren(); search.focus(); }
  });

  // ---- pointers: one drags, two pinch; a press that does not move is a click.

  const pointers = new Map();
  let moved = 0;
  canvas.addEventListener("pointerdown", (event) => {
    pointers.set(event.pointerId, [event.clientX, event.clientY]);
    if (pointers.size === 1) moved = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const last = pointers.get(event.pointerId);
    if (!last) return;
    const now = [event.clientX, event.clientY];
    const [dx, dy] = [now[0] - last[0], now[1] - last[1]];
    moved += Math.abs(dx) + Math.abs(dy);
    if (moved > 4 && !canvas.hasPointerCapture(event.pointerId)) canvas.setPointerCapture(event.pointerId);
    if (pointers.size === 1) {
      view.x += dx;
      view.y += dy;
      apply();
    } else if (pointers.size === 2) {
      const [, other] = [...pointers].find(([id]) => id !== event.pointerId);
      const box = canvas.getBoundingClientRect();
      const distance = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]) || 1;
      view.x += dx / 2;
      view.y += dy / 2;
      zoom(distance(now) / distance(last), (now[0] + other[0]) / 2 - box.left, (now[1] + other[1]) / 2 - box.top);
    }
    pointers.set(event.pointerId, now);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, (event) => pointers.delete(event.pointerId));
  }
  canvas.addEventListener("click", (event) => {
    if (moved > 4) return;
    const element = event.target.closest(".node");
    if (!element) { canvas.focus({ preventScroll: true }); select(null); return; }
    const module = moduleAt(element);
    if (event.target.closest(".toggle")) toggle(module);
    else select(module, true);
  });
  canvas.addEventListener("dblclick", (event) => {
    const element = event.target.closest(".node");
    const module = element && moduleAt(element);
    if (module?.children && !event.target.closest(".toggle")) toggle(module);
  });
  // The wheel scrolls the page until the drawing is in use; Ctrl (and a pinch on a touch pad,
  // which arrives as that) always zooms.
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey && !canvas.contains(document.activeElement)) return;
    event.preventDefault();
    const box = canvas.getBoundingClientRect();
    const lines = event.deltaMode === 1 ? 16 : 1;
    const speed = event.ctrlKey ? 0.01 : 0.0015;
    zoom(Math.exp(-event.deltaY * lines * speed), event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });

  canvas.addEventListener("keydown", (event) => {
    const node = event.target.closest(".node");
    const module = node && moduleAt(node);
    const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const arrow = arrows[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (arrow && module && !event.shiftKey) nearest(module, arrow);
    else if (arrow) { view.x -= 60 * arrow[0]; view.y -= 60 * arrow[1]; apply(); }
    else if (event.key === "+" || event.key === "=") zoom(1.3);
    else if (event.key === "-") zoom(1 / 1.3);
    else if (event.key === "0" || event.key === "f") fit();
    else if (event.key === "Enter" && module) select(module, true);
    else if (event.key === " " && module?.children) toggle(module);
    else if (event.key === "Escape") { select(null); canvas.focus(); }
    else return;
    event.preventDefault();
  });

  // The focus to the next box in that direction, which is brought into view.
  function nearest(module, [dx, dy]) {
    const middle = ({ x, y, width, height }) => [x + width / 2, y + Math.min(height, 60) / 2];
    const [x, y] = middle(state.places.get(module));
    let best = null;
    for (const [other, place] of state.places) {
      if (other === module) continue;
      const [ox, oy] = middle(place);
      const along = (ox - x) * dx + (oy - y) * dy;
      const across = Math.abs((ox - x) * dy) + Math.abs((oy - y) * dx);
      if (along <= 4 || across > 2 * along) continue;
      const distance = along + 2 * across;
      if (!best || distance < best.distance) best = { other, distance };
    }
    if (!best) return;
    select(best.other, true);
    const place = state.places.get(best.other);
    const [left, top] = [place.x * view.scale + view.x, place.y * view.scale + view.y];
    const [right, bottom] = [left + place.width * view.scale, top + Math.min(place.height, 60) * view.scale];
    view.x += Math.max(0, 20 - left) - Math.max(0, right - canvas.clientWidth + 20);
    view.y += Math.max(0, 20 - top) - Math.max(0, bottom - canvas.clientHeight + 20);
    apply();
  }

  choose(first);
  let width = canvas.clientWidth;
  new ResizeObserver(() => {
    if (canvas.clientWidth === width) return;
    width = canvas.clientWidth;
    draw();
    fit();
  }).observe(canvas);
  section.dataset.ready = "";
}
