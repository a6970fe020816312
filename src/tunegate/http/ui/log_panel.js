// The tail of a job's log, as it is written.

import { call, encode, jobPath } from "./api.js";
import { make, replace, write } from "./dom.js";
import { plural } from "./format.js";
import { pause, textOf } from "./sse.js";
import { toast } from "./shell.js";

const KEPT = 4000;
const LONGEST = 4000;
// eslint-disable-next-line no-control-regex
const COLORS = /\u001b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|.)/g;
// eslint-disable-next-line no-control-regex
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f]/g;

/** A line as a terminal would leave it: progress bars at their last state, no colours, no control characters. */
export const plain = (line) => {
  const last = line.replace(/\r+$/, "").split("\r").at(-1).replace(COLORS, "").replace(CONTROLS, "\ufffd");
  return last.length > LONGEST ? `${last.slice(0, LONGEST)} … ${plural(last.length - LONGEST, "character")} more` : last;
};

export const logPanel = (id, isOver) => {
  let offset = 0;
  let rest = "";
  let dropped = 0;
  let stop = null;
  let filter = "";
  let lines = [];
  const output = make("div", { class: "log", role: "log", "aria-label": "Log", "aria-live": "off", tabindex: "0" });
  const state = make("span", { class: "dim", role: "status" });
  const tail = make("input", { type: "checkbox", checked: true });
  const wrap = make("input", { type: "checkbox", checked: true, on: { change: () => output.classList.toggle("unwrapped", !wrap.checked) } });
  const find = make("input", { type: "search", placeholder: "Only lines with …", "aria-label": "Only lines with", on: { input: () => { filter = find.value.toLowerCase(); repaint(); } } });
  const node = make("div", {}, make("div", { class: "row tools" }, find, make("label", { class: "check" }, tail, "Follow"), make("label", { class: "check" }, wrap, "Wrap"),
    make("button", { type: "button", class: "small", on: { click: () => download() } }, "Download"), make("span", { class: "grow" }), state), output);

  const fits = (line) => !filter || line.toLowerCase().includes(filter);
  const drawn = (line) => make("div", { class: "line", dir: "auto" }, line || "\u00a0");
  const toEnd = () => { if (tail.checked) output.scrollTop = output.scrollHeight; };

  const repaint = () => {
    replace(output, lines.filter(fits).map(drawn));
    toEnd();
  };

  const take = (text) => {
    const coming = (rest + text).split("\n");
    rest = coming.pop();
    if (rest.length > 1e6) rest = rest.slice(-1e6);
    const fresh = coming.map(plain);
    lines.push(...fresh);
    output.append(...fresh.slice(-KEPT).filter(fits).map(drawn));
    if (lines.length > KEPT) {
      dropped += lines.length - KEPT;
      lines = lines.slice(-KEPT);
    }
    while (output.children.length > KEPT) output.firstChild.remove();
    toEnd();
  };

  const tell = (word) => write(state, `${plural(dropped + lines.length, "line")}${dropped ? `, the last ${KEPT} shown` : ""}${word ? ` · ${word}` : ""}`);

  const run = async () => {
    const mine = new AbortController();
    stop = mine;
    while (!mine.signal.aborted) {
      const part = new AbortController();
      mine.signal.addEventListener("abort", () => part.abort(), { once: true });
      try {
        tell("reading");
        const answer = await call(jobPath(id, `logs${encode({ follow: !isOver(), offset })}`), { signal: part.signal, headers: { accept: "text/plain" } });
        for await (const [text, length] of textOf(answer, () => part.abort())) {
          offset += length;
          take(text);
          tell("following");
        }
        if (isOver()) {
          if (rest) take("\n");
          tell(lines.length ? "complete" : "empty");
          return;
        }
      } catch (error) {
        if (mine.signal.aborted) return;
        tell(error.message);
        if (error.status === 404) return;
      }
      await pause(2000, mine.signal);
    }
  };

  const download = async () => {
    try {
      const text = await (await call(jobPath(id, "logs"), { headers: { accept: "text/plain" } })).blob();
      const address = URL.createObjectURL(text);
      make("a", { href: address, download: `${id}.log` }).click();
      setTimeout(() => URL.revokeObjectURL(address), 1000);
    } catch (error) { toast(error.message, "bad"); }
  };

  const halt = () => { if (stop) stop.abort(); stop = null; };
  const resume = () => { if (!stop && document.visibilityState === "visible") run(); };
  const seen = () => (document.visibilityState === "visible" ? shown && resume() : halt());
  let shown = false;
  document.addEventListener("visibilitychange", seen);
  output.addEventListener("wheel", () => { tail.checked = output.scrollHeight - output.scrollTop - output.clientHeight < 40; }, { passive: true });
  return {
    node,
    resume: () => { shown = true; resume(); },
    pause: () => { shown = false; halt(); },
    restart: () => { halt(); offset = 0; rest = ""; dropped = 0; lines = []; repaint(); if (shown) resume(); },
    close: () => { halt(); document.removeEventListener("visibilitychange", seen); },
  };
};
