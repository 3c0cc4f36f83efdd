// What happened to a job: a bar for each stretch of work, and every event in words.
import { h } from "./dom.js";
import { sentence } from "./page.js";
import { has, number, span, t } from "./texts.js";

const ENDS = new Set(["job.completed", "job.partial", "job.failed", "job.cancelled"]);

export class Timeline {
  constructor(bars, list) {
    this.bars = bars;
    this.list = list;
    this.events = [];
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

  #draw() {
    if (this.events.length === 0) return;
    const first = Date.parse(this.events[0].at);
    this.list.replaceChildren(...this.events.map((event) => this.#line(event, first)));
    this.bars.replaceChildren(...this.#lanes(first));
  }

  #line(event, first) {
    const words = has(`event.${event.type}`) ? t(`event.${event.type}`, { output: event.output ?? "" }) : event.type;
    const { error, reason } = event.details;
    const after = (Date.parse(event.at) - first) / 1000;
    return h("li", { "data-event": event.type },
      h("span", { class: "small when" }, `+${number(after, 1)} s`),
      h("div", {}, h("p", {}, words),
        error ? h("p", { class: "small", lang: "en" }, sentence(error.detail)) : null,
        reason ? h("p", { class: "small", lang: "en" }, sentence(String(reason))) : null,
        ...this.#attempts(event)));
  }

  // The attempts of an output stand with its end: what was tried, and for how long.
  #attempts(event) {
    if (!["output.succeeded", "output.failed"].includes(event.type)) return [];
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
      if (type === "job.processing" || type === "output.running") lanes.set(lane, [...(lanes.get(lane) ?? []), { start: time, end, state: "running" }]);
      const open = lanes.get(lane)?.at(-1);
      const ends = output ? type !== "output.running" : type === "job.probed" || ENDS.has(type);
      if (open?.state === "running" && ends) Object.assign(open, { end: time, state: type.split(".")[1] });
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
