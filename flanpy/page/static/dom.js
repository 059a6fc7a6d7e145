// Makes elements. Whatever the daemon says becomes text nodes and attribute values, never markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === false || value === null || value === undefined) continue;
    node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export function el(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

export function byId(id) {
  return document.getElementById(id);
}

// Runs `draw` only when what it draws from differs, so that focus, selection and scrolling stay where they are.
export function onChange(draw) {
  let before;
  return (...from) => {
    const text = JSON.stringify(from);
    if (text === before) return;
    before = text;
    draw(...from);
  };
}
