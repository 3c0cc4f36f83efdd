// A plot of the last hour: a bar for each minute, stacked of the series.
import { h } from "./dom.js";
import { number, t, time } from "./texts.js";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 100;
const BAR = 0.7;

function shape(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

// The next of 1, 2, 5, 10, 20, 50 ...: what the axis ends with.
export function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value);
}

const sum = (values) => values.reduce((all, value) => all + value, 0);

// `series` has the names of counts in a minute, lowest bar first; texts are ops.NAME.
export class Plot {
  constructor(title, series) {
    this.title = title;
    this.series = series;
    this.minutes = [];
    this.pointed = null;
    this.legend = h("p", { class: "legend small" });
    this.top = h("span", {});
    this.ends = h("div", { class: "ends small", "aria-hidden": "true" });
    this.drawing = shape("svg", { role: "img", preserveAspectRatio: "none" });
    this.paths = series.map((name) => shape("path", { class: `series ${name}` }));
    this.mark = shape("rect", { class: "mark", y: 0, width: 1, height: HEIGHT, visibility: "hidden" });
    this.drawing.append(this.mark, ...this.paths);
    this.drawing.addEventListener("pointermove", (event) => this.#point(event));
    this.drawing.addEventListener("pointerleave", () => this.#point(null));
    this.element = h("figure", { class: "plot" },
      h("figcaption", {}, h("h3", {}, title), this.legend),
      h("div", { class: "plot-area" }, h("div", { class: "axis small", "aria-hidden": "true" }, this.top, h("span", {}, "0")), this.drawing),
      this.ends);
  }

  // The highest bar; plots that are compared share an axis.
  peak(minutes) {
    return Math.max(...minutes.map((minute) => this.#total(minute)));
  }

  update(minutes, top) {
    this.minutes = minutes;
    const total = sum(minutes.map((minute) => this.#total(minute)));
    this.top.textContent = number(top);
    this.ends.replaceChildren(...[0, Math.floor(minutes.length / 2), minutes.length - 1].map((index) => h("span", {}, time(minutes[index].at))));
    this.drawing.setAttribute("viewBox", `0 0 ${minutes.length} ${HEIGHT}`);
    this.drawing.setAttribute("aria-label", t("ops.plot", {
      title: this.title, total: number(total), most: number(this.peak(minutes)),
    }));
    this.#draw(top);
    this.#read();
  }

  #total(minute) {
    return sum(this.series.map((name) => minute[name]));
  }

  #draw(top) {
    const floors = this.minutes.map(() => HEIGHT);
    this.series.forEach((name, index) => {
      const bars = this.minutes.map((minute, x) => {
        const height = (minute[name] * HEIGHT) / top;
        if (height === 0) return "";
        floors[x] -= height;
        return `M${x + (1 - BAR) / 2} ${floors[x]}h${BAR}v${height}h${-BAR}z`;
      });
      this.paths[index].setAttribute("d", bars.join(""));
    });
  }

  #point(event) {
    const box = this.drawing.getBoundingClientRect();
    this.pointed = event && Math.floor(((event.clientX - box.left) * this.minutes.length) / box.width);
    this.#read();
  }

  // The legend counts the hour, or the minute under the pointer.
  #read() {
    const minute = this.pointed === null ? undefined : this.minutes[this.pointed];
    this.mark.setAttribute("visibility", minute ? "visible" : "hidden");
    if (minute) this.mark.setAttribute("x", this.pointed);
    const counted = minute ? [minute] : this.minutes;
    this.legend.replaceChildren(
      minute ? h("strong", {}, time(minute.at)) : "",
      ...this.series.map((name) => h("span", { class: "key" }, h("span", { class: `swatch ${name}` }),
        `${t(`ops.${name}`)} ${number(sum(counted.map((one) => one[name])))}`)));
  }
}
