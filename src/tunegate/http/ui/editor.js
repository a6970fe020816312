// A plain text area with line numbers, whose lines can be marked.

import { make, replace } from "./dom.js";

/** `mark` takes [{line, message}]; `goTo` puts the caret there. Tab leaves the field, as everywhere on the page. */
export const jsonEditor = (label, describedBy, onInput) => {
  const gutter = make("div", { class: "gutter", "aria-hidden": "true" });
  const text = make("textarea", { class: "code", spellcheck: "false", autocomplete: "off", autocapitalize: "off", wrap: "off", "aria-label": label, "aria-describedby": describedBy });
  let marks = new Map();
  let drawn = "";

  const draw = () => {
    const lines = text.value.split("\n").length;
    const key = `${lines}/${[...marks.keys()]}`;
    if (key !== drawn) {
      drawn = key;
      replace(gutter, Array.from({ length: lines }, (_, index) => make("span", { class: marks.has(index + 1) ? "bad" : null, title: marks.get(index + 1) }, String(index + 1))));
    }
    gutter.scrollTop = text.scrollTop;
  };

  text.addEventListener("input", () => { draw(); onInput(); });
  text.addEventListener("scroll", () => { gutter.scrollTop = text.scrollTop; });
  text.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.ctrlKey || event.metaKey) return;
    const before = text.value.slice(0, text.selectionStart);
    const indent = /(?:^|\n)([ \t]*)[^\n]*$/.exec(before)[1];
    const deeper = /[{[]\s*$/.test(before) ? "  " : "";
    event.preventDefault();
    document.execCommand("insertText", false, `\n${indent}${deeper}`);
  });
  return {
    element: make("div", { class: "editor" }, gutter, text),
    get value() { return text.value; },
    set value(given) { text.value = given; draw(); text.scrollTop = 0; },
    mark: (found) => {
      marks = new Map(found.map(({ line, message }) => [line, message]));
      if (marks.size) text.setAttribute("aria-invalid", "true");
      else text.removeAttribute("aria-invalid");
      draw();
    },
    goTo: ({ from, to }) => {
      text.focus();
      text.setSelectionRange(from, to);
      const line = text.value.slice(0, from).split("\n").length;
      text.scrollTop = Math.max(0, (line - 4) * parseFloat(getComputedStyle(text).lineHeight));
    },
  };
};
