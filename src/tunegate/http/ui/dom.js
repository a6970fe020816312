// Elements from values. Whatever comes from a job ends as a text node: there is no way here from text to HTML.

const SVG = "http://www.w3.org/2000/svg";

const dress = (node, properties) => {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") {
      for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
    } else node.setAttribute(name, value === true ? "" : String(value));
  }
  return node;
};

const present = (children) => children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);

/** An HTML element: attributes (null and false are left out), `on` for listeners, children as nodes or text. */
export const make = (name, properties = {}, ...children) => {
  const node = dress(document.createElement(name), properties);
  node.append(...present(children));
  return node;
};

/** The same for SVG. */
export const draw = (name, properties = {}, ...children) => {
  const node = dress(document.createElementNS(SVG, name), properties);
  node.append(...present(children));
  return node;
};

/** Text that a user wrote: set apart, so that its direction disturbs nothing around it. */
export const said = (text) => make("bdi", { class: "said" }, text);

/** Text for screen readers alone. */
export const unseen = (text) => make("span", { class: "unseen" }, text);

/** Writes only what changes, so that focus, selection and screen readers are left in peace. */
export const write = (node, text) => {
  if (node.textContent !== text) node.textContent = text;
};

export const setAttribute = (node, name, value) => {
  if (value === null || value === false) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value === true ? "" : String(value));
};

export const replace = (node, ...children) => node.replaceChildren(...present(children));

/** A link where the address is one of the web's, else the plain text. */
export const link = (address, text) => {
  let scheme = "";
  try { scheme = new URL(address).protocol; } catch { /* not an address */ }
  if (scheme !== "https:" && scheme !== "http:") return said(text);
  return make("a", { href: address, rel: "noopener noreferrer", target: "_blank" }, said(text), unseen(" (opens in a new tab)"));
};

/** One moving call for many changes. */
export const batched = (act) => {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; act(); });
  };
};
