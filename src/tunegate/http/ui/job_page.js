// One job: how far it is, its curves, and all that belongs to it.

import { jobPath, send } from "./api.js";
import { Chart, Group } from "./chart.js";
import { make, replace, said, setAttribute, write } from "./dom.js";
import { Feed } from "./feed.js";
import { at, count, duration, number } from "./format.js";
import { badge, bar, chips, isOver, problemBlock, troubleBlock, when } from "./job_bits.js";
import { eventsPanel, filesPanel, notesPanel, requestPanel } from "./job_panels.js";
import { logPanel } from "./log_panel.js";
import { chartControls, forChart, newView } from "./plots.js";
import { isPicked, onPick, pick } from "./selection.js";
import { announce, confirmed, toast } from "./shell.js";
import { tabs } from "./tabs.js";

const CHARTS = [
  ["Loss", [["loss", "training", 1], ["eval_loss", "evaluation", 2]]],
  ["Learning rate", [["learning_rate", "learning rate", 3]]],
  ["Gradient norm", [["grad_norm", "gradient norm", 4]]],
  ["Throughput", [["tokens_per_s", "tokens/s", 5]]],
];
const [FIRST] = CHARTS[0];
const SHOWN = new Set(CHARTS.flatMap(([, lines]) => lines.map(([name]) => name)));
const RARE = 8;

export const showJob = (root, id) => {
  const view = newView();
  const group = new Group();
  const charts = new Map();
  const head = jobHead(id, (job) => feed.took(job));
  const plots = make("div", { class: "charts" });
  const trouble = make("div", { role: "alert" });
  let lower = null;
  let parts = null;
  let attempt = null;
  let status = null;

  const drawCharts = () => {
    const others = feed.curves.names().filter((name) => !SHOWN.has(name)).map((name) => [name.replaceAll("_", " "), [[name, name.replaceAll("_", " "), 6]]]);
    for (const [title, lines] of [...CHARTS, ...others]) {
      if (title !== FIRST && !lines.some(([name]) => feed.curves.points(name).length)) continue;
      if (!charts.has(title)) {
        const made = new Chart(title, { group });
        charts.set(title, made);
        plots.append(made.element);
      }
      const series = lines.map(([name, label, color]) => ({ label, color, points: feed.curves.over(view.axis, name) }));
      const present = series.filter(({ points }) => points.length);
      charts.get(title).set(present.length ? present : series.slice(0, 1), { ...forChart(view), weight: present.some(({ points }) => points.length > RARE) ? view.weight : 0 });
    }
  };

  const openPanels = () => {
    parts = { events: null, files: null, notes: null, log: null };
    lower = tabs("Details", [
      { id: "log", label: "Log", open: () => (parts.log = logPanel(id, () => isOver(feed.job))) },
      { id: "events", label: "Events", open: () => (parts.events = eventsPanel(feed)) },
      { id: "files", label: "Artifacts", open: () => (parts.files = filesPanel(feed)) },
      { id: "request", label: "Request", open: () => requestPanel(id) },
      { id: "notes", label: "Notes", open: () => (parts.notes = notesPanel(feed)) },
    ]);
    root.append(lower.element);
  };

  const update = () => {
    const { job } = feed;
    curves.hidden = false;
    head.update(job);
    drawCharts();
    if (!parts) openPanels();
    for (const part of [parts.events, parts.files, parts.notes]) if (part) part.update();
    if (parts.log && attempt !== null && job.attempt !== attempt) parts.log.restart();
    attempt = job.attempt;
    if (status !== null && status !== job.status) announce(`${id} is ${job.status}. ${job.error ? job.error.message : ""}`);
    status = job.status;
    document.title = `${job.status === "running" && job.progress ? `${Math.floor(job.progress.percent)}% ` : ""}${id} · tunegate`;
    if (trouble.firstChild) replace(trouble);
  };

  const feed = new Feed(id, update, (error) => replace(trouble, problemBlock(error, () => { replace(trouble); feed.start(); })));
  const curves = make("section", { "aria-label": "Curves", hidden: true }, make("div", { class: "head" }, make("h2", {}, "Curves"), chartControls(view, drawCharts)), plots);
  replace(root, head.element, trouble, curves);
  feed.start();
  return () => {
    feed.close();
    head.close();
    if (lower) lower.close();
    for (const one of charts.values()) one.close();
  };
};

const jobHead = (id, took) => {
  const mark = badge();
  mark.hidden = true;
  const progress = bar("Progress");
  const detail = make("p", { class: "lead" });
  const failure = make("div", { role: "alert" });
  const tiles = make("dl", { class: "tiles" });
  const facts = make("dl", { class: "facts" });
  const tags = make("div");
  const cancel = make("button", { type: "button", class: "danger", hidden: true }, "Cancel");
  const retry = make("button", { type: "button", class: "strong", hidden: true }, "Retry");
  const box = make("button", { type: "button", on: { click: () => { if (!pick(id, !isPicked(id))) toast("Eight jobs at most can be compared.", "bad"); } } });
  const actions = make("div", { class: "row actions", role: "group", "aria-label": "Actions", hidden: true }, cancel, retry, make("a", { class: "button", href: `#/new/${encodeURIComponent(id)}` }, "Clone and edit"), box);
  const summary = make("section", { class: "card", "aria-label": "Summary", hidden: true }, detail, progress, failure, tiles, facts, tags);
  const element = make("div", { class: "job-head" }, make("nav", { "aria-label": "Breadcrumb", class: "crumbs" }, make("a", { href: "#/" }, "Jobs"), make("span", { "aria-hidden": "true" }, "/"), make("span", { "aria-current": "page" }, id)),
    make("div", { class: "head" }, make("h1", {}, id), mark, make("span", { class: "grow" }), actions), summary);
  let job = null;
  let shown = null;
  let timer = null;

  const drawPick = () => { write(box, isPicked(id) ? "Picked for comparison" : "Pick for comparison"); setAttribute(box, "aria-pressed", String(isPicked(id))); };
  const forget = onPick(drawPick);
  drawPick();

  const command = async (button, verb, body) => {
    button.disabled = true;
    try {
      took(await send(jobPath(id, verb), body));
      toast(verb === "cancel" ? "The job is asked to stop." : "The job goes on.");
    } catch (error) {
      toast(`${error.message} ${error.advice || ""}`, "bad");
    } finally { button.disabled = false; }
  };
  cancel.addEventListener("click", async () => {
    const sure = await confirmed(`Cancel ${id}?`, "It saves a checkpoint if it can, and stops. It can go on from there with Retry.", "Cancel the job");
    if (sure) await command(cancel, "cancel");
    cancel.focus();
  });
  retry.addEventListener("click", () => command(retry, "retry"));

  const tile = (name, value) => [make("dt", {}, name), make("dd", {}, value)];
  const drawTiles = () => {
    const p = job.progress;
    const end = isOver(job) ? Date.parse(job.updated_at) : Date.now();
    const values = [["Step", p ? `${count(p.step)} of ${count(p.total_steps)}` : "–"], ["Epoch", p ? number(p.epoch) : "–"], ["Loss", number(p && p.loss)],
      ["Eval loss", number(p && p.eval_loss)], ["Tokens", p ? count(p.tokens) : "–"], ["Tokens/s", p ? count(Math.round(p.tokens_per_s)) : "–"],
      [isOver(job) ? "Duration" : "Elapsed", duration((end - Date.parse(job.created_at)) / 1000)]];
    if (!isOver(job)) values.push(["Time left", p && p.eta_s !== null && p.eta_s !== undefined ? duration(p.eta_s) : "–"]);
    const known = [...tiles.querySelectorAll("dd")];
    if (known.length === values.length) {
      values.forEach(([name, value], index) => { write(known[index], value); write(known[index].previousSibling, name); });
    } else replace(tiles, values.map(([name, value]) => make("div", {}, tile(name, value))));
  };

  const drawFacts = () => replace(facts, [["Backend", said(job.backend)], ["Launcher", said(job.launcher)], ["Attempt", String(job.attempt)], ["Created", when(job.created_at)],
    [isOver(job) ? "Ended" : "Changed", make("time", { datetime: job.updated_at }, at(job.updated_at))], ["Output", said(job.output_uri)], job.log_uri ? ["Logs", said(job.log_uri)] : null,
  ].filter(Boolean).map(([name, value]) => make("div", { class: name === "Output" || name === "Logs" ? "long" : null }, tile(name, value))));

  timer = setInterval(() => { if (job && !isOver(job)) drawTiles(); }, 1000);
  return {
    element,
    update: (now) => {
      job = now;
      for (const part of [mark, summary, actions]) part.hidden = false;
      mark.update(job);
      progress.update(job);
      const told = job.status === "queued" && job.queue_reason ? `${job.detail} · ${job.queue_reason}` : job.detail;
      if (detail.textContent !== told) replace(detail, said(told));
      detail.hidden = Boolean(job.error);
      const failed = job.error ? JSON.stringify(job.error) : "";
      if (failed !== failure.dataset.shown) {
        failure.dataset.shown = failed;
        replace(failure, job.error ? troubleBlock(job.error.origin === "user" ? "The job can't run as it is" : "The job failed", job.error.message, job.error.advice, job.error.code) : null);
      }
      cancel.hidden = isOver(job);
      retry.hidden = !(job.status === "failed" || job.status === "cancelled");
      drawTiles();
      const key = JSON.stringify([job.attempt, job.updated_at.slice(0, 19), job.status]);
      if (key !== shown) {
        shown = key;
        drawFacts();
        replace(tags, chips(job.metadata));
      }
    },
    close: () => { clearInterval(timer); forget(); },
  };
};
