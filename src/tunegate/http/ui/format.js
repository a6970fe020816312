// Numbers, times and sizes as people read them.

const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

const tidy = (text) => text.replace(/\.?0+(?=e|$)/, "").replace("e+", "e");

/** Four significant digits; powers of ten where a plain number would be long. */
export const number = (value) => {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return tidy(value.toExponential(3));
  return size >= 1000 ? whole.format(value) : Number(value.toPrecision(4)).toString();
};

export const count = (value) => (Math.abs(value) < 10000 ? whole.format(value) : compact.format(value));

export const bytes = (size) => {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let step = 0;
  let value = size;
  while (value >= 1000 && step < units.length - 1) { value /= 1000; step += 1; }
  return `${step ? value.toPrecision(3) : value} ${units[step]}`;
};

/** Seconds as a clock writes them on an axis. */
export const elapsed = (seconds) => {
  const s = Math.round(Math.abs(seconds));
  const two = (value) => String(value).padStart(2, "0");
  if (s < 60) return `${s} s`;
  return s < 3600 ? `${Math.floor(s / 60)}:${two(s % 60)}` : `${Math.floor(s / 3600)}:${two(Math.floor((s % 3600) / 60))}:${two(s % 60)}`;
};

/** Seconds as the two largest units. */
export const duration = (seconds) => {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
};

export const ago = (stamp, now = Date.now()) => {
  const seconds = (now - Date.parse(stamp)) / 1000;
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
};

export const at = (stamp) => moment.format(new Date(stamp));
export const timeOf = (stamp) => clock.format(new Date(stamp));
export const plural = (many, one, more = `${one}s`) => `${whole.format(many)} ${many === 1 ? one : more}`;
