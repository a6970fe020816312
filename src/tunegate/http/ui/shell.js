// What surrounds every page: theme, messages, the state of the connection.

import { make, write } from "./dom.js";

const THEMES = ["auto", "light", "dark"];
const LABELS = { auto: "Theme: system", light: "Theme: light", dark: "Theme: dark" };
const KEY = "tunegate-theme";

const byId = (id) => document.getElementById(id);

const stored = () => {
  try { return localStorage.getItem(KEY) || "auto"; } catch { return "auto"; }
};

const applyTheme = (theme) => {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  write(byId("theme"), LABELS[theme]);
};

/** The choice of light or dark is the one thing that is kept: it is nobody's secret. */
export const startTheme = () => {
  let theme = THEMES.includes(stored()) ? stored() : "auto";
  applyTheme(theme);
  byId("theme").addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    applyTheme(theme);
    try { localStorage.setItem(KEY, theme); } catch { /* then it holds for this page */ }
  });
};

/** Said to screen readers, not shown. */
export const announce = (text) => {
  const place = byId("said");
  place.append(make("p", {}, text));
  while (place.children.length > 3) place.firstChild.remove();
};

/** A short message that goes by itself; `kind` "good" or "bad". */
export const toast = (text, kind = "good") => {
  const node = make("div", { class: `toast ${kind}`, role: kind === "bad" ? "alert" : "status" }, text,
    make("button", { type: "button", class: "quiet small", "aria-label": "Dismiss", on: { click: () => node.remove() } }, "×"));
  byId("toasts").append(node);
  setTimeout(() => node.remove(), kind === "bad" ? 15000 : 6000);
};

export const showConnection = (isUp) => {
  const node = byId("link-state");
  node.hidden = isUp;
  write(node, isUp ? "" : "Gateway unreachable, trying again");
};

/** Asks before something that can't be undone; the promise tells whether to go on. */
export const confirmed = (question, detail, verb) => new Promise((done) => {
  const dialog = make("dialog", { "aria-labelledby": "question", "aria-describedby": "question-detail" });
  const answer = (value) => () => { dialog.close(); done(value); };
  dialog.append(make("h2", { id: "question" }, question), make("p", { id: "question-detail" }, detail),
    make("div", { class: "row end" }, make("button", { type: "button", on: { click: answer(false) } }, "Keep it"),
      make("button", { type: "button", class: "danger", on: { click: answer(true) } }, verb)));
  dialog.addEventListener("cancel", () => done(false));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
});
