// Jobs that are still running, kept fresh without a reload. A hidden page asks nothing.
import { job as fetchJob } from "./api.js";

const ENDED = new Set(["completed", "partial", "failed", "cancelled"]);
const LOOK_MILLISECONDS = 700;
const AT_ONCE = 4;

export const ended = (job) => ENDED.has(job.status);

// `changed(job)` is called with every new state of a job; `gone(id)` if it was deleted.
export class Live {
  constructor(changed, gone) {
    this.changed = changed;
    this.gone = gone;
    this.running = new Set();
    this.timer = null;
    document.addEventListener("visibilitychange", () => this.#schedule(0));
  }

  watch(job) {
    if (ended(job)) return;
    this.running.add(job.id);
    this.#schedule(LOOK_MILLISECONDS);
  }

  forget(id) {
    this.running.delete(id);
  }

  #schedule(milliseconds) {
    if (document.hidden || this.running.size === 0 || this.timer !== null) return;
    this.timer = setTimeout(() => this.#look(), milliseconds);
  }

  async #look() {
    const ids = [...this.running];
    for (let start = 0; start < ids.length && !document.hidden; start += AT_ONCE)
      await Promise.all(ids.slice(start, start + AT_ONCE).map((id) => this.#refresh(id)));
    this.timer = null;
    this.#schedule(LOOK_MILLISECONDS * Math.max(1, ids.length / 8));
  }

  async #refresh(id) {
    try {
      const job = await fetchJob(id);
      if (ended(job)) this.running.delete(id);
      this.changed(job);
    } catch (error) {
      if (error.status === 404) {
        this.running.delete(id);
        this.gone(id);
      }
      // Anything else passes: the next look comes by itself.
    }
  }
}
