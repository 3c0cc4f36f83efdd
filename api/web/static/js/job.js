// The page of one job.
import * as api from "./api.js";
import { comparison } from "./comparison.js";
import { byId } from "./dom.js";
import { JobView } from "./job-view.js";
import { Live } from "./live.js";
import { fault } from "./page.js";
import { Timeline } from "./timeline.js";

const place = byId("job");
const id = location.pathname.split("/").pop();

try {
  const job = await api.job(id);
  const view = new JobView(job, { linked: false, removed: () => location.assign("/jobs") });
  const views = new Map([[id, view]]);
  const timeline = new Timeline(byId("bars"), byId("events"));
  const live = new Live((fresh) => {
    views.get(fresh.id)?.update(fresh);
    if (fresh.id === id) timeline.update(fresh);
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
} catch (error) {
  place.append(fault(error));
}
