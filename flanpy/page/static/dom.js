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

// A command with a button that puts it on the clipboard; where the browser refuses that, it is selected.
export function copied(command) {
  const text = el("code", {}, command);
  const button = el("button", { type: "button", "aria-label": `Copy ${command}` }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(command);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(text);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  return el("p", { class: "command" }, text, " ", button);
}

// A word of etcd's that a person may paste into a shell: plain, or its substitute.
export function shellWord(word, otherwise = "") {
  return /^[\w.~:/-]+$/.test(word || "") ? word : otherwise;
}
