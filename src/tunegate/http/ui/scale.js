// Axes: where a value lies, and which values are worth a line.

/** Round values that divide [low, high] into about `wanted` parts. */
export const ticks = (low, high, wanted) => {
  if (!(high > low)) return [low];
  const rough = (high - low) / Math.max(1, wanted);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough * 0.999);
  const found = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9; n += 1) found.push(Number((n * step).toPrecision(12)));
  return found;
};

const SPANS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];

/** Seconds that a clock would show: minutes and hours rather than hundreds of seconds. */
export const timeTicks = (low, high, wanted) => {
  const rough = (high - low) / Math.max(1, wanted);
  const step = SPANS.find((span) => span >= rough) || Math.ceil(rough / 86400) * 86400;
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high; value += step) found.push(value);
  return found;
};

/** Powers of ten, with 2 and 5 between them where there is room. */
export const logTicks = (low, high, wanted) => {
  const found = [];
  const decades = Math.log10(high / low);
  const factors = decades > wanted ? [1] : decades > wanted / 3 ? [1, 3] : [1, 2, 5];
  const every = Math.max(1, Math.ceil(decades / wanted));
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    if (every > 1 && power % every) continue;
    for (const factor of factors) {
      const value = Number((factor * 10 ** power).toPrecision(3));
      if (value >= low * 0.999 && value <= high * 1.001) found.push(value);
    }
  }
  return found.length >= 2 ? found : ticks(low, high, wanted).filter((value) => value > 0);
};

/** A function from values to pixels, and `back` from pixels to values. */
export const scale = ([low, high], [from, to], isLog = false) => {
  const bend = isLog ? Math.log10 : (value) => value;
  const unbend = isLog ? (value) => 10 ** value : (value) => value;
  const start = bend(low);
  const span = bend(high) - start || 1;
  const place = (value) => from + ((bend(value) - start) / span) * (to - from);
  place.back = (pixel) => unbend(start + ((pixel - from) / (to - from)) * span);
  return place;
};

/** The span of values with some air around it. */
export const domain = (values, isLog) => {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (!Number.isFinite(value) || (isLog && value <= 0)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) return null;
  if (isLog) {
    const air = low === high ? 2 : (high / low) ** 0.05;
    return [low / air, high * air];
  }
  const air = low === high ? Math.abs(low) * 0.1 || 1 : (high - low) * 0.06;
  return [low >= 0 && low - air < 0 ? 0 : low - air, high + air];
};
