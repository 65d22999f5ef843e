// A network as a tree of modules, and the values that flow between the children of each.

// A child is a module or, without children of its own, one node of the graph. Inputs and outputs
// are children of the root.
function moduleTree(network) {
  const nodes = network.nodes.map(([name, kind, sources, shape, parameters, macs, rows, attributes], index) => ({
    name, kind, sources, shape, parameters, macs, rows, attributes, index,
    activation: 4 * product(shape),
  }));
  const paths = nodes.map((node) => parts(node.name));
  const modulePaths = new Set(paths.flatMap((path) => path.slice(0, -1).map((_, i) => path.slice(0, i + 1).join("."))));
  const root = { name: network.name, label: network.name, path: "", children: [], parent: null };
  const modules = new Map([["", root]]);
  const module = (path) => {
    const name = path.join(".");
    if (!modules.has(name)) {
      const parent = module(path.slice(0, -1));
      const made = { name, label: path.at(-1), path: name, children: [], parent };
      parent.children.push(made);
      modules.set(name, made);
    }
    return modules.get(name);
  };
  const leaf = (parent, properties) => {
    const made = { children: null, parent, ...properties };
    parent.children.push(made);
    return made;
  };

  const inputs = network.inputs.map(([name, shape], index) =>
    leaf(root, { name, label: name, path: name, shape, isInput: true, order: index - network.inputs.length }));
  const leaves = nodes.map((node, index) => {
    // A node that has the name of a module lies in it, under the name of what it computes.
    const isModule = modulePaths.has(node.name);
    const parent = module(isModule ? paths[index] : paths[index].slice(0, -1));
    return leaf(parent, {
      name: node.name, label: isModule ? node.kind : paths[index].at(-1), path: node.name,
      shape: node.shape, node, order: index,
    });
  });
  const outputs = network.outputs.map(([name, source], index) => ({
    source,
    leaf: leaf(root, { name, label: name, path: name, isOutput: true, order: nodes.length + index }),
  }));

  const sourceLeaf = (source) => (source < 0 ? inputs[-1 - source] : leaves[source]);
  for (const output of outputs) output.leaf.shape = sourceLeaf(output.source).shape;
  const top = simplified(root);
  measure(top);
  const flows = leaves.flatMap((to) => [...new Set(to.node.sources)].map((source) => [sourceLeaf(source), to]));
  flows.push(...outputs.map(({ source, leaf }) => [sourceLeaf(source), leaf]));
  connect(top, flows);
  return { root: top, leaves, inputs };
}

// Modules of one child give way to it; a lone module below the root gives way to its children.
function simplified(root) {
  const visit = (module) => {
    module.children = module.children.map((child) => {
      if (!child.children) return child;
      visit(child);
      if (child.children.length !== 1) return child;
      const [only] = child.children;
      only.parent = module;
      only.label = `${child.label}.${only.label}`;
      return only;
    });
  };
  visit(root);
  for (;;) {
    const inner = root.children.filter((child) => child.children);
    const nodes = root.children.filter((child) => child.node);
    if (inner.length !== 1 || nodes.length > 0) return root;
    const [only] = inner;
    for (const child of only.children) child.parent = root;
    root.children.splice(root.children.indexOf(only), 1, ...only.children);
  }
}

// Sums of a module's nodes, and the place of its first in the order of execution.
function measure(module) {
  if (!module.children) {
    const { node } = module;
    Object.assign(module, {
      parameters: node?.parameters ?? 0, macs: node?.macs ?? 0, count: node ? 1 : 0,
      activation: node?.activation ?? 4 * product(module.shape), last: module.order,
    });
    return;
  }
  module.children.forEach(measure);
  for (const key of ["parameters", "macs", "count", "activation"]) {
    module[key] = sum(module.children, (child) => child[key]);
  }
  module.order = Math.min(...module.children.map((child) => child.order));
  const last = module.children.reduce((a, b) => (b.last > a.last ? b : a));
  module.last = last.last;
  module.shape = last.shape;
}

const ancestors = (module) => {
  const result = [];
  for (let at = module.parent; at; at = at.parent) result.push(at);
  return result;
};

// The module in which two nodes' values meet, and its child that holds a node.
const meeting = (from, to) => {
  const above = new Set(ancestors(from));
  return ancestors(to).find((module) => above.has(module));
};
const childOf = (module, leaf) => {
  let at = leaf;
  while (at.parent !== module) at = at.parent;
  return at;
};

// The columns of a U: the way down, the bottom, the way up; null where a network is not one.
function uColumns(root) {
  const is = (pattern) => root.children.filter((child) => pattern.test(child.label));
  const [down, middle, up] = [is(/^down_blocks\.\d+/), is(/^mid_block/), is(/^up_blocks\.\d+/)];
  if (down.length === 0 || middle.length !== 1 || up.length === 0) return null;
  const drawn = root.children.filter((child) => !child.isConditioning);
  const before = drawn.filter((child) => child.order < down[0].order);
  const after = drawn.filter((child) => child.order > up.at(-1).order);
  return { down, middle: middle[0], up, before, after };
}

// What a value that is read everywhere is called where there is little room.
const shortNames = { time_embedding: "time", encoder_hidden_states: "prompt" };

// Gives every module its `edges`: `{ from, to, value, side }` between its children and its ports.
// A port is `{ value, way: "in" | "out", side }`. A value that more than three children read is not
// drawn but named at each reader (`tags`): a time embedding would cover the picture.
function connect(root, flows) {
  const byValue = Map.groupBy(flows, ([from]) => from);
  const edges = new Map();
  const edge = (module, from, to, value, side) => {
    if (!edges.has(module)) edges.set(module, new Map());
    const end = (item) => (item.way ? `${item.way} ${item.side}` : item.path || item.name);
    edges.get(module).set(`${end(from)}|${end(to)}|${value.name}|${side}`, { from, to, value, side });
  };
  const port = (value, way, side) => ({ value, way, side });
  for (const [value, pairs] of byValue) {
    const readers = new Map();
    for (const [, to] of pairs) {
      const module = meeting(value, to);
      if (!readers.has(module)) readers.set(module, new Set());
      readers.get(module).add(childOf(module, to));
    }
    for (const [module, children] of readers) {
      if (children.size <= 3) continue;
      const source = childOf(module, value);
      (source.feeds ??= []).push(...children);
      const tag = { label: shortNames[source.label] ?? source.label, source };
      for (const [, to] of pairs.filter(([, to]) => meeting(value, to) === module)) {
        for (const at of [to, ...ancestors(to)]) {
          if (at === module) break;
          (at.tags ??= new Map()).set(source.path, tag);
        }
      }
      readers.get(module).isBroadcast = true;
      for (const at of [source, ...conditioners(source, flows, module)]) at.isConditioning = true;
    }
    value.broadcasts = new Set([...readers].filter(([, set]) => set.isBroadcast).map(([module]) => module));
  }

  const columns = uColumns(root);
  const onTheWayUp = new Set(columns ? [...columns.up, ...columns.after] : []);
  const onTheWayDown = new Set(columns ? [...columns.before, ...columns.down] : []);
  for (const [value, to] of flows) {
    const module = meeting(value, to);
    if (value.broadcasts.has(module)) continue;
    const [source, target] = [childOf(module, value), childOf(module, to)];
    const side = module === root && onTheWayDown.has(source) && onTheWayUp.has(target);
    edge(module, source, target, value, side);
    for (let at = value; at.parent !== module; at = at.parent) {
      edge(at.parent, at, port(value, "out", side), value, side);
    }
    for (let at = to; at.parent !== module; at = at.parent) {
      edge(at.parent, port(value, "in", side), at, value, side);
    }
  }
  for (const [module, made] of edges) module.edges = [...made.values()];
  root.columns = columns;
}

// What only serves to compute a value that is read everywhere: the timestep and its embedding.
function conditioners(source, flows, module) {
  const between = flows.filter(([from, to]) => meeting(from, to) === module)
    .map(([from, to]) => [childOf(module, from), childOf(module, to)]);
  const found = new Set([source]);
  for (const child of found) {
    for (const [from, to] of between) {
      const readers = between.filter((pair) => pair[0] === from);
      if (to === child && readers.every((pair) => found.has(pair[1]))) found.add(from);
    }
  }
  return found;
}
