// A shared job: what it made, and nothing that changes it.
import { ask } from "./api.js";
import { byId } from "./dom.js";
import { JobView } from "./job-view.js";
import { ended } from "./live.js";
import { fault } from "./page.js";
import { moment, t } from "./texts.js";

const LOOK_MILLISECONDS = 2000;
const place = byId("job");
let view = null;

// The view of a job wants the source that a shared job keeps to itself.
const known = (shared) => ({ ...shared, source: { name: shared.name ?? t("shared.unnamed"), bytes: null }, waiting: null });

async function look() {
  try {
    const shared = await ask(location.pathname);
    const job = known(shared);
    if (view) view.update(job);
    else {
      view = new JobView(job, { linked: false, mine: false });
      place.append(view.element);
    }
    byId("until").textContent = t("shared.until", { time: moment(shared.shared_until) });
    if (!ended(job)) setTimeout(look, LOOK_MILLISECONDS);
  } catch (error) {
    place.replaceChildren(fault(error));
  }
}

if (place) look();
