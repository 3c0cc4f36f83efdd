// All jobs, newest first, a page at a time.
import * as api from "./api.js";
import { byId } from "./dom.js";
import { tile } from "./job-tile.js";
import { Live } from "./live.js";
import { fault } from "./page.js";

const PAGE = 24;
const TYPING_MILLISECONDS = 250;
const list = byId("jobs");
const more = byId("more");
const form = byId("filter");
const live = new Live(show, (id) => byId(`job-${id}`)?.remove());
let cursor = null;
let typing = null;
let asked = 0;

function show(job) {
  byId(`job-${job.id}`)?.replaceWith(tile(job));
}

async function load() {
  const turn = ++asked;
  more.disabled = true;
  byId("fault").replaceChildren();
  const query = { limit: PAGE };
  if (form.status.value) query.status = form.status.value;
  if (form.search.value.trim()) query.search = form.search.value.trim();
  if (cursor) query.cursor = cursor;
  try {
    const page = await api.jobs(query);
    // A later search has begun meanwhile.
    if (turn !== asked) return;
    list.append(...page.jobs.map(tile));
    page.jobs.forEach((job) => live.watch(job));
    cursor = page.next;
    more.hidden = cursor === null;
    const sifted = query.status !== undefined || query.search !== undefined;
    byId("none").hidden = list.childElementCount > 0 || !sifted;
    byId("empty").hidden = list.childElementCount > 0 || sifted;
  } catch (error) {
    if (turn === asked) byId("fault").replaceChildren(fault(error));
  }
  more.disabled = false;
}

function again() {
  cursor = null;
  list.replaceChildren();
  load();
}

more.addEventListener("click", load);
form.status.addEventListener("change", again);
form.search.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(again, TYPING_MILLISECONDS);
});
form.addEventListener("submit", (event) => { event.preventDefault(); again(); });
load();
