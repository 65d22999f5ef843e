// Making elements. Text only ever goes in as text nodes, so that no name in a file can be markup.

const byId = (id) => document.getElementById(id);

function fill(element, properties, children) {
  for (const [key, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "on") {
      for (const [event, handler] of Object.entries(value)) element.addEventListener(event, handler);
    } else if (key === "style") {
      for (const [name, setting] of Object.entries(value)) element.style.setProperty(name, setting);
    } else if (key === "data") {
      Object.assign(element.dataset, value);
    } else {
      element.setAttribute(key, value === true ? "" : value);
    }
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

// An HTML element: h("p", { class: "note" }, "text", otherElement).
const h = (name, properties, ...children) =>
  fill(document.createElement(name), properties, children);

// An SVG element.
const svg = (name, properties, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", name), properties, children);

// A row of buttons of which one is pressed. `choose` is called with the new choice.
function choices(label, options, current, choose) {
  const buttons = options.map(([value, text]) =>
    h("button", {
      type: "button", "aria-pressed": String(value === current), data: { choice: value },
      on: {
        click() {
          for (const other of buttons) other.setAttribute("aria-pressed", String(other === this));
          choose(value);
        },
      },
    }, text));
  return h("div", { class: "choices", role: "group", "aria-label": label },
    h("span", { class: "choices-label" }, label), h("div", { class: "choices-row" }, buttons));
}

// Says something to a screen reader.
const announce = (text) => { byId("announcer").textContent = text; };

const prefersStill = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
