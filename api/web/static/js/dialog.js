// A dialog that the browser makes modal; Escape and the close button end it.
import { h } from "./dom.js";
import { t } from "./texts.js";

export function dialog(title, ...content) {
  const close = h("button", { type: "button", class: "button small quiet", onclick: () => box.close() }, t("dialog.close"));
  const box = h("dialog", { "aria-label": title }, h("div", { class: "dialog-head" }, h("h2", {}, title), close), ...content);
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
  return box;
}
