// Where in a JSON text a JSON path stands, so that an error can be shown on its line.

const PLAIN = /^[A-Za-z_][A-Za-z0-9_]*$/;
const SCALAR = /[^\s,\]}]+/y;
const STRING = /"(?:[^"\\]|\\.)*"/y;

export const child = (path, key) => (typeof key === "number" ? `${path}[${key}]` : PLAIN.test(key) ? `${path}.${key}` : `${path}[${JSON.stringify(key)}]`);

/** Offsets {from, to} by path: of values, whatever stands around them. As far as the text can be read. */
export const places = (text) => {
  const found = new Map();
  let at = 0;
  const space = () => { while (at < text.length && /\s/.test(text[at])) at += 1; };
  const take = (pattern) => {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (!match) throw new SyntaxError("not JSON");
    at = pattern.lastIndex;
    return match[0];
  };
  const value = (path, keyAt) => {
    space();
    const from = at;
    if (text[at] === "{") members(path, "}", () => {
      const start = at;
      const key = JSON.parse(take(STRING));
      space();
      if (text[at] !== ":") throw new SyntaxError("not JSON");
      at += 1;
      value(child(path, key), start);
    });
    else if (text[at] === "[") {
      let index = 0;
      members(path, "]", () => { value(child(path, index), at); index += 1; });
    } else take(text[at] === '"' ? STRING : SCALAR);
    found.set(path, { from: Math.min(keyAt, from), to: at });
  };
  const members = (path, closing, one) => {
    at += 1;
    space();
    while (at < text.length && text[at] !== closing) {
      one();
      space();
      if (text[at] === ",") { at += 1; space(); } else if (text[at] !== closing) throw new SyntaxError("not JSON");
    }
    at += 1;
  };
  try { value("$", 0); } catch { /* what was read so far is enough */ }
  return found;
};

/** The place of a path, or of the nearest thing around it that is there. */
export const placeOf = (found, path) => {
  let wanted = path;
  while (wanted && !found.has(wanted)) wanted = wanted.replace(/(?:\.[^.[\]]+|\[[^\]]*\])$|^[^.[]*$/, "");
  return found.get(wanted) || { from: 0, to: 0 };
};

export const lineOf = (text, offset) => text.slice(0, offset).split("\n").length;

/** What stands where: every path whose text holds `***`, the mark of a secret that was taken out. */
export const hiddenPaths = (value, path = "$") => {
  if (typeof value === "string") return value.includes("***") ? [path] : [];
  if (!value || typeof value !== "object") return [];
  return Object.entries(value).flatMap(([key, inner]) => hiddenPaths(inner, child(path, Array.isArray(value) ? Number(key) : key)));
};

/** Line and column of the first thing that is not JSON, with the parser's word; null where all is. */
export const syntaxTrouble = (text) => {
  try { JSON.parse(text); return null; } catch (error) {
    const position = /position (\d+)/.exec(error.message);
    const line = /line (\d+)/.exec(error.message);
    const offset = position ? Number(position[1]) : null;
    return { line: offset === null ? (line ? Number(line[1]) : text.split("\n").length) : lineOf(text, offset), message: `Not JSON: ${error.message.replace(/\s*\(line.*|, \.\.\..*/s, "")}` };
  }
};
