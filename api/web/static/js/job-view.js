// One job: its name, how far it is, and what it has made. `update` keeps what a person
// is looking at, and replaces only what has changed.
import { act, remove } from "./api.js";
import { h, renew } from "./dom.js";
import { ended } from "./live.js";
import { announce, fault, once, sentence } from "./page.js";
import { results } from "./results.js";
import { bytes, clock, moment, number, t } from "./texts.js";
import { slider, versionsOf } from "./versions.js";

export function statusLabel(status) {
  return h("span", { class: "status", "data-status": status }, t(`status.${status}`));
}

export const nameOf = (job) => job.source.name ?? job.source.key ?? job.source.url ?? job.id;

export function sourceFacts(job) {
  const { media, source } = job;
  const video = media?.video;
  return [
    media?.duration ? clock(media.duration, 0) : null,
    video ? `${video.width} × ${video.height}` : null,
    source.bytes ? bytes(source.bytes) : null,
    moment(job.created_at),
  ].filter(Boolean).join(" · ");
}

function trouble(error) {
  return h(
    "div",
    { class: "notice bad" },
    h("strong", { lang: "en" }, error.title),
    h("p", { lang: "en" }, sentence(error.detail)),
    error.hint ? h("p", { lang: "en" }, h("span", { class: "what" }, t("trouble.do")), " ", sentence(error.hint)) : null,
    h("a", { href: `/docs/errors#${error.code}`, class: "small" }, t("trouble.more")),
  );
}

function warnings(texts) {
  return texts.map((text) => h("p", { class: "notice", lang: "en" }, sentence(text)));
}

export class JobView {
  constructor(job, { removed, linked = true, mine = true } = {}) {
    this.removed = removed;
    this.title = h(linked ? "h3" : "h1", { class: "name" });
    this.about = h("p", { class: "small" });
    this.badge = h("div");
    this.bar = h("progress", { max: 100 });
    this.note = h("p", { class: "small working" });
    this.trouble = h("div");
    this.outputs = h("div", { class: "outputs" });
    this.versions = h("div");
    this.actions = h("div", { class: "actions" });
    this.linked = linked;
    this.mine = mine;
    this.element = h(
      "article",
      { class: "card job", id: `job-${job.id}` },
      h("div", { class: "job-head" }, h("div", {}, this.title, this.about), h("div", { class: "actions" }, this.badge, this.actions)),
      this.bar,
      this.note,
      this.trouble,
      this.outputs,
      this.versions,
    );
    this.update(job);
  }

  update(job) {
    const before = this.job;
    this.job = job;
    const name = nameOf(job);
    renew(this.title, name, () => (this.linked ? h("a", { href: `/jobs/${job.id}` }, name) : name));
    this.element.setAttribute("aria-label", name);
    this.element.dataset.status = job.status;
    this.about.textContent = sourceFacts(job);
    renew(this.badge, job.status, () => statusLabel(job.status));
    renew(this.actions, job.status, () => this.#buttons(job));
    this.#progress(job, name);
    renew(this.trouble, JSON.stringify([job.error, job.warnings, job.waiting]), () => [
      ...(job.error ? [trouble(job.error)] : []),
      ...(job.waiting ? [h("p", { class: "notice" }, t("job.waits"), " ", job.waiting.error.detail)] : []),
      ...warnings(job.warnings),
    ]);
    for (const output of job.outputs) this.#output(job, output);
    this.#compare(job);
    if (before && !ended(before) && ended(job)) announce(`${name}: ${t(`status.${job.status}`)}`);
  }

  #progress(job, name) {
    const done = ended(job);
    this.bar.hidden = this.note.hidden = done;
    if (done) return;
    if (job.status === "accepted") this.bar.removeAttribute("value");
    else this.bar.value = job.progress;
    this.bar.setAttribute("aria-label", t("job.progress", { name }));
    this.note.textContent = t(job.status === "accepted" ? "job.soon" : "job.working", { percent: number(job.progress) });
  }

  #output(job, output) {
    const id = `${job.id}-${output.name}`;
    let place = this.outputs.querySelector(`[data-output="${output.name}"]`);
    if (!place) {
      place = h("section", { class: "output", "data-output": output.name, "aria-labelledby": id });
      this.outputs.append(place);
    }
    place.dataset.status = output.status;
    // What ended the whole job is said once, above.
    place.hidden = job.error !== null && output.artifacts.length === 0;
    // Links change once a day; a picture must not blink for that.
    const key = JSON.stringify([output.status, output.artifacts.map((a) => a.sha256), output.error, output.warnings, job.links.media !== null]);
    renew(place, key, () => this.#shown(job, output, id));
  }

  // Several animations can be compared by their bytes.
  #compare(job) {
    const versions = versionsOf(job);
    if (versions.length < 2) return;
    renew(this.versions, versions.map(({ artifact }) => artifact.sha256).join(), () => slider(versions, job.links.thumbnail));
  }

  #shown(job, output, id) {
    const title = t(`kind.${output.kind}`);
    const heading = output.name === output.kind ? title : `${title} · ${output.name}`;
    const body = output.artifacts.length > 0 ? results(job, output, { bare: !this.mine }) : [];
    if (body.length === 0 && !output.error && !ended(job))
      body.push(h("div", { class: "waiting-picture" }, h("span", { class: "pulse", "aria-hidden": "true" })));
    return [
      h("h4", { id }, heading, output.status === "succeeded" ? null : statusLabel(output.status)),
      ...body,
      output.error && !job.error ? trouble(output.error) : null,
      ...warnings(output.warnings),
    ];
  }

  #buttons(job) {
    const button = (key, action) => h("button", { type: "button", class: "button small quiet", onclick: (event) => this.#try(event.currentTarget, action) }, t(key));
    const archive = job.links.archive ? h("a", { class: "button small quiet", href: job.links.archive, download: "" }, t("job.archive")) : null;
    if (!this.mine) return [archive];
    if (!ended(job)) return [button("job.cancel", async () => this.update(await act(job.id, "cancel")))];
    const shown = [archive];
    if (job.outputs.some(({ artifacts }) => artifacts.length > 0)) shown.push(button("job.share", async () => (await import("./share.js")).share(job)));
    if (job.status !== "completed") shown.push(button("job.retry", async () => this.#again(await act(job.id, "retry"))));
    shown.push(button("job.delete", async () => {
      if (!confirm(t("job.delete_sure", { name: this.title.textContent }))) return;
      await remove(job.id);
      this.element.remove();
      this.removed?.(job.id);
    }));
    return shown;
  }

  #again(job) {
    this.update(job);
    this.element.dispatchEvent(new CustomEvent("again", { bubbles: true, detail: job }));
  }

  async #try(button, action) {
    try {
      this.trouble.querySelector("[role=alert]")?.remove();
      await once(button, action);
    } catch (error) {
      this.trouble.append(fault(error));
    }
  }
}
