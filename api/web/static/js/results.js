// The pictures of an output, each kind in its own way.
import { copyRow } from "./copy.js";
import { h } from "./dom.js";
import { fault, once } from "./page.js";
import { player } from "./player.js";
import { bytes, clock, number, t } from "./texts.js";

const calm = matchMedia("(prefers-reduced-motion: reduce)");

// A sheet shows many frames, so the time of its first one would mislead.
function shownAt({ time, duration, details }) {
  if (time === null || details.columns) return null;
  return t(duration ? "result.from" : "result.at", { time: clock(time) });
}

export function facts(artifact) {
  const { width, height, frames, duration } = artifact;
  return [
    shownAt(artifact),
    width ? `${width} × ${height}` : null,
    duration ? t("result.lasts", { seconds: number(duration, 1) }) : null,
    frames > 1 ? t("result.frames", { count: frames }) : null,
    bytes(artifact.bytes),
  ].filter(Boolean).join(" · ");
}

function still(artifact, title) {
  const picture = h("img", { src: artifact.url, width: artifact.width, height: artifact.height, alt: title, loading: "lazy", decoding: "async" });
  const colour = artifact.details.dominant_color;
  if (colour) {
    picture.style.backgroundColor = colour;
    picture.addEventListener("load", () => picture.style.removeProperty("background-color"), { once: true });
  }
  return picture;
}

// What moves by itself waits to be started, where the person asked for less motion.
export function moving(artifact, title, poster) {
  if (artifact.content_type.startsWith("video/"))
    return h("video", { src: artifact.url, width: artifact.width, height: artifact.height, poster: poster ?? "", muted: true, loop: true, autoplay: !calm.matches, playsInline: true, controls: true, "aria-label": title });
  if (!calm.matches) return still(artifact, title);
  const start = h("button", { type: "button", class: "button" }, t("result.play"));
  const frame = h("div", { class: "waiting-picture" }, start);
  start.addEventListener("click", () => frame.replaceWith(still(artifact, title)));
  return frame;
}

function figure(shown, artifact, title, extras) {
  return h("figure", {}, shown, h("figcaption", {}, h("p", { class: "small" }, facts(artifact)), copyRow(artifact, title, extras)));
}

const titleOf = (job, output) => `${job.source.name ?? job.id}: ${output.name}`;

// What opens a dialog loads it first: most visits need none.
function opener(key, act) {
  const button = h("button", { type: "button", class: "button small" }, t(key));
  button.addEventListener("click", () => once(button, () => act(button)).catch((error) => button.after(fault(error))));
  return button;
}

function tools(job, output) {
  if (!job.links.media) return null;
  const again = opener("rerender.open", async (button) => (await import("./rerender.js")).rerender(job, output, button));
  const single = output.kind === "thumbnail" && pictures(output).length === 1;
  const frame = single ? opener("picker.open", async (button) => (await import("./frame-picker.js")).pickFrame(job, output, button)) : null;
  return h("div", { class: "actions" }, frame, again);
}

// The files of each picture: one, or those of several widths and formats.
function pictures(output) {
  const found = new Map();
  output.artifacts.forEach((one) => found.set(one.time, [...(found.get(one.time) ?? []), one]));
  return [...found.values()];
}

// The other files of a picture, to open or download.
function otherFiles(files) {
  const links = files.slice(1).map((one) =>
    h("li", {}, h("a", { class: "link", href: one.url, download: one.name }, `${one.width} × ${one.height} ${one.content_type.slice(6)} · ${bytes(one.bytes)}`)));
  return links.length > 0 ? h("ul", { class: "small versions" }, ...links) : null;
}

// The job's stills of the same frame and shape, which one picture element may offer.
function sameFrame(job, artifact) {
  const stills = job.outputs.filter(({ kind }) => kind === "thumbnail").flatMap((output) => output.artifacts);
  // A side is rounded to whole pixels.
  const alike = ({ width, height }) => Math.abs(height - (width * artifact.height) / artifact.width) <= 1;
  return stills.filter((one) => one.time === artifact.time && alike(one));
}

function thumbnails(job, output) {
  const title = titleOf(job, output);
  const figures = pictures(output).map((files) => {
    const [artifact] = files;
    const versions = output.kind === "thumbnail" ? sameFrame(job, artifact) : files;
    const shown = figure(still(artifact, title), artifact, title, { versions });
    shown.querySelector("figcaption").append(...[otherFiles(files)].filter(Boolean));
    return shown;
  });
  return [h("div", { class: figures.length > 1 ? "grid" : output.kind === "contact_sheet" ? "wide" : "one" }, ...figures), runnersUp(job, output)];
}

// The next best frames, as the browser itself shows them out of the source.
function runnersUp(job, output) {
  const [artifact] = output.artifacts;
  const others = artifact.details.runners_up ?? [];
  if (others.length === 0 || !job.links.media) return null;
  const frames = others.map(({ time }) => {
    const frame = h("video", { src: `${job.links.media}#t=${time}`, preload: "metadata", muted: true, playsInline: true, tabIndex: -1, "aria-hidden": "true" });
    frame.addEventListener("error", () => frame.remove(), { once: true });
    const choice = h("button", { type: "button", class: "other", "aria-label": t("picker.this", { time: clock(time) }) }, frame, h("span", { class: "small" }, clock(time)));
    const take = async () => (await import("./frame-picker.js")).pick(job, output, time, choice);
    choice.addEventListener("click", () => once(choice, take).catch((error) => choice.after(fault(error))));
    return h("li", {}, choice);
  });
  return h("div", { class: "others" }, h("h4", {}, t("result.others")), h("ul", { class: "strip" }, ...frames));
}

function clips(job, output) {
  const title = titleOf(job, output);
  const figures = output.artifacts
    .filter((artifact) => artifact.width)
    .map((artifact) => figure(moving(artifact, title, job.links.thumbnail), artifact, title, { poster: job.links.thumbnail }));
  return h("div", { class: figures.length > 1 ? "grid" : "one" }, ...figures);
}

function storyboard(job, output) {
  const sheets = output.artifacts.filter((artifact) => artifact.content_type.startsWith("image/"));
  const index = output.artifacts.find((artifact) => artifact.content_type === "text/vtt");
  const title = titleOf(job, output);
  const pictures = () => h("div", { class: "stack" }, ...sheets.map((sheet) => still(sheet, title)));
  const seen = job.links.media
    ? player({ source: job.links.media, poster: job.links.thumbnail, vtt: index?.url, label: title, instead: pictures })
    : pictures();
  return [
    h("figure", {}, seen, h("figcaption", {}, job.links.media ? h("p", { class: "small" }, t("result.storyboard")) : null, index ? copyRow(index, title) : null)),
    job.links.media ? h("details", {}, h("summary", {}, t("result.sheets", { count: sheets.length })), pictures()) : null,
  ];
}

function snippets(job, output) {
  const title = titleOf(job, output);
  const shown = output.artifacts.filter((artifact) => artifact.width);
  return h("ul", { class: "strip large" }, ...shown.map((artifact) =>
    h("li", {}, figure(moving(artifact, title), artifact, title))));
}

const KINDS = { thumbnail: thumbnails, contact_sheet: thumbnails, animation: clips, preview: clips, storyboard, snippets };

// `bare` leaves out what starts new work.
export function results(job, output, { bare = false } = {}) {
  const shown = [(KINDS[output.kind] ?? thumbnails)(job, output)].flat();
  return bare ? shown.slice(0, 1) : [...shown, tools(job, output)];
}
