// Buttons that copy: a file's address, or the Markdown or HTML that shows it.
import { h } from "./dom.js";
import { announce } from "./page.js";
import { t } from "./texts.js";

async function toClipboard(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Browsers have no clipboard for pages that came by plain HTTP from another host.
  const area = h("textarea", { value: text, class: "hidden" });
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

export function copyButton(label, text) {
  const button = h("button", { type: "button", class: "link" }, label);
  button.addEventListener("click", async () => {
    await toClipboard(typeof text === "function" ? text() : text);
    button.textContent = t("copy.done");
    announce(t("copy.done"));
    setTimeout(() => { button.textContent = label; }, 1500);
  });
  return button;
}

const escaped = (text) =>
  text.replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);

function size({ width, height }) {
  return width ? ` width="${width}" height="${height}"` : "";
}

// A browser takes the first type that it knows; the last one is for all others.
const TYPES = ["image/avif", "image/webp", "image/png", "image/jpeg"];

function srcset(versions) {
  const widths = new Map(versions.map(({ width, url }) => [width, url]));
  return [...widths].sort(([one], [other]) => one - other).map(([width, url]) => `${escaped(url)} ${width}w`).join(", ");
}

// One frame in several formats or widths: the browser loads the one that fits.
function pictureOf(versions, title) {
  const types = TYPES.filter((type) => versions.some((one) => one.content_type === type));
  const largest = Math.max(...versions.map(({ width }) => width));
  const sizes = `(max-width: ${largest}px) 100vw, ${largest}px`;
  const ofType = (type) => versions.filter((one) => one.content_type === type);
  const sources = types.slice(0, -1).map((type) => `  <source type="${type}" srcset="${srcset(ofType(type))}" sizes="${sizes}">\n`);
  const plain = ofType(types.at(-1)).sort((one, other) => other.width - one.width);
  const image = `  <img src="${escaped(plain[0].url)}" srcset="${srcset(plain)}" sizes="${sizes}"${size(plain[0])} alt="${escaped(title)}">\n`;
  return `<picture>\n${sources.join("")}${image}</picture>`;
}

// `poster` is the address of a picture for a clip to show before it plays, `versions`
// are the stills of the same frame, with this one.
export function htmlOf(artifact, title, { poster, versions = [] } = {}) {
  const url = escaped(artifact.url);
  if (artifact.content_type === "text/vtt")
    return `<track kind="metadata" label="thumbnails" src="${url}">`;
  if (versions.length > 1) return pictureOf(versions, title);
  if (!artifact.content_type.startsWith("video/"))
    return `<img src="${url}"${size(artifact)} alt="${escaped(title)}">`;
  const shown = poster ? ` poster="${escaped(poster)}"` : "";
  return `<video src="${url}"${size(artifact)}${shown} controls muted loop playsinline></video>`;
}

export function markdownOf(artifact, title) {
  const name = title.replace(/([\\[\]])/g, "\\$1");
  const picture = artifact.content_type.startsWith("image/") ? "!" : "";
  return `${picture}[${name}](${artifact.url})`;
}

export function copyRow(artifact, title, extras) {
  return h(
    "div",
    { class: "copy", role: "group", "aria-label": t("copy.label") },
    h("span", { class: "small" }, t("copy.label")),
    copyButton(t("copy.link"), artifact.url),
    copyButton("Markdown", markdownOf(artifact, title)),
    copyButton("HTML", htmlOf(artifact, title, extras)),
    h("a", { class: "link", href: artifact.url, download: artifact.name }, t("copy.download")),
  );
}
