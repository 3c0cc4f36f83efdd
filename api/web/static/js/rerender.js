// "Change settings": one output again, from the source that the job has kept.
import { submit } from "./api.js";
import { dialog } from "./dialog.js";
import { h } from "./dom.js";
import { fault } from "./page.js";
import { SchemaForm, blameAll, loadSchemas } from "./schema-form.js";
import { t } from "./texts.js";

// What the finished files tell of their settings.
function known(output, schema) {
  const [artifact] = output.artifacts;
  if (!artifact) return {};
  const [, format] = artifact.content_type.split("/");
  const formats = schema.properties.format?.enum ?? [];
  return formats.includes(format) ? { name: output.name, format } : { name: output.name };
}

export async function rerender(job, output, place) {
  const schema = (await loadSchemas())[output.kind];
  const form = new SchemaForm(output.kind, schema, known(output, schema));
  const trouble = h("div");
  const go = h("button", { type: "submit", class: "button primary" }, t("rerender.go"));
  const body = h("form", { class: "stack", noValidate: true }, form.element, trouble, h("div", { class: "row end" }, go));
  const box = dialog(t("rerender.title", { kind: t(`kind.${output.kind}`) }), body);
  body.addEventListener("submit", async (event) => {
    event.preventDefault();
    form.clear();
    trouble.replaceChildren();
    go.disabled = true;
    try {
      const made = await submit({ source: { job: job.id }, outputs: [form.value()] });
      place.dispatchEvent(new CustomEvent("made", { bubbles: true, detail: { made, before: output, job } }));
      box.close();
    } catch (error) {
      const rest = blameAll(error, (_, name, text) => form.blame(name, text));
      if (rest.length > 0 || !error.faults?.length) trouble.replaceChildren(fault(error));
    }
    go.disabled = false;
  });
}
