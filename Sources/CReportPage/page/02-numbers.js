// Numbers as people read them. Thousands by commas whatever the browser's language, as the page is
// in English.

const count = (value) => Math.round(value).toLocaleString("en-US");

// Three significant digits and a unit: scaled(859520964, 1000, ["", "k", "M"]).
function scaled(value, base, units) {
  let unit = 0;
  while (Math.abs(value) >= base * 0.9995 && unit < units.length - 1) {
    value /= base;
    unit += 1;
  }
  const digits = unit === 0 ? 0 : value < 10 ? 2 : value < 100 ? 1 : 0;
  return value.toFixed(digits) + (units[unit] && " " + units[unit]);
}

const magnitude = (value) => scaled(value, 1000, ["", "k", "M", "G", "T", "P", "E"]);
const bytes = (value) => scaled(value, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]);

function share(part, whole) {
  if (!whole) return "–";
  const percent = (100 * part) / whole;
  return (percent >= 99.95 || percent === 0 ? percent.toFixed(0)
    : percent < 0.1 ? "<0.1" : percent.toFixed(1)) + " %";
}

// A value of a tensor: at most four significant digits.
function real(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size < 1e-3 || size >= 1e5
    ? value.toExponential(2).replace("e+", "e") : String(Number(value.toPrecision(4)));
  return text.replaceAll("-", "−");
}

const shapeText = (shape) => (shape.length === 0 ? "scalar" : shape.join(" × "));
const tightShape = (shape) => (shape.length === 0 ? "scalar" : shape.join("×"));
const product = (shape) => shape.reduce((total, size) => total * size, 1);
const plural = (value, noun) => `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
const sum = (items, of) => items.reduce((total, item) => total + of(item), 0);
