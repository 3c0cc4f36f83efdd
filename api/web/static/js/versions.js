// One stretch in several formats or sizes: a slider goes through them by their bytes.
import { h } from "./dom.js";
import { facts, moving } from "./results.js";
import { bytes, t } from "./texts.js";

const formatOf = ({ content_type: type }) => type.split("/")[1].toUpperCase();

// The animations of a job, smallest first.
export function versionsOf(job) {
  return job.outputs
    .filter(({ kind }) => kind === "animation")
    .flatMap(({ name, artifacts }) => artifacts.map((artifact) => ({ name, artifact })))
    .sort((one, other) => one.artifact.bytes - other.artifact.bytes);
}

const words = ({ name, artifact }) => `${formatOf(artifact)} · ${name} · ${bytes(artifact.bytes)}`;

// Returns the slider and what it shows; `versions` are two or more.
export function slider(versions, poster) {
  const shown = h("div", { class: "version" });
  const chosen = h("output", { class: "small" });
  const [smaller, larger] = ["smaller", "larger"].map((side) => h("span", { class: `small ${side}` }));
  const range = h("input", { type: "range", min: 0, max: versions.length - 1, step: 1, value: 0, "aria-label": t("versions.slider") });

  function show() {
    const index = Number(range.value);
    const version = versions[index];
    const [before, after] = [versions[index - 1], versions[index + 1]];
    shown.replaceChildren(moving(version.artifact, version.name, poster));
    chosen.textContent = `${formatOf(version.artifact)} · ${version.name} · ${facts(version.artifact)}`;
    range.setAttribute("aria-valuetext", words(version));
    smaller.textContent = before ? t("versions.smaller", { version: words(before) }) : t("versions.smallest");
    larger.textContent = after ? t("versions.larger", { version: words(after) }) : t("versions.largest");
  }

  range.addEventListener("input", show);
  show();
  return h("section", { class: "versions", "aria-label": t("versions.title") },
    h("h4", {}, t("versions.title")), shown, chosen, range,
    h("div", { class: "version-sides" }, smaller, larger));
}
