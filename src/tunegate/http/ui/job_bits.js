// Small things that several pages show of a job.

import { make, said, setAttribute, unseen, write } from "./dom.js";
import { ago, at, duration } from "./format.js";

export const FINAL = new Set(["succeeded", "failed", "cancelled"]);
export const STATUSES = ["queued", "running", "succeeded", "failed", "cancelled"];

export const isOver = (job) => FINAL.has(job.status);

/** Status as colour, mark and word; a running job's phase where it says more. */
export const badge = () => {
  const node = make("span", { class: "badge" });
  node.update = (job) => {
    node.className = `badge ${job.status}`;
    write(node, job.status === "running" && job.phase && job.phase !== "running" ? job.phase : job.status);
    return node;
  };
  return node;
};

/** A bar with its percent; hidden where nothing is known. */
export const bar = (label) => {
  const fill = make("span", { class: "fill" });
  const node = make("span", { class: "progress", role: "progressbar", "aria-label": label, "aria-valuemin": "0", "aria-valuemax": "100" }, fill);
  node.update = (job) => {
    const percent = job.progress ? job.progress.percent : job.status === "succeeded" ? 100 : 0;
    setAttribute(node, "aria-valuenow", Math.round(percent));
    fill.style.width = `${percent}%`;
    node.className = `progress ${job.status}`;
    return node;
  };
  return node;
};

/** A moment as "3 min ago", exact on hover. */
export const when = (stamp) => {
  const node = make("time", { datetime: stamp, title: at(stamp) }, ago(stamp));
  node.update = (changed) => {
    setAttribute(node, "datetime", changed);
    setAttribute(node, "title", at(changed));
    write(node, ago(changed));
  };
  return node;
};

export const eta = (job) => {
  if (job.status !== "running" || !job.progress || job.progress.eta_s === null || job.progress.eta_s === undefined) return "";
  return `${duration(job.progress.eta_s)} left`;
};

export const jobAddress = (id) => `#/jobs/${encodeURIComponent(id)}`;

/** The pairs of a job as chips. */
export const chips = (metadata) => {
  const pairs = Object.entries(metadata);
  if (!pairs.length) return null;
  return make("ul", { class: "chips", "aria-label": "Metadata" }, pairs.map(([key, value]) =>
    make("li", {}, said(key), unseen(": "), make("b", {}, said(value)))));
};

/** What went wrong, as a block: for problems of calls and failures of jobs alike. */
export const troubleBlock = (title, message, advice, code, extra = null) => make("div", { class: "notice bad" },
  make("p", {}, make("strong", {}, title), code ? [" ", make("a", { class: "code", href: `schema/errors#${encodeURIComponent(code)}`, target: "_blank", rel: "noopener" }, code, unseen(" (opens in a new tab)"))] : null),
  message ? make("p", {}, said(message)) : null, advice ? make("p", {}, said(advice)) : null, extra);

export const problemBlock = (error, again = null) => troubleBlock(
  error.title || "That did not work", error.message === error.title ? "" : error.message, error.advice, error.code,
  again ? make("button", { type: "button", on: { click: again } }, "Try again") : null);
