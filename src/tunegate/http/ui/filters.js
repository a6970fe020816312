// What the list of jobs is narrowed to, as controls and as the address's query.

import { read } from "./api.js";
import { make, replace } from "./dom.js";
import { STATUSES } from "./job_bits.js";

const SPANS = [["", "Any time"], ["1h", "Last hour"], ["1d", "Last 24 hours"], ["7d", "Last 7 days"], ["30d", "Last 30 days"], ["own", "Between …"]];
const HOURS = { "1h": 1, "1d": 24, "7d": 168, "30d": 720 };
const NAMES = ["status", "backend", "launcher", "search", "span", "from", "to", "limit"];

/** The query of `GET train` that the filters mean now. */
export const toQuery = (wanted) => {
  const { status, backend, launcher, search, span, from, to } = wanted;
  const query = { status, backend, launcher, search };
  if (HOURS[span]) query.since = new Date(Date.now() - HOURS[span] * 3600e3).toISOString();
  if (span === "own" && from) query.since = new Date(from).toISOString();
  if (span === "own" && to) query.until = new Date(to).toISOString();
  return query;
};

export const fromAddress = (query) => Object.fromEntries(NAMES.map((name) => [name, query.get(name) || ""]));
export const isNarrowed = (wanted) => NAMES.some((name) => name !== "limit" && wanted[name]);

const select = (id, label, options, value, act) => make("label", { class: "field" }, make("span", {}, label),
  make("select", { id, on: { change: (event) => act(event.target.value) } }, options.map(([key, text]) => make("option", { value: key, selected: key === value }, text))));

const moment = (id, label, value, act) => make("label", { class: "field" }, make("span", {}, label),
  make("input", { id, type: "datetime-local", value, on: { change: (event) => act(event.target.value) } }));

/** The row of controls; `act` is called with what is wanted whenever that changes. */
export const filterBar = (wanted, act) => {
  const change = (name) => (value) => { wanted[name] = value; act(); };
  let typing;
  const search = make("input", {
    id: "search", type: "search", placeholder: "Name or metadata", value: wanted.search, maxlength: 128, autocomplete: "off", spellcheck: "false",
    on: { input: (event) => { clearTimeout(typing); typing = setTimeout(() => change("search")(event.target.value.trim()), 250); } },
  });
  const statuses = make("fieldset", { class: "chooser" }, make("legend", { class: "unseen" }, "Status"), ["", ...STATUSES].map((status) =>
    make("label", {}, make("input", { type: "radio", name: "status", value: status, checked: status === wanted.status, on: { change: () => change("status")(status) } }),
      make("span", {}, status || "all"))));
  const own = make("span", { class: "row", hidden: wanted.span !== "own" },
    moment("from", "From", wanted.from, change("from")), moment("to", "To", wanted.to, change("to")));
  const backend = select("backend", "Backend", [["", "All"]], "", change("backend"));
  const launcher = select("launcher", "Launcher", [["", "All"]], "", change("launcher"));
  const span = select("span", "Created", SPANS, wanted.span, (value) => { own.hidden = value !== "own"; change("span")(value); });
  fill(backend, "backends", wanted.backend);
  fill(launcher, "launchers", wanted.launcher);
  const bar = make("form", { class: "filters", role: "search", "aria-label": "Filter jobs", on: { submit: (event) => event.preventDefault() } },
    statuses, make("div", { class: "row" }, make("label", { class: "field wide" }, make("span", {}, "Search"), search), backend, launcher, span, own));
  return bar;
};

const fill = async (field, noun, chosen) => {
  const menu = field.querySelector("select");
  let names = [];
  try { names = (await read(noun)).data.map(({ name }) => name); } catch { /* the list itself says what is wrong */ }
  if (chosen && !names.includes(chosen)) names.push(chosen);
  replace(menu, [["", "All"], ...names.map((name) => [name, name])].map(([value, text]) => make("option", { value, selected: value === chosen }, text)));
};
