// Server-sent events over fetch: EventSource can't send an Authorization header.

import { call } from "./api.js";

const QUIET_MS = 45000;
const LONGEST_MS = 30000;

/** Splits text as it comes into events {id, type, data}. */
export class Parser {
  #rest = "";
  #event = { id: "", type: "message", data: [] };

  *take(text) {
    this.#rest += text;
    const lines = this.#rest.split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (this.#event.data.length) yield { id: this.#event.id, type: this.#event.type, data: this.#event.data.join("\n") };
        this.#event = { id: this.#event.id, type: "message", data: [] };
      } else this.#field(line);
    }
  }

  #field(line) {
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") this.#event.data.push(value);
    else if (name === "event") this.#event.type = value;
    else if (name === "id") this.#event.id = value;
  }
}

/** A body's text as it comes; one that is quiet for too long is given up. */
export async function* textOf(answer, abort) {
  const reader = answer.body.getReader();
  const decoder = new TextDecoder();
  let timer;
  try {
    for (;;) {
      timer = setTimeout(abort, QUIET_MS);
      const { done, value } = await reader.read();
      clearTimeout(timer);
      if (done) return;
      yield [decoder.decode(value, { stream: true }), value.length];
    }
  } finally {
    clearTimeout(timer);
    reader.cancel().catch(() => {});
  }
}

export const pause = (ms, signal) => new Promise((done) => {
  const timer = setTimeout(done, ms);
  signal.addEventListener("abort", () => { clearTimeout(timer); done(); }, { once: true });
});

/** Follows a stream, comes back with Last-Event-ID after a break; ends with 204, with `isOver()` or with the signal. */
export async function follow(path, { after = 0, onEvent, onBreak = () => {}, isOver, signal }) {
  let last = String(after);
  let tries = 0;
  while (!signal.aborted) {
    const part = new AbortController();
    const stop = () => part.abort();
    signal.addEventListener("abort", stop, { once: true });
    try {
      const answer = await call(path, { signal: part.signal, headers: { accept: "text/event-stream", "last-event-id": last } });
      if (answer.status === 204) return;
      const parser = new Parser();
      for await (const [text] of textOf(answer, stop)) {
        for (const event of parser.take(text)) {
          tries = 0;
          last = event.id || last;
          onEvent(event);
        }
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error.status >= 400 && error.status < 500 && error.status !== 429) throw error;
    } finally {
      signal.removeEventListener("abort", stop);
    }
    if (await isOver()) return;
    onBreak();
    await pause(Math.min(LONGEST_MS, 500 * 2 ** tries), signal);
    tries += 1;
  }
}
