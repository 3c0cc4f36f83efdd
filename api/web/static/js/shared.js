// A shared job: what it made, and nothing that changes it.
import { ask } from "./api.js";
import { byId } from "./dom.js";
import { JobView } from "./job-view.js";
import { ended } from "./live.js";
import { fault } from "./page.js";
import { moment, t } from "./texts.js";

const LOOK_MILLISECONDS = 2000;
// The link has expired, or its job was deleted; any other failure passes.
const ENDS = new Set([403, 404]);
const place = byId("job");
let view = null;

// The view of a job wants the source that a shared job keeps to itself.
const known = (shared) => ({ ...shared, source: { name: shared.name ?? t("shared.unnamed"), bytes: null }, waiting: null });

async function show() {
  const shared = await ask(location.pathname);
  const job = known(shared);
  if (view) view.update(job);
  else {
    view = new JobView(job, { linked: false, mine: false });
    place.replaceChildren(view.element);
  }
  byId("until").textContent = t("shared.until", { time: moment(shared.shared_until) });
  return ended(job);
}

async function look() {
  try {
    if (await show()) return;
  } catch (error) {
    const over = ENDS.has(error.status);
    // What is shown already stays: the next look may get an answer.
    if (over || !view) place.replaceChildren(fault(error));
    if (over) return;
  }
  setTimeout(look, LOOK_MILLISECONDS);
}

if (place) look();
