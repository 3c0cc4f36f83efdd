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

// `poster` is the address of a picture for a clip to show before it plays.
export function htmlOf(artifact, title, poster) {
  const url = escaped(artifact.url);
  if (artifact.content_type === "text/vtt")
    return `<track kind="metadata" label="thumbnails" src="${url}">`;
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

export function copyRow(artifact, title, poster) {
  return h(
    "div",
    { class: "copy", role: "group", "aria-label": t("copy.label") },
    h("span", { class: "small" }, t("copy.label")),
    copyButton(t("copy.link"), artifact.url),
    copyButton("Markdown", markdownOf(artifact, title)),
    copyButton("HTML", htmlOf(artifact, title, poster)),
    h("a", { class: "link", href: artifact.url, download: artifact.name }, t("copy.download")),
  );
}
