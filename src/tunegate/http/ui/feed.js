// All that is known of one job, and all that comes: the job, its numbers, its events, until it is over.

import { jobPath, read, encode } from "./api.js";
import { Curves } from "./curves.js";
import { batched } from "./dom.js";
import { isOver } from "./job_bits.js";
import { follow } from "./sse.js";

const QUIET = "job.status,job.phase,job.note,job.ignored,job.checkpoint,job.artifact";
const MOST_EVENTS = 2000;

/** Calls `onChange(job, curves, events)` for every batch of news. Closes its stream while nobody looks. */
export class Feed {
  job = null;
  curves = new Curves();
  events = new Map();
  #last = 0;
  #stop = null;
  #onChange;
  #onTrouble;
  #changed = batched(() => { if (this.job && this.#onChange) this.#onChange(this); });
  #looking = null;
  #seen = () => (document.visibilityState === "visible" ? this.#run() : this.#halt());

  constructor(id, onChange, onTrouble) {
    this.id = id;
    this.#onChange = onChange;
    this.#onTrouble = onTrouble;
  }

  async start() {
    document.addEventListener("visibilitychange", this.#seen);
    try {
      this.job = await read(jobPath(this.id));
      this.#changed();
      for (const point of (await read(jobPath(this.id, "metrics"))).data) this.curves.add(point);
      this.#last = this.curves.last;
      await this.#readEvents();
      this.#changed();
    } catch (error) {
      if (this.#onChange) this.#onTrouble(error);
      return;
    }
    this.#run();
  }

  close() {
    document.removeEventListener("visibilitychange", this.#seen);
    this.#onChange = null;
    this.#halt();
  }

  /** After a command: what it answered is the job now, and more will come. */
  took(job) {
    this.job = job;
    this.#changed();
    this.#halt();
    this.#run();
  }

  async #readEvents() {
    for (let after = 0, more = true; more;) {
      const page = await read(jobPath(this.id, `events${encode({ after, limit: 1000, types: QUIET })}`));
      for (const event of page.data) this.#keep(event);
      more = page.has_more;
      after = page.data.at(-1)?.sequence ?? after;
    }
  }

  #halt() {
    if (this.#stop) this.#stop.abort();
    this.#stop = null;
  }

  async #run() {
    if (this.#stop || !this.#onChange || !this.job) return;
    const stop = new AbortController();
    this.#stop = stop;
    try {
      await follow(jobPath(this.id, "events"), {
        after: this.#last, signal: stop.signal,
        onEvent: (event) => this.#take(event),
        isOver: async () => { await this.#look(); return isOver(this.job); },
      });
      if (!stop.signal.aborted) await this.#look();
    } catch (error) {
      if (!stop.signal.aborted && this.#onChange) this.#onTrouble(error);
    } finally {
      if (this.#stop === stop) this.#stop = null;
    }
  }

  #take({ data }) {
    const event = JSON.parse(data);
    this.#last = Math.max(this.#last, event.sequence);
    if (event.type === "job.metrics") {
      if (event.sequence > this.curves.last) this.curves.add({ ...event.data, attempt: event.attempt, timestamp: event.timestamp, sequence: event.sequence });
    } else if (event.type === "job.progress") this.job = { ...this.job, progress: event.data };
    else this.#keep(event);
    if (event.type !== "job.metrics" && event.type !== "job.progress") this.#lookSoon();
    this.#changed();
  }

  #keep(event) {
    this.events.set(event.sequence, event);
    if (this.events.size > MOST_EVENTS) this.events.delete(this.events.keys().next().value);
  }

  #lookSoon() {
    this.#looking ??= setTimeout(() => { this.#looking = null; this.#look(); }, 150);
  }

  async #look() {
    try {
      this.job = await read(jobPath(this.id));
      this.#changed();
    } catch { /* the stream says so itself */ }
  }
}
