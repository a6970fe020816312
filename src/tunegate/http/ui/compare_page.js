// Several jobs in one plot.

import { encode, jobPath, read } from "./api.js";
import { Chart } from "./chart.js";
import { Curves } from "./curves.js";
import { make, replace, said, write } from "./dom.js";
import { number } from "./format.js";
import { badge, isOver, jobAddress, problemBlock } from "./job_bits.js";
import { chartControls, forChart, newView } from "./plots.js";
import { MOST, allPicked, clearPicked, pick } from "./selection.js";
import { toast } from "./shell.js";

const EVERY_MS = 3000;
const FIRST = ["loss", "eval_loss", "learning_rate", "grad_norm", "tokens_per_s"];
const label = (name) => name.replaceAll("_", " ");

/** One job as it is compared. */
const entry = (id, color) => ({ id, color, job: null, curves: new Curves(), trouble: null });

const refresh = async (one, signal) => {
  try {
    if (one.job && isOver(one.job) && one.complete) return;
    one.job = await read(jobPath(one.id), { signal });
    for (const point of (await read(jobPath(one.id, `metrics${encode({ after: one.curves.last })}`), { signal })).data) one.curves.add(point);
    one.complete = isOver(one.job);
    one.trouble = null;
  } catch (error) { if (!signal.aborted) one.trouble = error; }
};

export const showCompare = (root, ids) => {
  const given = [...new Set(ids.length ? ids : allPicked())].slice(0, MOST);
  clearPicked();
  for (const id of given) pick(id);
  const view = newView();
  const stop = new AbortController();
  const chart = new Chart("Comparison", { height: 380, level: "h2" });
  const metric = make("select", { "aria-label": "Metric", on: { change: () => draw() } });
  const rows = make("tbody");
  const trouble = make("div", { role: "alert" });
  const empty = make("div", { class: "card empty" }, make("h2", {}, "Nothing picked yet"), make("p", {}, "Pick up to eight jobs in the list, or add one by its name."), make("a", { class: "button strong", href: "#/" }, "To the jobs"));
  const name = make("input", { id: "add", type: "text", autocomplete: "off", spellcheck: "false", list: "recent" });
  const recent = make("datalist", { id: "recent" });
  const controls = chartControls(view, () => draw());
  controls.prepend(make("label", { class: "check" }, "Metric", metric));
  const shown = make("div", { class: "stack" }, make("section", { class: "card", "aria-label": "Plot" }, controls, chart.element),
    make("section", { class: "card table-card" }, make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Compared jobs" }, make("table", { class: "plain compared" }, make("caption", { class: "unseen" }, "Compared jobs"),
      make("thead", {}, make("tr", {}, ["Job", "Status", "Step", "First", "Latest", "Lowest", "At step"].map((head, index) => make("th", { scope: "col", class: index > 1 ? "number" : null }, head)), make("th", { scope: "col" }, make("span", { class: "unseen" }, "Remove")))), rows))));
  let entries = given.map((id, index) => entry(id, index + 1));
  let timer;

  const keepAddress = () => history.replaceState(null, "", `#/compare${entries.length ? `/${entries.map(({ id }) => encodeURIComponent(id)).join(",")}` : ""}`);

  const add = (event) => {
    event.preventDefault();
    const id = name.value.trim();
    if (!id || entries.some((one) => one.id === id)) return;
    if (entries.length >= MOST) { toast("Eight jobs at most can be compared.", "bad"); return; }
    const color = Array.from({ length: MOST }, (_, index) => index + 1).find((free) => entries.every((one) => one.color !== free));
    entries.push(entry(id, color));
    pick(id);
    name.value = "";
    keepAddress();
    load();
  };

  const remove = (id) => {
    entries = entries.filter((one) => one.id !== id);
    pick(id, false);
    keepAddress();
    draw();
    name.focus();
  };

  const fillMetrics = () => {
    const there = new Set(entries.flatMap(({ curves }) => curves.names()));
    const names = [...FIRST.filter((one) => there.has(one)), ...[...there].filter((one) => !FIRST.includes(one)).sort()];
    const known = [...metric.options].map(({ value }) => value);
    if (known.join() === names.join()) return;
    const chosen = metric.value || "loss";
    replace(metric, names.map((one) => make("option", { value: one, selected: one === chosen }, label(one))));
  };

  const draw = () => {
    empty.hidden = entries.length > 0;
    shown.hidden = !entries.length;
    fillMetrics();
    const wanted = metric.value || "loss";
    chart.set(entries.map(({ id, color, curves }) => ({ label: id, color, dashed: color > 4, points: curves.points(wanted).length ? curves.over(view.axis, wanted) : [] })), forChart(view));
    replace(trouble, entries.filter((one) => one.trouble).map((one) => make("div", {}, make("p", {}, make("strong", {}, one.id)), problemBlock(one.trouble))));
    drawRows(wanted);
  };

  const drawRows = (wanted) => {
    const held = rows.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") || document.activeElement.textContent : null;
    replace(rows, entries.map(({ id, color, job, curves }) => {
      const points = curves.points(wanted);
      const low = points.length ? points.reduce((best, point) => (point.y < best.y ? point : best)) : null;
      return make("tr", {}, make("th", { scope: "row" }, make("i", { class: `key c${color}${color > 4 ? " dashed" : ""}` }), make("a", { href: jobAddress(id) }, said(id))), make("td", {}, job ? badge().update(job) : "…"),
        make("td", { class: "number" }, points.length ? String(points.at(-1).step) : "–"), make("td", { class: "number" }, number(points[0]?.y)), make("td", { class: "number" }, number(points.at(-1)?.y)), make("td", { class: "number" }, number(low?.y)), make("td", { class: "number" }, low ? String(low.step) : "–"),
        make("td", {}, make("button", { type: "button", class: "quiet small", "aria-label": `Remove ${id}`, on: { click: () => remove(id) } }, "×")));
    }));
    if (held) [...rows.querySelectorAll("a, button")].find((node) => (node.getAttribute("aria-label") || node.textContent) === held)?.focus();
  };

  const load = async () => {
    clearTimeout(timer);
    await Promise.all(entries.map((one) => refresh(one, stop.signal)));
    if (stop.signal.aborted) return;
    draw();
    if (document.visibilityState === "visible") timer = setTimeout(load, EVERY_MS);
  };

  const suggest = async () => {
    try { replace(recent, (await read("train?limit=50", { signal: stop.signal })).data.map(({ job_id }) => make("option", { value: job_id }))); } catch { /* then one types it */ }
  };

  const seen = () => { if (document.visibilityState === "visible") load(); else clearTimeout(timer); };
  document.addEventListener("visibilitychange", seen);
  replace(root, make("div", { class: "head" }, make("h1", {}, "Compare"), make("span", { class: "grow" }),
    make("form", { class: "row", on: { submit: add } }, make("label", { class: "field inline" }, make("span", {}, "Add a job"), name), recent, make("button", { type: "submit" }, "Add"))), trouble, empty, shown);
  write(controls.querySelector("output"), "0");
  keepAddress();
  draw();
  load();
  suggest();
  return () => {
    clearTimeout(timer);
    stop.abort();
    chart.close();
    document.removeEventListener("visibilitychange", seen);
  };
};
