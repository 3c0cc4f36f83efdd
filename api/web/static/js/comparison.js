// Before and after: an output, and the one that was made again from the same source.
import { h } from "./dom.js";
import { JobView } from "./job-view.js";
import { results } from "./results.js";
import { t } from "./texts.js";

export function comparison({ made, before, job }) {
  const view = new JobView(made, { removed: () => element.remove() });
  const old = h("section", { class: "output" }, h("h3", {}, t("compare.before")), ...results(job, before, { bare: true }).filter(Boolean));
  const fresh = h("section", { class: "output" }, h("h3", {}, t("compare.after")), view.element);
  const element = h("article", { class: "card compare", "aria-label": t("compare.title") }, old, fresh);
  return { element, view };
}
