// The list of jobs: filters, pages, and rows that keep up with the gateway.

import { encode, read } from "./api.js";
import { make, replace, said, setAttribute, unseen, write } from "./dom.js";
import { filterBar, fromAddress, isNarrowed, toQuery } from "./filters.js";
import { number } from "./format.js";
import { badge, bar, eta, isOver, jobAddress, problemBlock, when } from "./job_bits.js";
import { allPicked, clearPicked, isPicked, onPick, pick } from "./selection.js";
import { announce, toast } from "./shell.js";

const EVERY_MS = 3000;
const COLUMNS = [["", "pick"], ["Job", ""], ["Status", ""], ["Progress", ""], ["Loss", "number wide-only"], ["Backend", "wide-only"], ["Launcher", "wide-only"], ["Created", "wide-only"]];
const SIZES = ["25", "50", "100"];

/** One row; it writes only what has changed. */
const row = (job) => {
  const mark = badge();
  const progress = bar(`Progress of ${job.job_id}`);
  const percent = make("span", { class: "percent" });
  const left = make("span", { class: "dim small" });
  const loss = make("td", { class: "number wide-only" });
  const detail = make("span", { class: "detail" });
  const created = when(job.created_at);
  const box = make("input", { type: "checkbox", "aria-label": `Compare ${job.job_id}`, on: { change: () => {
    if (!pick(job.job_id, box.checked)) { box.checked = false; toast("Eight jobs at most can be compared.", "bad"); }
  } } });
  const pairs = Object.entries(job.metadata);
  const node = make("tr", {}, make("td", { class: "pick" }, box),
    make("th", { scope: "row" }, make("a", { href: jobAddress(job.job_id) }, job.job_id),
      pairs.length ? make("span", { class: "tags" }, pairs.slice(0, 3).map(([key, value]) => make("span", { class: "tag" }, said(`${key}: ${value}`)))) : null),
    make("td", {}, mark, detail), make("td", { class: "track" }, make("span", { class: "row tight" }, progress, percent), left),
    loss, make("td", { class: "wide-only" }, said(job.backend)), make("td", { class: "wide-only" }, said(job.launcher)), make("td", { class: "wide-only" }, created));
  node.update = (now) => {
    mark.update(now);
    progress.update(now);
    write(percent, now.progress ? `${Math.floor(now.progress.percent)}%` : "");
    write(left, eta(now));
    write(loss, number(now.progress && now.progress.loss));
    const told = now.error ? now.error.message : now.detail;
    if (detail.textContent !== told) { replace(detail, said(told)); detail.title = told; }
    created.update(now.created_at);
    box.checked = isPicked(now.job_id);
    if (node.job && node.job.status !== now.status) announce(`${now.job_id} is ${now.status}.`);
    node.job = now;
    return node;
  };
  return node.update(job);
};

export const showJobs = (root, address) => {
  const wanted = fromAddress(address);
  if (!SIZES.includes(wanted.limit)) wanted.limit = "25";
  let trail = [address.get("after") || ""];
  let rows = new Map();
  let timer;
  let asked = null;

  const body = make("tbody");
  const trouble = make("div", { role: "alert" });
  const empty = make("div", { class: "empty", hidden: true });
  const count = make("p", { class: "dim", role: "status" });
  const table = make("table", { class: "jobs" }, make("caption", { class: "unseen" }, "Jobs, newest first"),
    make("thead", {}, make("tr", {}, COLUMNS.map(([title, kind]) => make("th", { scope: "col", class: kind || null }, title || unseen("Compare"))))), body);
  const newer = make("button", { type: "button", on: { click: () => { if (trail.length > 1) trail.pop(); else trail = [""]; fresh(); } } }, "Newer");
  const older = make("button", { type: "button", on: { click: () => { trail.push([...rows.keys()].at(-1)); fresh(); } } }, "Older");
  const size = make("label", { class: "field inline" }, make("span", {}, "Rows"), make("select", { on: { change: (event) => { wanted.limit = event.target.value; trail = [""]; fresh(); } } },
    SIZES.map((value) => make("option", { value, selected: value === wanted.limit }, value))));
  const compare = make("a", { class: "button strong" });
  const picked = make("div", { class: "picked", role: "region", "aria-label": "Selection", hidden: true }, make("span"), compare, make("button", { type: "button", class: "quiet", on: { click: clearPicked } }, "Clear"));
  const filters = filterBar(wanted, () => { trail = [""]; fresh(); });

  const keepAddress = () => {
    const query = encode({ ...wanted, limit: wanted.limit === "25" ? "" : wanted.limit, after: trail.at(-1) });
    history.replaceState(null, "", `#/${query}`);
  };

  const fresh = () => { keepAddress(); load(); };

  const fill = (page) => {
    const kept = new Map();
    page.data.forEach((job, index) => {
      const known = rows.get(job.job_id);
      const node = known && known.job.created_at === job.created_at ? known.update(job) : row(job);
      kept.set(job.job_id, node);
      if (body.children[index] !== node) body.insertBefore(node, body.children[index] || null);
    });
    while (body.children.length > page.data.length) body.lastChild.remove();
    rows = kept;
    const isFirst = trail.length === 1 && !trail[0];
    const running = page.data.filter((job) => !isOver(job)).length;
    write(count, page.data.length ? `${page.data.length}${page.has_more || !isFirst ? " on this page" : ""}, ${running} unfinished` : "");
    table.hidden = !page.data.length;
    setAttribute(newer, "disabled", isFirst);
    setAttribute(older, "disabled", !page.has_more);
    showEmpty(page.data.length === 0, isFirst);
  };

  const showEmpty = (isEmpty, isFirst) => {
    if (empty.hidden === !isEmpty && empty.dataset.narrowed === String(isNarrowed(wanted))) return;
    empty.hidden = !isEmpty;
    empty.dataset.narrowed = String(isNarrowed(wanted));
    if (!isEmpty) return;
    if (isNarrowed(wanted)) replace(empty, make("h2", {}, "No job fits these filters"), make("a", { class: "button", href: "#/?" }, "Show all jobs"));
    else if (!isFirst) replace(empty, make("h2", {}, "No older jobs"));
    else replace(empty, make("h2", {}, "No jobs yet"), make("p", {}, "A job is a model, data and a method. Send one to POST /train, or write it here."), make("a", { class: "button strong", href: "#/new" }, "New job"));
  };

  const load = async () => {
    clearTimeout(timer);
    if (asked) asked.abort();
    const mine = new AbortController();
    asked = mine;
    try {
      const page = await read(`train${encode({ ...toQuery(wanted), after: trail.at(-1), limit: wanted.limit })}`, { signal: mine.signal });
      if (mine !== asked) return;
      fill(page);
      if (trouble.firstChild) replace(trouble);
    } catch (error) {
      if (mine.signal.aborted) return;
      if (error.code === "invalid_parameter" && trail.at(-1)) { trail = [""]; fresh(); return; }
      if (trouble.textContent === "" || error.status) replace(trouble, problemBlock(error, load));
    }
    if (!mine.signal.aborted && document.visibilityState === "visible") timer = setTimeout(load, EVERY_MS);
  };

  const drawPicked = () => {
    const ids = allPicked();
    picked.hidden = ids.length === 0;
    write(picked.firstChild, `${ids.length} selected`);
    write(compare, "Compare");
    compare.href = `#/compare/${ids.map(encodeURIComponent).join(",")}`;
    for (const node of rows.values()) node.querySelector("input").checked = isPicked(node.job.job_id);
  };

  const seen = () => { if (document.visibilityState === "visible") load(); else clearTimeout(timer); };
  document.addEventListener("visibilitychange", seen);
  const forget = onPick(drawPicked);
  replace(root, make("div", { class: "head" }, make("h1", {}, "Jobs"), count), filters, trouble,
    make("div", { class: "card table-card" }, table, empty),
    make("nav", { class: "row pages", "aria-label": "Pages" }, newer, older, make("span", { class: "grow" }), size), picked);
  drawPicked();
  load();
  return () => {
    clearTimeout(timer);
    if (asked) asked.abort();
    asked = null;
    forget();
    document.removeEventListener("visibilitychange", seen);
  };
};
