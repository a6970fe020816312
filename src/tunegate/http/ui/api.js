// The gateway's API, with the reader's token. The token lives in this module's memory and nowhere else.

const BASE = new URL(".", document.baseURI);
let token = "";
const watchers = new Set();
const state = { up: true };

/** What the gateway answered instead of what was asked for. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `The gateway answered ${status}.`);
    this.status = status;
    this.code = body.code || "";
    this.title = body.title || "";
    this.advice = body.advice || "";
    this.errors = Array.isArray(body.errors) ? body.errors : [];
    this.requestId = body.request_id || "";
  }
}

/** The gateway could not be reached. */
export class Unreachable extends Error {
  constructor() { super("The gateway can't be reached."); }
}

export const setToken = (given) => { token = given; };
export const hasToken = () => token !== "";

/** Called with "up", "down" or "unauthorized" when that changes. */
export const watch = (act) => { watchers.add(act); };
const tell = (news) => { for (const act of watchers) act(news); };

const mark = (up) => {
  if (state.up === up) return;
  state.up = up;
  tell(up ? "up" : "down");
};

const problemOf = async (answer) => {
  let body = {};
  try { body = await answer.json(); } catch { /* not ours: a proxy's page */ }
  return new Problem(answer.status, body);
};

export const encode = (values) => {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) if (value !== "" && value !== null && value !== undefined) query.set(name, value);
  return query.size ? `?${query}` : "";
};

export const jobPath = (id, noun = "") => `train/${encodeURIComponent(id)}${noun && `/${noun}`}`;

/** The raw answer. Throws Problem and Unreachable; an aborted one throws what fetch throws. */
export const call = async (path, { method = "GET", body, signal, headers = {} } = {}) => {
  const sent = { accept: "application/json", ...headers };
  if (token) sent.authorization = `Bearer ${token}`;
  if (body !== undefined) sent["content-type"] = "application/json";
  let answer;
  try {
    answer = await fetch(new URL(path, BASE), { method, body, signal, headers: sent, cache: "no-store", credentials: "omit", redirect: "error" });
  } catch (error) {
    if (signal && signal.aborted) throw error;
    mark(false);
    throw new Unreachable();
  }
  mark(true);
  if (answer.ok) return answer;
  const problem = await problemOf(answer);
  if (problem.status === 401 && token) tell("unauthorized");
  throw problem;
};

export const read = async (path, options) => (await call(path, options)).json();
export const send = async (path, body) => read(path, { method: "POST", body });
