// The uploads of a page: a few run at once, the others wait their turn.
import { keep, kept } from "./kept-files.js";
import { UploadRow, newRecord } from "./upload.js";

const AT_ONCE = 3;

export class Uploads {
  // `finished(jobId)` and `left()` are called for each upload that ended so.
  constructor(list, finished, left) {
    this.list = list;
    this.finished = finished;
    this.left = left;
    this.rows = new Set();
  }

  async add(file, job) {
    const record = newRecord(file, job);
    await keep(record);
    this.#row(record);
  }

  // Continues what an earlier visit of this page left unfinished.
  async restore() {
    for (const record of await kept()) this.#row(record);
  }

  #row(record) {
    const row = new UploadRow(record, {
      finished: (id) => { this.#end(row); this.finished(id); },
      left: () => { this.#end(row); this.left(); },
      begun: () => this.#next(),
    });
    this.rows.add(row);
    this.list.prepend(row.element);
    this.#next();
  }

  #end(row) {
    this.rows.delete(row);
    this.#next();
  }

  #next() {
    const running = [...this.rows].filter((row) => row.state === "running").length;
    if (running >= AT_ONCE) return;
    const waiting = [...this.rows].find((row) => row.state === "waiting");
    waiting?.start();
  }
}
