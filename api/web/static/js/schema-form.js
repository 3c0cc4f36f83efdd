// A form for one output, made from the API's own schema: a field that the schema gains
// appears here by itself, with its bounds, its default and its description.
import { ask } from "./api.js";
import { h } from "./dom.js";
import { sentence } from "./page.js";
import { has, t } from "./texts.js";

const FIRST = ["format", "formats", "width", "widths", "height", "time", "start", "duration", "interval", "trickplay", "window", "fps", "quality", "max_bytes", "count"];
let schemas = null;

export async function loadSchemas() {
  schemas ??= ask("/v1/outputs/schema").then(({ kinds }) => kinds);
  return schemas;
}

const forms = (schema) => schema.anyOf ?? [schema];
const typed = (schema, type) => forms(schema).find((form) => form.type === type);
const choices = (schema) => forms(schema).find((form) => form.enum)?.enum;
const label = (name) => (has(`field.${name}`) ? t(`field.${name}`) : sentence(name.replaceAll("_", " ")));

function control(name, schema, value) {
  const given = value ?? schema.default ?? "";
  const list = typed(schema, "array");
  const options = list ? null : choices(schema);
  if (options) {
    const empty = schema.default === null ? [h("option", { value: "" }, t("form.unset"))] : [];
    return h("select", { name }, ...empty, ...options.map((one) => h("option", { value: one, selected: one === given }, one)));
  }
  if (typed(schema, "boolean")) return h("input", { type: "checkbox", name, checked: Boolean(given) });
  const numeric = (typed(schema, "integer") ?? typed(schema, "number")) && !typed(schema, "string");
  if (numeric) {
    const bounds = typed(schema, "integer") ?? typed(schema, "number");
    return h("input", { type: "number", name, min: bounds.minimum, max: bounds.maximum, step: bounds.type === "integer" ? 1 : "any", value: given });
  }
  return h("input", { type: "text", name, value: Array.isArray(given) ? given.join(", ") : given, placeholder: [schema.examples?.[0] ?? ""].flat().join(", "), autocomplete: "off" });
}

// A text of the form as the value that the schema wants.
function valueOf(input, schema) {
  if (input.type === "checkbox") return input.checked;
  const text = input.value.trim();
  if (text === "") return schema.default ?? null;
  const scalar = (one) => (/^\d+(\.\d+)?$/.test(one) ? Number(one) : one);
  const items = typed(schema, "array");
  if (items && choices(schema)?.includes(text)) return text;
  if (items) return text.split(",").map((one) => scalar(one.trim()));
  const wantsNumber = typed(schema, "integer") ?? typed(schema, "number");
  return wantsNumber ? scalar(text) : text;
}

export class SchemaForm {
  constructor(kind, schema, values = {}) {
    this.kind = kind;
    this.schema = schema;
    this.places = new Map();
    const names = Object.keys(schema.properties).filter((name) => name !== "kind");
    const first = FIRST.filter((name) => names.includes(name));
    const rest = names.filter((name) => !first.includes(name));
    const fields = (list) => h("div", { class: "fields" }, ...list.map((name) => this.#field(name, values[name])));
    this.element = h("div", { class: "schema-form" }, fields(first), h("details", {}, h("summary", {}, t("form.more")), fields(rest)));
  }

  // The output as a request has it: only what differs from the defaults.
  value() {
    const output = { kind: this.kind };
    for (const [name, { input }] of this.places) {
      const schema = this.schema.properties[name];
      const value = valueOf(input, schema);
      if (JSON.stringify(value) !== JSON.stringify(schema.default)) output[name] = value;
    }
    return output;
  }

  // Shows a refusal beside its field; returns whether the field is here.
  blame(name, text) {
    const place = this.places.get(name);
    if (!place) return false;
    place.fault.textContent = text;
    place.input.setAttribute("aria-invalid", "true");
    place.input.closest("details")?.setAttribute("open", "");
    return true;
  }

  clear() {
    for (const { fault, input } of this.places.values()) {
      fault.textContent = "";
      input.removeAttribute("aria-invalid");
    }
  }

  #field(name, value) {
    const schema = this.schema.properties[name];
    const input = control(name, schema, value);
    const fault = h("span", { class: "fault", role: "alert" });
    this.places.set(name, { input, fault });
    const about = schema.description ? h("span", { class: "small", lang: "en" }, schema.description) : null;
    const kind = input.type === "checkbox" ? "field check" : "field";
    return h("label", { class: kind }, h("span", {}, label(name)), input, about, fault);
  }
}

// Puts the faults of a refused request beside their fields; returns what found no place.
export function blameAll(error, blame) {
  return (error.faults ?? []).filter(({ pointer, detail, hint }) => {
    const [, , index, name] = pointer.split("/");
    return !blame(Number(index), name, [detail, hint].filter(Boolean).join("; "));
  });
}
