// "Share": a link that shows this job alone, until it expires.
import { ask } from "./api.js";
import { copyButton } from "./copy.js";
import { dialog } from "./dialog.js";
import { h } from "./dom.js";
import { fault } from "./page.js";
import { moment, t } from "./texts.js";

const HOURS = { day: 24, week: 168, month: 720 };

export function share(job) {
  const time = h("select", { name: "hours" }, ...Object.entries(HOURS).map(([name, hours]) =>
    h("option", { value: hours, selected: name === "week" }, t(`share.${name}`))));
  const source = h("input", { type: "checkbox", name: "source" });
  const made = h("div", { class: "stack", "aria-live": "polite" });
  const form = h("form", { class: "stack" },
    h("p", { class: "small" }, t("share.about")),
    h("label", { class: "field" }, h("span", {}, t("share.until")), time),
    job.links.media ? h("label", { class: "field check" }, h("span", {}, t("share.source")), source) : null,
    h("div", { class: "row end" }, h("button", { type: "submit", class: "button primary" }, t("share.go"))),
    made);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const body = { hours: Number(time.value), source: source.checked };
      const link = await ask(`/v1/jobs/${job.id}/share`, { method: "POST", body });
      made.replaceChildren(
        h("input", { type: "text", readOnly: true, value: link.url, "aria-label": t("share.link"), onfocus: (focused) => focused.target.select() }),
        h("div", { class: "row" }, copyButton(t("copy.copy"), link.url), h("span", { class: "small" }, t("share.ends", { time: moment(link.expires_at) }))));
    } catch (error) {
      made.replaceChildren(fault(error));
    }
  });
  dialog(t("share.title"), form);
}
