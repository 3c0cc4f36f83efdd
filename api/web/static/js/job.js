// The page of one job.
import * as api from "./api.js";
import { byId } from "./dom.js";
import { JobView } from "./job-view.js";
import { Live } from "./live.js";
import { fault } from "./page.js";

const place = byId("job");
const id = location.pathname.split("/").pop();

try {
  const job = await api.job(id);
  const view = new JobView(job, { linked: false, removed: () => location.assign("/jobs") });
  const live = new Live((fresh) => view.update(fresh), () => location.assign("/jobs"));
  place.append(view.element);
  place.addEventListener("again", (event) => live.watch(event.detail));
  live.watch(job);
} catch (error) {
  place.append(fault(error));
}
