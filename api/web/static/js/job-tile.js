// A job as one picture of a gallery.
import { h } from "./dom.js";
import { nameOf, sourceFacts, statusLabel } from "./job-view.js";

function picture(job) {
  const url = job.links.thumbnail ?? job.links.gif;
  if (url) return h("img", { src: url, alt: "", loading: "lazy", decoding: "async" });
  return h("div", { class: "no-picture", "aria-hidden": "true" });
}

export function tile(job) {
  return h(
    "li",
    { id: `job-${job.id}` },
    h("a", { class: "tile", href: `/jobs/${job.id}` }, picture(job),
      h("span", { class: "tile-head" }, h("strong", { class: "name" }, nameOf(job)), statusLabel(job.status)),
      h("span", { class: "small" }, sourceFacts(job))),
  );
}
