// Jobs kept fresh without a reload: one event stream for all jobs of the page, and
// polling where no stream can be had. A hidden page asks nothing.
import { job as fetchJob } from "./api.js";

const ENDED = new Set(["completed", "partial", "failed", "cancelled"]);
// What the stream tells; "progress" and "job.deleted" are not part of a job's history.
const HISTORY = [
  ...["accepted", "processing", "probed", "deduplicated", "retried", "completed", "partial", "failed", "cancelled"].map((kind) => `job.${kind}`),
  ...["running", "requeued", "publishing", "succeeded", "failed", "cancelled"].map((kind) => `output.${kind}`),
];
const MOST = 50;
const GATHER_MILLISECONDS = 60;
const POLL_MILLISECONDS = 900;
// Beside an open stream, in case a proxy holds it back.
const LOOK_MILLISECONDS = 6000;
const AT_ONCE = 4;

export const ended = (job) => ENDED.has(job.status);
const isEnd = (type) => type.startsWith("job.") && ENDED.has(type.slice(4));

// `changed(job)` is called with every new state of a job, `gone(id)` if it was deleted,
// `heard(event)` with each event of its history.
export class Live {
  constructor(changed, gone, heard = () => undefined) {
    Object.assign(this, { changed, gone, heard });
    this.watched = new Set();
    this.asked = new Set();
    this.timer = null;
    document.addEventListener("visibilitychange", () => this.#open());
    // A browser that goes back to this page finds it as it was, but without a stream.
    addEventListener("pagehide", () => this.stream?.close());
    addEventListener("pageshow", (event) => event.persisted && this.#open());
  }

  // With `history`, also an ended job's events are told.
  watch(job, { history = false } = {}) {
    if (ended(job) && !history) return;
    this.watched.add(job.id);
    clearTimeout(this.opening);
    this.opening = setTimeout(() => this.#open(), GATHER_MILLISECONDS);
  }

  forget(id) {
    this.watched.delete(id);
    if (this.watched.size === 0) this.stream?.close();
  }

  #open() {
    this.stream?.close();
    if (document.hidden || this.watched.size === 0) return;
    this.stream = new EventSource(`/v1/events?jobs=${[...this.watched].slice(0, MOST)}`);
    for (const type of HISTORY) this.stream.addEventListener(type, (event) => this.#told(JSON.parse(event.data)));
    this.stream.addEventListener("progress", (event) => this.#ask(JSON.parse(event.data).job_id));
    this.stream.addEventListener("job.deleted", (event) => this.#lost(JSON.parse(event.data).job_id));
    this.#schedule();
  }

  #told(event) {
    this.heard(event);
    this.#ask(event.job_id);
    if (isEnd(event.type)) this.forget(event.job_id);
  }

  #lost(id) {
    this.forget(id);
    this.gone(id);
  }

  #ask(id) {
    if (this.asked.has(id)) return;
    this.asked.add(id);
    setTimeout(() => this.#refresh(id), GATHER_MILLISECONDS);
  }

  #schedule() {
    if (this.timer !== null || document.hidden || this.watched.size === 0) return;
    const open = this.stream?.readyState === EventSource.OPEN;
    this.timer = setTimeout(() => this.#look(), open ? LOOK_MILLISECONDS : POLL_MILLISECONDS);
  }

  async #look() {
    const ids = [...this.watched];
    for (let start = 0; start < ids.length && !document.hidden; start += AT_ONCE)
      await Promise.all(ids.slice(start, start + AT_ONCE).map((id) => this.#refresh(id)));
    this.timer = null;
    this.#schedule();
  }

  async #refresh(id) {
    this.asked.delete(id);
    try {
      const job = await fetchJob(id);
      // Without a stream, nothing else tells that a job has ended.
      if (ended(job) && this.stream?.readyState !== EventSource.OPEN) this.forget(id);
      this.changed(job);
    } catch (error) {
      if (error.status === 404) this.#lost(id);
      // Anything else passes: the next look comes by itself.
    }
  }
}
