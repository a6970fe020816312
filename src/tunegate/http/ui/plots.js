// Controls that charts share: smoothing, log scale, what runs along the x axis.

import { make, write } from "./dom.js";
import { count, elapsed } from "./format.js";

export const chartControls = (view, act) => {
  const output = make("output", {}, "0");
  const slider = make("input", { type: "range", min: 0, max: 0.98, step: 0.02, value: view.weight, "aria-label": "Smoothing", on: { input: () => { view.weight = Number(slider.value); write(output, view.weight.toFixed(2)); act(); } } });
  const log = make("input", { type: "checkbox", checked: view.isLog, on: { change: () => { view.isLog = log.checked; act(); } } });
  const axis = make("select", { "aria-label": "Along the x axis", on: { change: () => { view.axis = axis.value; act(); } } },
    make("option", { value: "step" }, "Step"), make("option", { value: "time" }, "Time"));
  return make("div", { class: "row tools", role: "group", "aria-label": "Charts" },
    make("label", { class: "check" }, "Smoothing", slider, output), make("label", { class: "check" }, log, "Log scale"), make("label", { class: "check" }, "Along", axis));
};

export const newView = () => ({ weight: 0, isLog: false, axis: "step" });

/** A view as a chart wants it. */
export const forChart = ({ weight, isLog, axis }) => ({ weight, isLog, isTime: axis === "time", xLabel: axis === "time" ? "Time" : "Step", xFormat: axis === "time" ? elapsed : count });
