// A line chart in SVG: axes, legend, read-out under the pointer or the arrow keys, zoom by dragging.

import { batched, draw, make, replace, unseen, write } from "./dom.js";
import { number } from "./format.js";
import { nearest, smooth, thin } from "./curves.js";
import { domain, logTicks, scale, ticks, timeTicks } from "./scale.js";

const MARGIN = { top: 10, right: 14, bottom: 26, left: 54 };
const ROWS = 60;

/** Charts of one group show the same place on their x axis. */
export class Group {
  charts = new Set();
  point(x, source) { for (const chart of this.charts) chart.showAt(x, chart === source); }
  zoom(span) { for (const chart of this.charts) chart.zoomTo(span); }
}

/** `series` are {label, points: [{x, y}], color (1-8), dashed}; `view` is {isLog, weight, isTime, xLabel, xFormat}. */
export class Chart {
  #series = [];
  #view = { isLog: false, weight: 0, isTime: false, xLabel: "Step", xFormat: number };
  #hidden = new Set();
  #span = null;
  #at = null;
  #drag = null;
  #plot = null;
  #redraw = batched(() => this.#render());

  constructor(title, { format = number, group = new Group(), height = 220, level = "h3" } = {}) {
    this.format = format;
    this.group = group;
    this.title = title;
    group.charts.add(this);
    this.height = height;
    this.legend = make("ul", { class: "legend" });
    this.canvas = draw("svg", { class: "canvas", "aria-hidden": "true", height });
    this.tip = make("div", { class: "tip", "aria-hidden": "true", hidden: true });
    this.voice = make("div", { class: "unseen", "aria-live": "polite" });
    this.summary = make("p", { class: "unseen" });
    this.numbers = make("div", { class: "scroll" });
    this.table = make("details", { class: "numbers", on: { toggle: () => this.#fillTable() } }, make("summary", {}, "Numbers", unseen(` of ${title}`)), this.numbers);
    this.reset = make("button", { type: "button", class: "quiet small", hidden: true, on: { click: () => this.group.zoom(null) } }, "Reset zoom");
    this.frame = make("div", { class: "plot", tabindex: "0", role: "group", "aria-label": `${title}: chart. Arrow keys read the points, plus and minus zoom, Escape resets.` }, this.canvas, this.tip, this.voice);
    this.element = make("figure", { class: "chart" },
      make("figcaption", {}, make(level, {}, title), this.reset), this.summary, this.frame, this.legend, this.table);
    this.#listen();
    this.sizer = new ResizeObserver(this.#redraw);
    this.sizer.observe(this.frame);
  }

  set(series, view = {}) {
    this.#series = series;
    this.#view = { ...this.#view, ...view };
    this.#redraw();
  }

  close() { this.sizer.disconnect(); this.group.charts.delete(this); }

  zoomTo(span) { this.#span = span; this.reset.hidden = !span; this.#redraw(); }

  showAt(x, withTip) {
    this.#at = x;
    this.#point(withTip);
  }

  #shown() { return this.#series.filter((one) => !this.#hidden.has(one.label) && one.points.length); }

  #render() {
    const width = this.frame.clientWidth;
    if (!width) return;
    const { isLog, weight } = this.#view;
    this.canvas.setAttribute("viewBox", `0 0 ${width} ${this.height}`);
    this.canvas.setAttribute("width", width);
    const shown = this.#shown();
    const xs = shown.flatMap(({ points }) => [points[0].x, points.at(-1).x]);
    const across = this.#span || (xs.length ? [Math.min(...xs), Math.max(...xs)] : null);
    const inside = (points) => (this.#span ? points.filter(({ x }) => x >= across[0] && x <= across[1]) : points);
    const lines = shown.map((one) => ({ ...one, raw: one.points, soft: smooth(one.points, weight) }));
    const up = domain(lines.flatMap(({ soft, raw }) => inside(weight ? [...soft, ...raw] : raw).map(({ y }) => y)), isLog);
    this.#writeLegend();
    this.#writeSummary();
    if (this.table.open) this.#fillTable();
    if (!across || !up) {
      this.#plot = null;
      replace(this.canvas, draw("text", { x: width / 2, y: this.height / 2, class: "none", "text-anchor": "middle" }, xs.length && isLog ? "Nothing above zero to show on a log scale" : "No numbers"));
      return;
    }
    const right = across[0] === across[1] ? [across[0] - 0.5, across[1] + 0.5] : across;
    const x = scale(right, [MARGIN.left, width - MARGIN.right]);
    const y = scale(up, [this.height - MARGIN.bottom, MARGIN.top], isLog);
    this.#plot = { x, y, width, lines, across: right };
    this.cursor = draw("g", { class: "cursor" });
    this.brush = draw("rect", { class: "brush", y: MARGIN.top, height: this.height - MARGIN.top - MARGIN.bottom, width: 0 });
    replace(this.canvas, this.#axes(right, up), draw("g", {}, lines.map((one) => this.#line(one))), this.brush, this.cursor);
    if (this.#at !== null) this.#point(!this.tip.hidden);
  }

  #axes(across, up) {
    const { x, y, width } = this.#plot;
    const { isLog, isTime, xFormat, xLabel } = this.#view;
    const bottom = this.height - MARGIN.bottom;
    const horizontal = (isLog ? logTicks(...up, 5) : ticks(...up, 4)).map((value) => draw("g", {},
      draw("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(value), y2: y(value) }),
      draw("text", { x: MARGIN.left - 8, y: y(value) + 4, "text-anchor": "end" }, this.format(value))));
    const room = Math.max(2, Math.floor(width / 80));
    const marks = isTime ? timeTicks(...across, room * 0.7) : ticks(...across, room).filter(Number.isInteger);
    const vertical = marks.filter((value) => x(value) < width - MARGIN.right - 34).map((value) =>
      draw("text", { x: x(value), y: bottom + 17, "text-anchor": "middle" }, xFormat(value)));
    return draw("g", { class: "axes" }, horizontal, draw("line", { class: "base", x1: MARGIN.left, x2: width - MARGIN.right, y1: bottom, y2: bottom }),
      vertical, draw("text", { class: "unit", x: width - MARGIN.right, y: bottom + 17, "text-anchor": "end" }, xLabel));
  }

  #line({ raw, soft, color, dashed }) {
    const { x, y, width } = this.#plot;
    const [low, high] = this.#plot.across;
    const path = (points, kind) => {
      const from = Math.max(0, nearest(points, low) - 1);
      const near = points.slice(from, nearest(points, high) + 2).filter((point) => !this.#view.isLog || point.y > 0);
      const kept = thin(near, x, width).map((point) => `${x(point.x).toFixed(1)},${y(point.y).toFixed(1)}`);
      return draw("path", { class: `curve c${color} ${kind}${dashed ? " dashed" : ""}`, d: kept.length ? `M${kept.join("L")}` : "" });
    };
    const dots = soft.length <= 24 ? soft.filter((point) => point.x >= low && point.x <= high && (!this.#view.isLog || point.y > 0)).map((point) => draw("circle", { class: `dot c${color}`, r: 2.5, cx: x(point.x), cy: y(point.y) })) : [];
    return draw("g", {}, this.#view.weight ? path(raw, "raw") : null, path(soft, "main"), dots);
  }

  #values() {
    return this.#plot.lines.map((one) => {
      const index = nearest(one.soft, this.#at);
      return { ...one, point: one.soft[index], told: one.raw[index] };
    });
  }

  #point(withTip) {
    if (!this.#plot) return;
    if (this.#at === null) {
      replace(this.cursor);
      this.tip.hidden = true;
      this.#writeLegend();
      return;
    }
    const { x, y, width } = this.#plot;
    const values = this.#values();
    const [low, high] = this.#plot.across;
    const spots = values.filter(({ point }) => point.x >= low && point.x <= high && (!this.#view.isLog || point.y > 0));
    const here = spots.length ? spots.reduce((best, one) => (Math.abs(one.point.x - this.#at) < Math.abs(best.point.x - this.#at) ? one : best)).point.x : this.#at;
    const place = Math.min(width - MARGIN.right, Math.max(MARGIN.left, x(here)));
    replace(this.cursor, draw("line", { x1: place, x2: place, y1: MARGIN.top, y2: this.height - MARGIN.bottom }),
      spots.map(({ point, color }) => draw("circle", { class: `dot c${color}`, r: 4, cx: x(point.x), cy: y(point.y) })));
    this.#writeLegend(values);
    this.tip.hidden = !withTip;
    if (!withTip) return;
    replace(this.tip, make("div", { class: "tip-head" }, `${this.#view.xLabel} ${this.#view.xFormat(here)}`),
      spots.map(({ label, point, told, color }) => make("div", { class: "tip-row" }, make("i", { class: `key c${color}` }), make("span", { class: "tip-label" }, label),
        make("b", {}, this.format(told.y)), this.#view.weight ? make("span", { class: "dim" }, `≈ ${this.format(point.y)}`) : null)));
    const left = place + 14 + this.tip.offsetWidth > width ? place - 14 - this.tip.offsetWidth : place + 14;
    this.tip.style.transform = `translate(${Math.max(0, left)}px, ${MARGIN.top}px)`;
  }

  #writeLegend(values = null) {
    const many = this.#series.length > 1;
    const told = new Map((values || []).map(({ label, told: point }) => [label, point.y]));
    const items = this.#series.map(({ label, points, color, dashed }) => {
      const value = told.get(label) ?? points.at(-1)?.y;
      const inner = [make("i", { class: `key c${color}${dashed ? " dashed" : ""}` }), make("span", { class: "legend-label" }, label), make("b", {}, value === undefined ? "–" : this.format(value))];
      return { label, inner, pressed: !this.#hidden.has(label) };
    });
    const known = [...this.legend.children];
    if (known.length === items.length && known.every((node, index) => node.dataset.label === items[index].label)) {
      known.forEach((node, index) => {
        write(node.querySelector("b"), items[index].inner[2].textContent);
        node.querySelector("button")?.setAttribute("aria-pressed", String(items[index].pressed));
      });
      return;
    }
    replace(this.legend, items.map(({ label, inner, pressed }) => {
      const item = make("li", {}, many ? make("button", { type: "button", "aria-pressed": String(pressed), on: { click: () => this.#toggle(label) } }, inner) : inner);
      item.dataset.label = label;
      return item;
    }));
  }

  #toggle(label) {
    if (!this.#hidden.delete(label)) this.#hidden.add(label);
    this.#render();
  }

  #writeSummary() {
    const parts = this.#shown().map(({ label, points }) => {
      const low = points.reduce((best, point) => (point.y < best.y ? point : best));
      return `${label}: ${points.length} points, ${this.format(points[0].y)} at first, ${this.format(points.at(-1).y)} at last, lowest ${this.format(low.y)} at ${this.#view.xLabel.toLowerCase()} ${this.#view.xFormat(low.x)}.`;
    });
    write(this.summary, parts.join(" ") || "No numbers.");
  }

  #fillTable() {
    if (!this.table.open) return;
    const shown = this.#shown();
    const longest = shown.reduce((best, one) => (one.points.length > best.length ? one.points : best), []);
    const every = Math.max(1, Math.ceil(longest.length / ROWS));
    const picked = longest.filter((_, index) => index % every === 0 || index === longest.length - 1);
    replace(this.numbers, make("table", { class: "plain" }, make("thead", {}, make("tr", {}, make("th", { scope: "col" }, this.#view.xLabel), shown.map(({ label }) => make("th", { scope: "col" }, label)))),
      make("tbody", {}, picked.map(({ x }) => make("tr", {}, make("th", { scope: "row" }, this.#view.xFormat(x)), shown.map(({ points }) => {
        const point = points[nearest(points, x)];
        return make("td", {}, Math.abs(point.x - x) <= 1e-9 ? this.format(point.y) : "");
      }))))));
    this.numbers.tabIndex = 0;
    this.numbers.setAttribute("role", "region");
    this.numbers.setAttribute("aria-label", `Numbers of ${this.title}`);
  }

  #listen() {
    const xOf = (event) => this.#plot.x.back(event.clientX - this.frame.getBoundingClientRect().left);
    this.frame.addEventListener("pointermove", (event) => {
      if (!this.#plot) return;
      const x = xOf(event);
      if (this.#drag !== null) this.#paintBrush(this.#drag, x);
      this.group.point(x, this);
    });
    this.frame.addEventListener("pointerleave", () => { if (this.#drag === null) this.group.point(null, this); });
    this.frame.addEventListener("pointerdown", (event) => {
      if (!this.#plot || event.button || event.pointerType === "touch") return;
      this.#drag = xOf(event);
      this.frame.setPointerCapture(event.pointerId);
    });
    this.frame.addEventListener("pointerup", (event) => {
      if (this.#drag === null || !this.#plot) return;
      const span = [this.#drag, xOf(event)].sort((a, b) => a - b);
      this.#drag = null;
      this.brush.setAttribute("width", 0);
      if (Math.abs(this.#plot.x(span[1]) - this.#plot.x(span[0])) > 8) this.group.zoom(span);
    });
    this.frame.addEventListener("dblclick", () => this.group.zoom(null));
    this.frame.addEventListener("keydown", (event) => this.#key(event));
    this.frame.addEventListener("blur", () => this.group.point(null, this));
  }

  #paintBrush(from, to) {
    const [left, right] = [this.#plot.x(from), this.#plot.x(to)].sort((a, b) => a - b);
    this.brush.setAttribute("x", left);
    this.brush.setAttribute("width", right - left);
  }

  #key(event) {
    if (!this.#plot || event.ctrlKey || event.metaKey || event.altKey) return;
    const points = this.#plot.lines.reduce((best, one) => (one.soft.length > best.length ? one.soft : best), []);
    const [low, high] = this.#plot.across;
    const index = this.#at === null ? points.length - 1 : nearest(points, this.#at);
    const stride = event.shiftKey ? Math.max(1, Math.round(points.length / 20)) : 1;
    const moves = { ArrowLeft: this.#at === null ? index : index - stride, ArrowRight: index + stride, Home: 0, End: points.length - 1 };
    if (event.key in moves) this.group.point(points[Math.min(points.length - 1, Math.max(0, moves[event.key]))].x, this);
    else if (event.key === "Escape") this.group.zoom(null);
    else if (event.key === "+" || event.key === "-") {
      const middle = this.#at ?? (low + high) / 2;
      const factor = event.key === "+" ? 0.5 : 2;
      this.group.zoom([middle - (middle - low) * factor, middle + (high - middle) * factor]);
    } else return;
    event.preventDefault();
    if (this.#at !== null) write(this.voice, `${this.#view.xLabel} ${this.#view.xFormat(this.#at)}: ${this.#values().map(({ label, told }) => `${label} ${this.format(told.y)}`).join(", ")}`);
  }
}
