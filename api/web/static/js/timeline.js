// What happened to a job: its stages, a bar for each stretch of work, every event in
// words, and who was told of them.
import { h } from "./dom.js";
import { sentence } from "./page.js";
import { stages } from "./stages.js";
import { has, number, span, t } from "./texts.js";

const BEGINS = { "job.processing": "running", "output.running": "running", "output.publishing": "publishing" };
const RUNNING = new Set(Object.values(BEGINS));
const TRIED = new Set(["output.requeued", "output.succeeded", "output.failed"]);
const ENDS = new Set(["job.completed", "job.partial", "job.failed", "job.cancelled"]);

export class Timeline {
  constructor({ stages: steps, bars, events }) {
    this.steps = steps;
    this.bars = bars;
    this.list = events;
    this.events = [];
    this.deliveries = [];
    this.known = new Set();
    this.job = null;
  }

  update(job) {
    this.job = job;
    this.#draw();
  }

  // A stream that was opened again tells what it told before.
  add(event) {
    const key = JSON.stringify([event.type, event.output, event.at]);
    if (this.known.has(key)) return;
    this.known.add(key);
    this.events.push(event);
    this.#draw();
  }

  // `deliveries` are the webhooks and e-mails so far, oldest first.
  told(deliveries) {
    this.deliveries = deliveries;
    this.#draw();
  }

  #draw() {
    this.steps.replaceChildren(...stages(this.job, this.events, this.deliveries));
    if (this.events.length === 0) return;
    const first = Date.parse(this.events[0].at);
    this.list.replaceChildren(
      ...this.events.map((event) => this.#line(event, first)),
      ...this.deliveries.map((delivery) => this.#delivery(delivery, first)));
    this.bars.replaceChildren(...this.#lanes(first));
  }

  #line(event, first) {
    const words = has(`event.${event.type}`) ? t(`event.${event.type}`, { output: event.output ?? "" }) : event.type;
    const { error, reason, parts } = event.details;
    return h("li", { "data-event": event.type },
      this.#when(event.at, first),
      h("div", {}, h("p", {}, words),
        parts ? h("p", { class: "small" }, t("stage.parts", { count: parts })) : null,
        error ? h("p", { class: "small", lang: "en" }, sentence(error.detail)) : null,
        reason ? h("p", { class: "small", lang: "en" }, sentence(String(reason))) : null,
        ...this.#attempts(event)));
  }

  #when(at, first) {
    return h("span", { class: "small when" }, `+${number((Date.parse(at) - first) / 1000, 1)} s`);
  }

  #delivery({ type, event, output, target, status, attempts, error, created_at: at }, first) {
    const about = [event, output].filter(Boolean).join(" ");
    return h("li", { "data-event": `delivery.${status}` },
      this.#when(at, first),
      h("div", {}, h("p", {}, t(`delivery.${type}`, { target }), `: ${t(`stage.${status}`)}`),
        h("p", { class: "small" }, [about, t("stage.attempts", { count: attempts.length })].join(" · ")),
        error ? h("p", { class: "small", lang: "en" }, sentence(error.detail)) : null));
  }

  // The attempts of an output stand with its end, or with the last time that it went
  // back: what was tried, and for how long.
  #attempts(event) {
    const last = this.events.findLast(({ type, output }) => TRIED.has(type) && output === event.output);
    if (event !== last) return [];
    const output = this.job.outputs.find(({ name }) => name === event.output);
    return (output?.attempts ?? []).map(({ attempt, rung: way, error, seconds }) =>
      h("p", { class: "small" }, [
        t("event.attempt", { number: attempt, way }),
        seconds === null ? null : span(seconds),
        error ? sentence(error.detail) : null,
      ].filter(Boolean).join(" · ")));
  }

  #lanes(first) {
    const end = Math.max(...this.events.map(({ at }) => Date.parse(at)), first + 1);
    const lanes = new Map();
    for (const { type, at, output } of this.events) {
      const lane = output ?? "prepare";
      const time = Date.parse(at);
      const bars = lanes.get(lane) ?? [];
      const open = bars.at(-1);
      const ends = output ? type !== "output.running" : type === "job.probed" || ENDS.has(type);
      // What is made has succeeded, and its copy begins.
      const state = type === "output.publishing" ? "succeeded" : type.split(".")[1];
      if (RUNNING.has(open?.state) && ends) Object.assign(open, { end: time, state });
      if (BEGINS[type]) lanes.set(lane, [...bars, { start: time, end, state: BEGINS[type] }]);
    }
    return [...lanes].map(([lane, bars]) => h("li", { class: "lane" },
      h("span", { class: "small name" }, lane === "prepare" ? t("event.prepare") : lane),
      h("div", { class: "track" }, ...bars.map((bar) => this.#bar(bar, first, end)))));
  }

  #bar({ start, end: stop, state }, first, end) {
    const seconds = (stop - start) / 1000;
    const bar = h("span", { class: "bar", "data-state": state, title: `${number(seconds, 1)} s` }, h("span", {}, `${number(seconds, 1)} s`));
    bar.style.left = `${((start - first) * 100) / (end - first)}%`;
    bar.style.width = `${((stop - start) * 100) / (end - first)}%`;
    return bar;
  }
}
