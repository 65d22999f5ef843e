// The report's data with names for the fields of its rows (Sources/Report writes them).

const report = JSON.parse(byId("data").textContent);

function histogramOf(row) {
  if (!row) return null;
  const [lower, upper, below, above, ...counts] = row;
  return { lower, upper, below, above, counts };
}

const components = report.components.map((component, index) => ({
  ...component, index, histogram: histogramOf(component.histogram),
}));
const kinds = report.kinds;

// A name with what cannot be seen, or turns the line around, written out.
const visible = (name) => name.replace(
  /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g,
  (character) => `\\u{${character.codePointAt(0).toString(16)}}`);

const tensors = report.tensors.map((row, index) => {
  const [component, name, published, dtype, shape, kind, isLearned, size, statistics] = row;
  const tensor = {
    index, component: components[component], name: visible(name),
    path: visible(published || name), dtype, shape,
    kind: kinds[kind], isLearned, bytes: size, parameters: product(shape),
    min: NaN, max: NaN, mean: NaN, deviation: NaN, zeros: NaN, nans: NaN, infinities: NaN,
    overflows: NaN, underflows: NaN, histogram: null,
  };
  if (statistics) {
    const [min, max, mean, deviation, zeros, nans, infinities, overflows, underflows, histogram] = statistics;
    const real = (value) => (value === null ? NaN : value);
    Object.assign(tensor, {
      min: real(min), max: real(max), mean: real(mean), deviation: real(deviation), zeros, nans,
      infinities, overflows, underflows, histogram: histogramOf(histogram),
    });
  }
  // What a search looks through.
  tensor.text = `${name}\n${tensor.path}`.toLowerCase();
  return tensor;
});

const dtypes = [...new Set(tensors.map((tensor) => tensor.dtype))]
  .map((name) => ({ name, bytes: sum(tensors, (t) => (t.dtype === name ? t.bytes : 0)) }))
  .sort((a, b) => b.bytes - a.bytes)
  .map(({ name }) => name);

// A network's module path in parts; a list index belongs to what it indexes: `resnets.1` is one.
function parts(name) {
  const result = [];
  for (const part of name.split(".")) {
    if (part === "") continue;
    if (result.length > 0 && /^\d+$/.test(part) && !/\.\d+$/.test(result.at(-1))) {
      result[result.length - 1] += "." + part;
    } else {
      result.push(part);
    }
  }
  return result.length > 0 ? result : [name || "(unnamed)"];
}

// Colours: an index of the palette for each component, kind and dtype.
const usedKinds = kinds.filter((kind) => tensors.some((tensor) => tensor.kind === kind));
const palette = {
  kind: {
    convolution: 0, attention: 1, "feed-forward": 2, linear: 3, normalization: 4, embedding: 5,
    "low-rank (LoRA)": 7, buffer: 8, other: 8,
  },
  component: Object.fromEntries(components.map(({ name }, index) => [name, index % 8])),
  dtype: Object.fromEntries(dtypes.map((name, index) => [name, index % 8])),
};
const colour = (index) => `var(--hue-${index})`;
const colourKey = {
  component: (tensor) => tensor.component.name,
  kind: (tensor) => tensor.kind,
  dtype: (tensor) => tensor.dtype,
};
const colourOf = (by, key) => colour(palette[by][key] ?? 8);
