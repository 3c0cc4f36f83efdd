// What a new job makes: a preset. The same request is shown for curl and for Python.
import { copyButton } from "./copy.js";
import { h } from "./dom.js";
import { OutputsForm } from "./outputs-form.js";
import { facts, has, t } from "./texts.js";

// No preset has this name: names start with a letter or a digit.
const CUSTOM = "_custom";

const nameOf = (preset) => (has(`preset.${preset}`) ? t(`preset.${preset}`) : preset);

function describe(preset) {
  if (preset === CUSTOM) return t("preset._custom.about");
  if (has(`preset.${preset}.about`)) return t(`preset.${preset}.about`);
  return facts.presets[preset].map((output) => output.name ?? t(`kind.${output.kind}`)).join(", ");
}

// The shipped presets in the order in which people want them, then the operator's.
const FIRST = ["default", "web", "social", "scrubber", "archive"];
const order = (presets) => [...FIRST, ...presets.filter((name) => !FIRST.includes(name))];

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

// JSON as a Python literal: every value of a request is one in both.
function python(value) {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (typeof value === "object")
    return `{${Object.entries(value).map(([key, one]) => `${JSON.stringify(key)}: ${python(one)}`).join(", ")}}`;
  return JSON.stringify(value);
}

export function commands(job) {
  const [name, value] = Object.entries(job)[0];
  const field = name === "preset" ? `preset=${value}` : `${name}=${JSON.stringify(value)}`;
  return {
    curl: `curl -H "Prefer: wait=30" -F file=@clip.mp4 -F ${quoted(field)} ${location.origin}/v1/jobs`,
    Python: [
      "from pathlib import Path",
      "from framemill import Client",
      "",
      `client = Client(${JSON.stringify(location.origin)})`,
      `job = client.wait(client.submit("clip.mp4", ${python(job)}))`,
      'client.save(job, Path("results"))',
    ].join("\n"),
  };
}

export class Wanted {
  constructor(place) {
    this.preset = "default";
    this.custom = new OutputsForm(() => this.#show());
    this.samples = h("div", { class: "stack" });
    const fields = order(Object.keys(facts.presets)).map((preset) => this.#choice(preset));
    place.append(
      h("fieldset", { class: "presets" }, h("legend", {}, t("wanted.title")), ...fields, this.#choice(CUSTOM)),
      this.custom.element,
      h("details", { class: "commands" }, h("summary", {}, t("wanted.commands")), this.samples),
    );
    this.#show();
  }

  // The members of a request that say what to make.
  request() {
    if (this.preset === CUSTOM) return { outputs: this.custom.value() };
    return { preset: this.preset };
  }

  // Shows what a refusal says beside the fields; returns whether all of it found a place.
  blame(error) {
    return this.preset === CUSTOM && this.custom.blame(error);
  }

  #choice(preset) {
    const input = h("input", { type: "radio", name: "preset", value: preset, checked: preset === this.preset });
    input.addEventListener("change", () => { this.preset = preset; this.#show(); });
    return h("label", { class: "preset" }, input, h("span", {}, h("strong", {}, nameOf(preset)), h("span", { class: "small" }, describe(preset))));
  }

  async #show() {
    this.custom.element.hidden = this.preset !== CUSTOM;
    if (this.preset === CUSTOM) await this.custom.ready();
    const shown = Object.entries(commands(this.request())).map(([name, text]) =>
      h("div", { class: "command" }, h("div", { class: "command-head" }, h("span", { class: "small" }, name), copyButton(t("copy.copy"), text)), h("pre", { tabIndex: 0 }, h("code", {}, text))));
    this.samples.replaceChildren(...shown);
  }
}
