// Series of numbers as they grow, and what a chart needs of them.

/** The curves of one job, by name. A later attempt that goes on from a checkpoint replaces what it does again. */
export class Curves {
  #byName = new Map();
  last = 0;

  add({ step, attempt, timestamp, values, sequence }) {
    this.last = Math.max(this.last, sequence || 0);
    for (const [name, y] of Object.entries(values)) {
      if (!Number.isFinite(y)) continue;
      const points = this.#byName.get(name) || [];
      this.#byName.set(name, points);
      const newest = points.at(-1);
      if (newest && attempt > newest.attempt) while (points.length && points.at(-1).step >= step) points.pop();
      points.push({ step, y, attempt, time: Date.parse(timestamp) });
    }
  }

  names() { return [...this.#byName.keys()]; }
  points(name) { return this.#byName.get(name) || []; }

  /** When the first number came, in ms. */
  start() { return Math.min(...[...this.#byName.values()].map((points) => points[0].time)); }

  /** The points of a curve over "step" or over "time" (seconds since the job's first number). */
  over(axis, name) {
    const start = axis === "time" ? this.start() : 0;
    return this.points(name).map(({ step, time, y, attempt }) => ({ x: axis === "time" ? (time - start) / 1000 : step, y, step, attempt }));
  }
}

/** Exponential moving average, without the pull to zero at its beginning. `weight` 0 leaves the points alone. */
export const smooth = (points, weight) => {
  if (!weight) return points;
  let mean = 0;
  let share = 1;
  return points.map((point) => {
    mean = weight * mean + (1 - weight) * point.y;
    share *= weight;
    return { ...point, y: mean / (1 - share) };
  });
};

/** No more points than pixels can show: of each column the lowest and the highest, in order. */
export const thin = (points, place, width) => {
  if (points.length <= width * 2) return points;
  const kept = [];
  let column = null;
  let low;
  let high;
  const flush = () => {
    if (column === null) return;
    kept.push(...(low === high ? [low] : low.x <= high.x ? [low, high] : [high, low]));
  };
  for (const point of points) {
    const at = Math.round(place(point.x));
    if (at !== column) { flush(); column = at; low = point; high = point; }
    if (point.y < low.y) low = point;
    if (point.y > high.y) high = point;
  }
  flush();
  return kept;
};

/** The index of the point nearest to x; points are in order of x. */
export const nearest = (points, x) => {
  let from = 0;
  let to = points.length - 1;
  while (to - from > 1) {
    const middle = (from + to) >> 1;
    if (points[middle].x < x) from = middle;
    else to = middle;
  }
  return to >= 0 && Math.abs(points[to].x - x) < Math.abs(points[from].x - x) ? to : Math.max(0, from);
};
