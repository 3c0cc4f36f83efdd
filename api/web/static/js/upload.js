// One resumable upload: the tus client, and the row that shows it.
import "../vendor/tus-js-client/tus.min.js";
import { Refused } from "./api.js";
import { h } from "./dom.js";
import * as store from "./kept-files.js";
import { wordsOf } from "./page.js";
import { bytes, number, span, t } from "./texts.js";

const ENDPOINT = "/v1/tus";
// After the last pause the person decides. An API that restarts is back long before.
const PAUSES = [0, 500, 1000, 2000, 3000, 5000, 5000, 10000, 10000, 20000];
// The speed is that of the last seconds, not of the whole upload.
const SPEED_MILLISECONDS = 4000;

export function newRecord(file, job) {
  const id = Array.from(crypto.getRandomValues(new Uint32Array(3)), (n) => n.toString(36)).join("");
  return { id, name: file.name, size: file.size, modified: file.lastModified, url: null, job, file };
}

export class UploadRow {
  // `finished(jobId)` is called when the last byte has arrived, `left()` when the person
  // gave it up.
  constructor(record, { finished, left, begun }) {
    this.record = record;
    this.finished = finished;
    this.left = left;
    this.begun = begun;
    this.samples = [];
    this.state = "waiting";
    this.#build();
    this.#show();
  }

  start() {
    if (this.record.file === null) return this.#become("missing");
    this.samples = [];
    this.upload ??= this.#client();
    this.upload.start();
    return this.#become("running");
  }

  pause() {
    this.upload?.abort();
    this.#become("paused");
  }

  async stop() {
    await this.upload?.abort(true).catch(() => undefined);
    await store.drop(this.record.id);
    this.element.remove();
    this.left();
  }

  #client() {
    const { record } = this;
    return new window.tus.Upload(record.file, {
      endpoint: ENDPOINT,
      uploadUrl: record.url,
      retryDelays: PAUSES,
      storeFingerprintForResuming: false,
      headers: { "X-Framemill-Page": "1" },
      metadata: {
        filename: record.name,
        filetype: record.file.type || "application/octet-stream",
        job: JSON.stringify(record.job),
      },
      onUploadUrlAvailable: () => this.#remember(this.upload.url),
      onProgress: (sent) => this.#progress(sent),
      onError: (error) => this.#fail(error),
      onSuccess: () => this.#finish(),
    });
  }

  async #remember(url) {
    this.record.url = url;
    await store.keep(this.record);
  }

  async #finish() {
    await store.drop(this.record.id);
    this.element.remove();
    this.finished(this.upload.url.split("/").pop());
  }

  #fail(error) {
    const body = error.originalResponse?.getBody();
    let words = t("fault.unreached");
    try {
      if (body) words = wordsOf(new Refused(error.originalResponse.getStatus(), JSON.parse(body)));
    } catch {
      words = error.message;
    }
    this.fault.textContent = words;
    this.#become("failed");
  }

  #progress(sent) {
    const now = performance.now();
    this.sent = sent;
    this.samples.push({ now, sent });
    while (now - this.samples[0].now > SPEED_MILLISECONDS) this.samples.shift();
    this.#show();
  }

  #speed() {
    const first = this.samples[0];
    const last = this.samples.at(-1);
    return first && last.now > first.now ? ((last.sent - first.sent) * 1000) / (last.now - first.now) : 0;
  }

  #become(state) {
    this.state = state;
    this.#show();
    this.begun?.(state);
  }

  #build() {
    const { record } = this;
    this.bar = h("progress", { max: record.size || 1, value: 0, "aria-label": t("upload.progress", { name: record.name }) });
    this.detail = h("p", { class: "small" });
    this.fault = h("p", { class: "fault", role: "alert" });
    this.toggle = h("button", { type: "button", class: "button small", onclick: () => (this.state === "running" ? this.pause() : this.start()) });
    const file = h("input", { type: "file", hidden: true, onchange: (event) => this.#chosen(event.target.files[0]) });
    this.again = h("button", { type: "button", class: "button small", onclick: () => file.click() }, t("upload.again"));
    const stop = h("button", { type: "button", class: "button small", onclick: () => this.stop() }, t("upload.stop"));
    this.element = h(
      "article",
      { class: "card upload", "aria-label": record.name },
      h("div", { class: "upload-head" }, h("h3", { class: "name" }, record.name), h("div", { class: "actions" }, this.toggle, this.again, file, stop)),
      this.bar,
      this.detail,
      this.fault,
    );
  }

  #chosen(file) {
    if (!file) return;
    if (!store.isSame(this.record, file)) {
      this.fault.textContent = t("upload.other", { name: this.record.name });
      return;
    }
    this.record.file = file;
    this.fault.textContent = "";
    this.start();
  }

  #show() {
    const { size } = this.record;
    const sent = this.sent ?? 0;
    this.bar.value = sent;
    this.element.dataset.state = this.state;
    this.toggle.hidden = this.state === "missing" || this.state === "waiting";
    this.again.hidden = this.state !== "missing";
    this.toggle.textContent = t(this.state === "running" ? "upload.pause" : "upload.resume");
    if (this.state === "running") this.fault.textContent = "";
    const speed = this.state === "running" ? this.#speed() : 0;
    this.detail.textContent = [
      t(`upload.${this.state}`),
      t("upload.sent", { sent: bytes(sent), size: bytes(size), percent: number(size ? (sent * 100) / size : 100) }),
      speed > 0 ? t("upload.speed", { speed: bytes(speed), left: span((size - sent) / speed) }) : null,
    ].filter(Boolean).join(" · ");
  }
}
