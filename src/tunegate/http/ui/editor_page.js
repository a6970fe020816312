// A new job, or another one's request to be edited: JSON with the API's own errors at the lines that they are about.

import { encode, jobPath, read, send } from "./api.js";
import { make, replace, said, write } from "./dom.js";
import { jsonEditor } from "./editor.js";
import { plural } from "./format.js";
import { jobAddress, problemBlock } from "./job_bits.js";
import { hiddenPaths, lineOf, placeOf, places, syntaxTrouble } from "./json_places.js";
import { announce, toast } from "./shell.js";

const EMPTY = {
  job_id: "my-first-job",
  base_model: { provider: "huggingface", model_name: "org/model" },
  customization: { method: "lora", rank: 16 },
  resources: { gpus: 1 },
  datasets: [{ source: "s3://bucket/data.jsonl", format: "jsonl" }],
  artifacts: { output_uri: "s3://bucket/results/" },
  tuning_parameters: { num_epochs: 1 },
};

/** `run-7` becomes `run-8`, `run` becomes `run-2`, past those that are `taken`. */
export const nextName = (id, taken = []) => {
  const [, stem] = /^(.*?)(?:-\d{1,6})?$/.exec(id);
  const numbers = [id, ...taken].filter((name) => name.startsWith(`${stem}-`)).map((name) => name.slice(stem.length + 1)).filter((rest) => /^\d{1,6}$/.test(rest));
  return `${stem.slice(0, 120)}-${Math.max(1, ...numbers.map(Number)) + 1}`;
};

export const showEditor = (root, from) => {
  const problems = make("section", { class: "problems card", "aria-labelledby": "problems-title" });
  const title = make("h2", { id: "problems-title" }, "Problems");
  const outcome = make("div");
  const count = make("p", { id: "problem-count", class: "dim", role: "status" }, "Not checked yet.");
  const list = make("ol", { class: "problem-list" });
  const editor = jsonEditor("Request as JSON", "problem-count", () => { if (list.firstChild) { write(count, "Changed since the last check."); } });
  const check = make("button", { type: "button" }, "Check");
  const submit = make("button", { type: "button", class: "strong" }, "Submit");
  const example = make("select", { "aria-label": "Example", on: { change: () => fillExample(example.value) } }, make("option", { value: "" }, "Start from an example …"));
  const clone = from !== null;
  let examples = {};

  const show = (found) => {
    const text = editor.value;
    const known = places(text);
    const placed = found.map((one) => {
      const place = one.line ? { from: text.split("\n").slice(0, one.line - 1).join("\n").length + (one.line > 1 ? 1 : 0), to: 0 } : placeOf(known, one.path);
      return { ...one, place: { from: place.from, to: Math.max(place.from, place.to) }, line: lineOf(text, place.from) };
    }).sort((a, b) => a.line - b.line);
    editor.mark(placed);
    replace(list, placed.map(({ path, message, code, line, place }) => make("li", {}, make("button", { type: "button", class: "problem", on: { click: () => editor.goTo(place) } },
      make("span", { class: "where" }, make("span", { class: "mono" }, said(path)), make("span", { class: "dim" }, `line ${line}`)), make("span", {}, said(message)), code ? make("span", { class: "dim mono small" }, code) : null))));
    write(count, placed.length ? plural(placed.length, "problem") : "No problems.");
    replace(outcome);
    if (placed.length) announce(`${plural(placed.length, "problem")}. First: ${placed[0].path} ${placed[0].message}`);
  };

  /** The request as text, or null with what is wrong shown. */
  const ready = () => {
    const trouble = syntaxTrouble(editor.value);
    if (trouble) { show([{ path: "$", message: trouble.message, line: trouble.line }]); return null; }
    const hidden = hiddenPaths(JSON.parse(editor.value));
    if (hidden.length) {
      show(hidden.map((path) => ({ path, message: "*** stands for something secret: write it again, or take the field out", code: "" })));
      return null;
    }
    return editor.value;
  };

  const ask = async (button, path, act) => {
    const body = ready();
    if (body === null) return;
    button.disabled = true;
    write(count, "Asking the gateway …");
    try {
      const answer = await send(path, body);
      show([]);
      act(answer);
    } catch (error) {
      if (error.errors?.length) show(error.errors);
      else { show([]); write(count, "See below."); }
      replace(outcome, error.errors?.length ? null : problemBlock(error));
    } finally { button.disabled = false; }
  };

  check.addEventListener("click", () => ask(check, "train?dry_run=true", (plan) => {
    announce("No problems.");
    replace(outcome, make("div", { class: "notice good" }, make("p", {}, make("strong", {}, "This job can run"), ` with ${plan.backend} on ${plan.launcher}.`)),
      make("ul", { class: "lines" }, plan.notes.map((note) => make("li", {}, said(note))), plan.ignored.map(({ path, reason }) => make("li", {}, make("span", { class: "mono" }, said(path)), " has no effect: ", said(reason)))),
      [["Data", plan.data], ["Predicted", plan.predicted], ["Container", plan.container], ["Launcher request", plan.launcher_request]].filter(([, value]) => value).map(([name, value]) =>
        make("details", {}, make("summary", {}, name), make("pre", { class: "code-block", tabindex: "0", "aria-label": name }, JSON.stringify(value, null, 2)))));
  }));
  submit.addEventListener("click", () => ask(submit, "train", (job) => {
    toast("The job is stored and will run.");
    location.hash = jobAddress(job.job_id);
  }));

  const fillExample = (name) => { if (name) { editor.value = JSON.stringify(examples[name].value, null, 2); show([]); write(count, "Not checked yet."); } };

  const loadExamples = async () => {
    try {
      const content = (await read("schema/openapi.json")).paths["/train"].post.requestBody.content["application/json"];
      examples = content.examples || {};
      example.append(...Object.keys(examples).map((name) => make("option", { value: name }, name)));
    } catch { example.hidden = true; }
  };

  const loadClone = async () => {
    try {
      const stem = from.replace(/-\d{1,6}$/, "");
      const [request, others] = await Promise.all([read(jobPath(from, "request")), read(`train${encode({ search: stem, limit: 200 })}`)]);
      const { job_id: known, ...rest } = request;
      editor.value = JSON.stringify({ job_id: nextName(known, others.data.map(({ job_id }) => job_id)), ...rest }, null, 2);
      const hidden = hiddenPaths(request);
      if (hidden.length) show(hidden.map((path) => ({ path, message: "was secret: write it again, or take the field out", code: "" })));
    } catch (error) { replace(outcome, problemBlock(error)); }
  };

  problems.append(title, count, list, outcome);
  replace(root, make("div", { class: "head" }, make("h1", {}, clone ? `Clone of ${from}` : "New job"), make("span", { class: "grow" }), make("div", { class: "row actions" }, clone ? null : example, check, submit)),
    make("div", { class: "split" }, make("section", { class: "card editor-card", "aria-label": "Request" }, editor.element), problems));
  if (clone) loadClone();
  else { editor.value = JSON.stringify(EMPTY, null, 2); loadExamples(); }
};
