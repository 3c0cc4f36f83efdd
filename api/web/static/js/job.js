// The page of one job.
import * as api from "./api.js";
import { comparison } from "./comparison.js";
import { byId, h } from "./dom.js";
import { JobView } from "./job-view.js";
import { Live } from "./live.js";
import { fault } from "./page.js";
import { t } from "./texts.js";
import { Timeline } from "./timeline.js";

const LOOK_MILLISECONDS = 3000;
const OVER = new Set(["succeeded", "failed", "cancelled"]);
const place = byId("job");
const id = location.pathname.split("/").pop();

let looking = null;

// Deliveries outlive their job, and no stream tells of them.
async function lookAtDeliveries(timeline) {
  clearTimeout(looking);
  try {
    const { deliveries } = await api.deliveries(id);
    timeline.told(deliveries.reverse());
    const open = deliveries.some(({ status }) => !OVER.has(status));
    if (open) looking = setTimeout(() => lookAtDeliveries(timeline), LOOK_MILLISECONDS);
  } catch {
    // The timeline is whole without them, and the next look may get an answer.
    looking = setTimeout(() => lookAtDeliveries(timeline), LOOK_MILLISECONDS);
  }
}

function missing() {
  return h("div", { class: "panel signin" }, h("h1", {}, t("job.gone")), h("p", {}, t("job.gone_why")));
}

try {
  const job = await api.job(id);
  const view = new JobView(job, { linked: false, removed: () => location.assign("/jobs") });
  const views = new Map([[id, view]]);
  const timeline = new Timeline({ stages: byId("stages"), bars: byId("bars"), events: byId("events") });
  const live = new Live((fresh) => {
    views.get(fresh.id)?.update(fresh);
    if (fresh.id !== id) return;
    timeline.update(fresh);
    lookAtDeliveries(timeline);
  }, (gone) => gone === id && location.assign("/jobs"), (event) => event.job_id === id && timeline.add(event));
  place.append(view.element);
  place.addEventListener("again", (event) => live.watch(event.detail));
  place.addEventListener("made", ({ detail }) => {
    const { element, view: made } = comparison(detail);
    views.set(detail.made.id, made);
    place.append(element);
    element.scrollIntoView({ block: "nearest" });
    live.watch(detail.made);
  });
  timeline.update(job);
  byId("history").hidden = false;
  live.watch(job, { history: true });
  lookAtDeliveries(timeline);
} catch (error) {
  place.append(error.status === 404 ? missing() : fault(error));
}
