// A layered layout (after Sugiyama, Tagawa and Toda 1981) of the modules that are open: each open
// module lays out its children in layers from top to bottom, and is itself one box of its parent's.

const NODE = { width: 188, height: 46, tag: 18, gapX: 26, gapY: 34, header: 30, padding: 16 };

// The box of a module at (0, 0): `{ module, width, height, isOpen, items, edges }`, where items are
// boxes with `x` and `y`, and edges have `points`. `isUp` turns the flow around.
function layoutModule(module, isOpen, isUp = false, isRoot = true, isNarrow = false) {
  if (!module.children || (!isRoot && !isOpen(module))) {
    return { module, width: NODE.width, height: NODE.height + (module.tags?.size ? NODE.tag : 0), isOpen: false };
  }
  const columns = isRoot && module.columns;
  const box = columns ? layoutU(module, columns, isOpen, isNarrow) : layoutLayers(module, isOpen, isUp, isRoot);
  return { module, isOpen: true, isRoot, isUp, ...box };
}

function layoutLayers(module, isOpen, isUp, isRoot) {
  const edges = module.edges ?? [];
  const items = new Map();
  const itemOf = (end) => {
    const key = end.way ? `${end.way}|${end.value.name}|${end.side}` : end;
    if (!items.has(key)) {
      const made = end.way ? { port: end, width: 2, height: 0 } : layoutModule(end, isOpen, isUp, false);
      items.set(key, { ...made, order: end.way ? (end.way === "in" ? -1 : Infinity) : end.order });
    }
    return items.get(key);
  };
  for (const child of module.children) itemOf(child);
  // Ports at the sides take no part in the layers.
  const lines = edges.map((edge) => ({ edge, from: itemOf(edge.from), to: itemOf(edge.to) }));
  const flow = lines.filter(({ from, to }) => !from.port?.side && !to.port?.side);
  const all = [...items.values()].filter((item) => !item.port?.side);

  const layers = assignLayers(all, flow);
  const links = withWaypoints(layers, flow);
  orderLayers(layers, links);
  placeAcross(layers, links);
  const size = placeAlong(layers, isRoot);
  if (isUp) turnAround(layers, size, isRoot);
  const routes = flow.map((line) => route(line, isUp));
  for (const line of lines.filter((line) => !flow.includes(line))) routes.push(sideRoute(line, size));
  const shown = all.filter((item) => !item.port);
  return { ...size, items: shown, edges: routes, ports: portsOf(items, routes, isUp, size) };
}

// Longest path from the top; edges against the order of execution do not count.
function assignLayers(items, flow) {
  const before = new Map(items.map((item) => [item, []]));
  for (const { from, to } of flow) if (from.order < to.order) before.get(to).push(from);
  for (const item of items.toSorted((a, b) => a.order - b.order)) {
    item.layer = Math.max(0, ...before.get(item).map((other) => other.layer + 1));
  }
  const last = Math.max(0, ...items.map((item) => item.layer));
  // A source stands just above its first reader, what leaves the module at the very bottom.
  const after = new Map(items.map((item) => [item, []]));
  for (const { from, to } of flow) if (from.order < to.order) after.get(from).push(to);
  for (const item of items) {
    if (item.port) item.layer = item.port.way === "in" ? 0 : last;
    else if (before.get(item).length === 0 && after.get(item).length > 0) {
      item.layer = Math.max(item.layer, Math.min(...after.get(item).map((other) => other.layer)) - 1);
    }
  }
  const layers = Array.from({ length: last + 1 }, () => []);
  for (const item of items) layers[item.layer].push(item);
  return layers;
}

// Long edges get a waypoint in every layer that they cross. Gives the links between neighbours:
// `{ from, to }` with how far off their centres the edge meets them, as it may at open modules.
function withWaypoints(layers, flow) {
  const links = [];
  const off = (item, value, way) => {
    const port = item.ports?.get(portKey(value, way, false));
    return port ? port[0] - item.width / 2 : 0;
  };
  for (const line of flow) {
    const { edge: { value }, from, to } = line;
    line.waypoints = [];
    if (to.layer <= from.layer) continue;
    let previous = { item: from, off: off(from, value, "out") };
    const link = (next) => {
      links.push({ from: previous.item, to: next.item, fromOff: previous.off, toOff: next.off });
      previous = next;
    };
    for (let layer = from.layer + 1; layer < to.layer; layer += 1) {
      const waypoint = { isWaypoint: true, width: 2, height: 0, layer, order: from.order };
      layers[layer].push(waypoint);
      line.waypoints.push(waypoint);
      link({ item: waypoint, off: 0 });
    }
    link({ item: to, off: off(to, value, "in") });
  }
  return links;
}

// Barycentres, down and up, until the crossings no longer fall.
function orderLayers(layers, links) {
  const neighbours = { up: new Map(), down: new Map() };
  const add = (map, key, value) => (map.get(key) ?? map.set(key, []).get(key)).push(value);
  for (const { from, to } of links) {
    add(neighbours.up, to, from);
    add(neighbours.down, from, to);
  }
  const number = () => layers.forEach((layer) => layer.forEach((item, place) => { item.place = place; }));
  number();
  for (let sweep = 0; sweep < 8; sweep += 1) {
    const isDown = sweep % 2 === 0;
    for (const layer of isDown ? layers : layers.toReversed()) {
      const map = isDown ? neighbours.up : neighbours.down;
      for (const item of layer) {
        const others = map.get(item);
        item.weight = others ? sum(others, (other) => other.place) / others.length : item.place;
      }
      layer.sort((a, b) => a.weight - b.weight || Boolean(a.isWaypoint) - Boolean(b.isWaypoint) || a.place - b.place);
      layer.forEach((item, place) => { item.place = place; });
    }
  }
}

// Centres that are nearest to those of the neighbours without boxes touching: for each layer the
// least squares under "at least so far apart", solved exactly by pooling (isotonic regression).
function placeAcross(layers, links) {
  const neighbours = new Map();
  const add = (a, neighbour) => (neighbours.get(a) ?? neighbours.set(a, []).get(a)).push(neighbour);
  for (const { from, to, fromOff, toOff } of links) {
    // Boxes line up with boxes and take no notice of the edges that pass, which follow them.
    const weight = (item, other) => (item.isWaypoint ? (other.isWaypoint ? 8 : 1) : other.isWaypoint ? 0.01 : 8);
    add(from, { item: to, shift: toOff - fromOff, weight: weight(from, to), isUp: false });
    add(to, { item: from, shift: fromOff - toOff, weight: weight(to, from), isUp: true });
  }
  const apart = (a, b) => (a.width + b.width) / 2
    + (a.isWaypoint || b.isWaypoint || a.port || b.port ? 14 : NODE.gapX);
  for (const layer of layers) {
    let x = 0;
    layer.forEach((item, place) => {
      if (place > 0) x += apart(layer[place - 1], item);
      item.center = x;
    });
    for (const item of layer) item.center -= x / 2;
  }
  const weight = (item) => (item.isWaypoint ? 0.1 : 8);
  for (let sweep = 0; sweep < 160; sweep += 1) {
    const isDown = sweep % 2 === 0;
    for (const layer of isDown ? layers : layers.toReversed()) {
      for (const item of layer) {
        const others = (neighbours.get(item) ?? []).filter((other) => sweep >= 4 || other.isUp === isDown);
        const total = sum(others, (other) => other.weight);
        item.wish = total > 0
          ? sum(others, (other) => other.weight * (other.item.center + other.shift)) / total : item.center;
      }
      const pools = [];
      let offset = 0;
      layer.forEach((item, place) => {
        if (place > 0) offset += apart(layer[place - 1], item);
        item.offset = offset;
        let pool = { items: [item], weight: weight(item), sum: weight(item) * (item.wish - offset) };
        while (pools.length > 0 && pools.at(-1).sum / pools.at(-1).weight > pool.sum / pool.weight) {
          const left = pools.pop();
          pool = { items: [...left.items, ...pool.items], weight: left.weight + pool.weight, sum: left.sum + pool.sum };
        }
        pools.push(pool);
      });
      for (const pool of pools) {
        for (const item of pool.items) item.center = pool.sum / pool.weight + item.offset;
      }
    }
  }
}

// Layers one below the other, and everything moved inside the module's box.
function placeAlong(layers, isRoot) {
  const items = layers.flat();
  const left = Math.min(...items.map((item) => item.center - item.width / 2), 0);
  const right = Math.max(...items.map((item) => item.center + item.width / 2), 0);
  const padding = isRoot ? 8 : NODE.padding;
  const width = Math.max(right - left + 2 * padding, isRoot ? 0 : NODE.width + 2 * padding);
  const shift = (width - (right - left)) / 2 - left;
  let y = isRoot ? 8 : NODE.header;
  for (const layer of layers) {
    const height = Math.max(...layer.map((item) => item.height));
    for (const item of layer) {
      item.x = item.center + shift - item.width / 2;
      item.y = y + (height - item.height) / 2;
      item.layerTop = y;
      item.layerBottom = y + height;
    }
    y += height + NODE.gapY;
    // Ports at the end take no room.
    if (layer.every((item) => item.port)) y -= NODE.gapY;
  }
  const height = y - NODE.gapY + padding;
  // Ports lie on the border itself.
  for (const item of items.filter((item) => item.port)) {
    item.y = item.port.way === "in" ? 0 : height;
    item.layerTop = item.layerBottom = item.y;
  }
  return { width, height };
}

// The flow from bottom to top: the way up of a U.
function turnAround(layers, { height }, isRoot) {
  const top = isRoot ? 8 : NODE.header;
  const bottom = isRoot ? 8 : NODE.padding;
  const flip = (y) => height - bottom - (y - top);
  for (const item of layers.flat()) {
    if (item.port) {
      item.y = height - item.y;
      item.layerTop = item.layerBottom = item.y;
      continue;
    }
    item.y = flip(item.y + item.height);
    [item.layerTop, item.layerBottom] = [flip(item.layerBottom), flip(item.layerTop)];
  }
}

const portKey = (value, way, side) => `${way}|${value.name}|${side}`;

// Where an edge meets an item: an open module's own port, else the middle of the side.
function anchor(item, value, way, side, isUp) {
  if (item.port) return [item.x + item.width / 2, item.y];
  const port = item.ports?.get(portKey(value, way, side));
  if (port) return [item.x + port[0], item.y + port[1]];
  if (side) return [way === "out" ? item.x + item.width : item.x, item.y + Math.min(item.height, NODE.height) / 2];
  const isBottom = (way === "out") !== isUp;
  return [item.x + item.width / 2, isBottom ? item.y + item.height : item.y];
}

function route({ edge, from, to, waypoints }, isUp) {
  const points = [anchor(from, edge.value, "out", edge.side, isUp)];
  for (const { x, layerTop, layerBottom } of waypoints) {
    points.push(...(isUp ? [[x, layerBottom], [x, layerTop]] : [[x, layerTop], [x, layerBottom]]));
  }
  points.push(anchor(to, edge.value, "in", edge.side, isUp));
  return { ...edge, points, isAcross: false };
}

// From a child to the module's side, or the other way.
function sideRoute({ edge, from, to }, { width }) {
  const point = to.port ? anchor(from, edge.value, "out", true) : anchor(to, edge.value, "in", true);
  const border = [to.port ? width : 0, point[1]];
  return { ...edge, points: to.port ? [point, border] : [border, point], isAcross: true };
}

// Where a module's ports are on its border, for the edges outside.
function portsOf(items, routes, isUp) {
  const ports = new Map();
  for (const item of items.values()) {
    if (item.port && !item.port.side) {
      ports.set(portKey(item.port.value, item.port.way, false), [item.x + item.width / 2, item.y]);
    }
  }
  for (const { from, to, value, side, points } of routes) {
    if (!side) continue;
    if (to.way) ports.set(portKey(value, "out", true), points.at(-1));
    if (from.way) ports.set(portKey(value, "in", true), points[0]);
  }
  return ports;
}

// A U: down on the left, the middle below, up on the right, skip connections straight across; at
// the far left, or below where it is narrow, what conditions every block.
function layoutU(root, { down, middle, up, before, after }, isOpen, isNarrow) {
  const boxes = new Map(root.children.map((child) =>
    [child, layoutModule(child, isOpen, up.includes(child) || after.includes(child), false)]));
  const left = [...before, ...down].map((child) => boxes.get(child));
  const right = [...up, ...after].map((child) => boxes.get(child)).reverse();
  // Everything else, an input just before what reads it.
  const placed = new Set([...before, ...down, middle, ...up, ...after]);
  const when = (child) => Math.min(...(root.edges ?? []).filter((edge) => edge.from === child)
    .map((edge) => edge.to.order - 0.5), child.isInput ? Infinity : child.order);
  const aside = root.children.filter((child) => !placed.has(child))
    .sort((a, b) => when(a) - when(b)).map((child) => boxes.get(child));
  // Rows from the top; the last block down faces the first block up.
  const rows = Math.max(left.length, right.length);
  const row = (list, index) => list[index - (rows - list.length)];
  const widest = (list) => Math.max(0, ...list.map((box) => box.width));
  const center = boxes.get(middle);
  const leftX = isNarrow ? 8 : aside.length > 0 ? widest(aside) + 60 : 0;
  const between = isNarrow ? 112 : 300;
  const rightX = leftX + widest(left) + between;
  let y = 8;
  for (let index = 0; index < rows; index += 1) {
    const pair = [[row(left, index), leftX, widest(left)], [row(right, index), rightX, widest(right)]];
    const height = Math.max(...pair.map(([box]) => box?.height ?? 0));
    for (const [box, x, width] of pair) {
      if (!box) continue;
      box.x = x + (width - box.width) / 2;
      box.y = y + (height - box.height) / 2;
    }
    y += height + NODE.gapY;
  }
  center.x = leftX + widest(left) + (between - center.width) / 2;
  center.y = y;
  // An open middle may be wider than all that is above it.
  const shift = Math.max(0, 8 - center.x);
  if (shift > 0) for (const box of [...left, ...right, center]) box.x += shift;
  let asideY = isNarrow ? center.y + center.height + NODE.gapY : 8;
  for (const box of aside) {
    box.x = isNarrow ? leftX + (widest(left) - box.width) / 2 : (widest(aside) - box.width) / 2;
    box.y = asideY;
    // A lone input stands beside the others.
    if (isNarrow && box.module.isInput && box !== aside[0]) {
      box.x = rightX + (widest(right) - box.width) / 2;
      box.y = center.y + center.height + NODE.gapY;
    } else {
      asideY += box.height + NODE.gapY;
    }
  }
  const edges = merged((root.edges ?? []).map((edge) => {
    const [from, to] = [boxes.get(edge.from), boxes.get(edge.to)];
    const rises = [...up, ...after];
    if (edge.side) {
      const ends = [anchor(from, edge.value, "out", true), anchor(to, edge.value, "in", true)];
      return { ...edge, points: ends, isAcross: true };
    }
    const start = anchor(from, edge.value, "out", false, rises.includes(edge.from));
    const end = anchor(to, edge.value, "in", false, rises.includes(edge.to));
    // Out of an open middle at its bottom, around it and up.
    if (edge.from === middle && center.isOpen) {
      const right = Math.max(center.x + center.width + 16, end[0]);
      const [low, high] = [start[1] + 14, Math.min(end[1] + 14, center.y - 8)];
      const around = [[start[0], low], [right, low], [right, high], [end[0], high]];
      return { ...edge, points: [start, ...around, end], isStraight: true };
    }
    // The corners at the bottom are round: into the middle's side, and out of the other.
    const level = center.y + center.height / 2;
    if (edge.to === middle && !center.isOpen) {
      return { ...edge, points: [start, [center.x, level]], bend: [start[0], level] };
    }
    if (edge.from === middle && !center.isOpen) {
      return { ...edge, points: [[center.x + center.width, level], end], bend: [end[0], level] };
    }
    return { ...edge, points: [start, end], isAcross: false };
  }), boxes);
  return {
    width: Math.max(rightX + shift + widest(right), center.x + center.width + (center.isOpen ? 20 : 0)) + 8,
    height: Math.max(center.y + center.height + (center.isOpen ? 16 : 0), asideY) + 8,
    items: [...boxes.values()], edges, ports: new Map(),
  };
}

// Edges between the same two closed boxes become one that carries several values.
function merged(edges, boxes) {
  const result = new Map();
  for (const edge of edges) {
    const isOpen = boxes.get(edge.from).isOpen || boxes.get(edge.to).isOpen;
    const key = isOpen ? edge : `${edge.from.path}|${edge.to.path}|${edge.side}`;
    if (result.has(key)) result.get(key).values.push(edge.value);
    else result.set(key, { ...edge, values: [edge.value] });
  }
  return spread([...result.values()], boxes);
}

// Several edges at one side of a closed box meet it at different heights.
function spread(edges, boxes) {
  for (const way of ["from", "to"]) {
    const groups = Map.groupBy(edges.filter((edge) => edge.side && !boxes.get(edge[way]).isOpen), (edge) => edge[way]);
    for (const [module, group] of groups) {
      const box = boxes.get(module);
      const other = (edge) => boxes.get(edge[way === "from" ? "to" : "from"]).y;
      group.sort((a, b) => other(a) - other(b));
      group.forEach((edge, index) => {
        const point = edge.points[way === "from" ? 0 : edge.points.length - 1];
        point[1] = box.y + (box.height * (index + 1)) / (group.length + 1);
      });
    }
  }
  return edges;
}
