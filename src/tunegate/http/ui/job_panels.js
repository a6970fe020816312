// What stands below a job's curves: its events, its files, its request, what it should know.

import { jobPath, read } from "./api.js";
import { link, make, replace, said, unseen } from "./dom.js";
import { bytes, count, plural, timeOf, at } from "./format.js";
import { isOver, problemBlock } from "./job_bits.js";
import { toast } from "./shell.js";

const copyButton = (text, label) => make("button", {
  type: "button", class: "small", "aria-label": `Copy ${label}`,
  on: { click: async () => {
    try { await navigator.clipboard.writeText(text()); toast("Copied."); } catch { toast("This browser does not let the page copy.", "bad"); }
  } },
}, "Copy");

const NUMBERS = new Set(["No.", "Attempt", "Size", "Step"]);

const grid = (caption, heads, rows) => make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
  make("table", { class: "plain" }, make("caption", { class: "unseen" }, caption),
    make("thead", {}, make("tr", {}, heads.map((head) => make("th", { scope: "col", class: NUMBERS.has(head) ? "number" : null }, head || unseen("Copy"))))), make("tbody", {}, rows)));

/** The event log without the numbers, newest first. */
export const eventsPanel = (feed) => {
  const node = make("div");
  let shown = -1;
  const update = () => {
    const events = [...feed.events.values()].sort((a, b) => b.sequence - a.sequence);
    const newest = events[0]?.sequence ?? 0;
    if (newest === shown) return;
    shown = newest;
    replace(node, events.length ? grid("Events, newest first", ["No.", "Time", "What", "Detail", "Attempt"], events.map((event) => make("tr", {},
      make("td", { class: "number dim" }, String(event.sequence)), make("td", {}, make("time", { datetime: event.timestamp, title: at(event.timestamp) }, timeOf(event.timestamp))),
      make("td", {}, make("span", { class: `kind ${event.type === "job.status" ? event.status : ""}` }, event.type === "job.status" ? event.status : event.type.replace("job.", ""))),
      make("td", {}, said(event.detail)), make("td", { class: "number" }, String(event.attempt))))) : make("p", { class: "dim" }, "Nothing yet."));
  };
  update();
  return { node, update };
};

/** Results and checkpoints; read when it is opened and again whenever the job's state changes. */
export const filesPanel = (feed) => {
  const node = make("div");
  let known = "";
  const update = async () => {
    const saved = [...feed.events.values()].filter(({ type }) => type === "job.checkpoint").length;
    const now = `${feed.job.status}/${saved}`;
    if (now === known) return;
    known = now;
    try {
      const [files, checkpoints] = await Promise.all([read(jobPath(feed.id, "artifacts")), read(jobPath(feed.id, "checkpoints"))]);
      replace(node, make("h3", {}, "Results"), results(files), make("h3", {}, "Checkpoints"), saves(checkpoints.data));
    } catch (error) { replace(node, problemBlock(error, () => { known = ""; update(); })); }
  };
  const results = (files) => (files.data.length
    ? grid("Results", ["File", "Size", "SHA-256", ""], files.data.map((file) => make("tr", {},
      make("td", {}, file.url ? link(file.url, file.path) : said(file.path)), make("td", { class: "number" }, bytes(file.size_bytes)),
      make("td", { class: "mono dim" }, file.sha256 ? make("span", { title: file.sha256 }, file.sha256.slice(0, 12)) : "–"), make("td", {}, copyButton(() => file.uri, `the address of ${file.path}`)))))
    : make("p", { class: "dim" }, isOver(feed.job) ? "It left no results." : "They are listed once the job has succeeded."));
  const saves = (data) => (data.length
    ? grid("Checkpoints", ["Step", "Address", "Size", "Time"], data.map((save) => make("tr", {},
      make("td", { class: "number" }, count(save.step)), make("td", { class: "mono" }, said(save.uri)), make("td", { class: "number" }, bytes(save.size_bytes)), make("td", {}, at(save.timestamp)))))
    : make("p", { class: "dim" }, "None yet."));
  update();
  return { node, update };
};

/** The request as it is kept, secrets replaced. */
export const requestPanel = (id) => {
  const code = make("pre", { class: "code-block", tabindex: "0", "aria-label": "Request" });
  const node = make("div", {}, make("div", { class: "row tools" }, make("span", { class: "dim" }, "*** stands for what is secret; addresses have lost their queries."), make("span", { class: "grow" }),
    copyButton(() => code.textContent, "the request"), make("a", { class: "button small", href: `#/new/${encodeURIComponent(id)}` }, "Clone and edit")), code);
  read(jobPath(id, "request")).then((request) => { code.textContent = JSON.stringify(request, null, 2); }, (error) => replace(node, problemBlock(error)));
  return { node };
};

/** What the client should know: notes, and fields without effect. */
export const notesPanel = (feed) => {
  const node = make("div");
  let shown = -1;
  const update = () => {
    const { notes, ignored } = feed.job;
    if (shown === notes.length + ignored.length) return;
    shown = notes.length + ignored.length;
    if (!shown) { replace(node, make("p", { class: "dim" }, "Nothing to tell.")); return; }
    replace(node, notes.length ? [make("h3", {}, plural(notes.length, "note")), make("ul", { class: "lines" }, notes.map((note) => make("li", {}, said(note))))] : null,
      ignored.length ? [make("h3", {}, "Fields without effect"), make("dl", { class: "pairs" }, ignored.map(({ path, reason }) => [make("dt", { class: "mono" }, said(path)), make("dd", {}, said(reason))]))] : null);
  };
  update();
  return { node, update };
};
