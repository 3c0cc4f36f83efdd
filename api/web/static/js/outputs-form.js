// The outputs of a job, one form each, from the API's schema.
import { h } from "./dom.js";
import { SchemaForm, blameAll, loadSchemas } from "./schema-form.js";
import { t } from "./texts.js";

export class OutputsForm {
  constructor(changed) {
    this.changed = changed;
    this.forms = [];
    this.list = h("div", { class: "stack" });
    this.kind = h("select", { "aria-label": t("form.kind") });
    const add = h("button", { type: "button", class: "button", onclick: () => this.#add(this.kind.value) }, t("form.add"));
    this.element = h("div", { class: "stack", hidden: true }, this.list, h("div", { class: "row" }, this.kind, add));
    this.element.addEventListener("input", () => changed());
  }

  async ready() {
    if (this.schemas) return;
    this.schemas = await loadSchemas();
    this.kind.append(...Object.keys(this.schemas).map((kind) => h("option", { value: kind }, t(`kind.${kind}`))));
    if (this.forms.length === 0) this.#add("thumbnail");
  }

  value() {
    return this.forms.map((form) => form.value());
  }

  blame(error) {
    this.forms.forEach((form) => form.clear());
    const rest = blameAll(error, (index, name, text) => this.forms[index]?.blame(name, text));
    return error.faults?.length > 0 && rest.length === 0;
  }

  #add(kind) {
    const form = new SchemaForm(kind, this.schemas[kind]);
    const remove = h("button", { type: "button", class: "button small quiet" }, t("form.remove"));
    const box = h("fieldset", { class: "wanted-output" }, h("legend", {}, t(`kind.${kind}`)), remove, form.element);
    remove.addEventListener("click", () => {
      this.forms = this.forms.filter((one) => one !== form);
      box.remove();
      this.changed();
    });
    this.forms.push(form);
    this.list.append(box);
    this.changed();
  }
}
