// The first page: drop videos, watch what becomes of them.
import * as api from "./api.js";
import { comparison } from "./comparison.js";
import { byId } from "./dom.js";
import { tile } from "./job-tile.js";
import { JobView } from "./job-view.js";
import { Live, ended } from "./live.js";
import { announce, fault, once, wordsOf } from "./page.js";
import { bytes, facts, t } from "./texts.js";
import { Uploads } from "./uploads.js";
import { Wanted } from "./wanted.js";

// The newest job and those that run are shown whole, the others as small pictures.
const RECENT = 7;
const views = new Map();
const list = byId("jobs");
const wanted = new Wanted(byId("wanted"));
const live = new Live((job) => views.get(job.id)?.update(job), forget);
const uploads = new Uploads(list, async (id) => add(await api.job(id)), removed);

function showNone() {
  byId("none").hidden = list.childElementCount + byId("earlier").childElementCount > 0;
}

// What was removed may have had the focus.
function removed() {
  showNone();
  if (document.activeElement === document.body) byId("recent-title").focus({ preventScroll: true });
}

function forget(id) {
  views.get(id)?.element.remove();
  views.delete(id);
  live.forget(id);
  removed();
}

function add(job) {
  const view = new JobView(job, { removed: forget });
  views.set(job.id, view);
  list.prepend(view.element);
  byId("none").hidden = true;
  live.watch(job);
}

async function take(files) {
  byId("none").hidden = true;
  for (const file of files) {
    if (file.size > facts.sourceBytes) {
      list.prepend(fault(new Error(t("fault.large", { name: file.name, most: bytes(facts.sourceBytes) }))));
      continue;
    }
    await uploads.add(file, wanted.request());
    announce(t("upload.begun", { name: file.name }));
  }
  // What has begun is below the form, and on small screens out of sight.
  list.firstElementChild?.scrollIntoView({ block: "nearest" });
}

function sourceOf(text) {
  const named = text.match(/^s3:\/\/([^/]+)\/(.+)$/i);
  if (named) return { s3: { bucket: named[1], key: named[2] } };
  if (/^https?:\/\//i.test(text)) return { url: text };
  throw new Error(t("address.neither"));
}

function listenForFiles() {
  const files = byId("files");
  const takeChosen = () => {
    if (files.files.length) take([...files.files]);
    files.value = "";
  };
  files.addEventListener("change", takeChosen);
  // Those that were chosen while the scripts were still loading.
  takeChosen();
  const drop = byId("drop");
  // The whole page takes files, so that a near miss does not leave it.
  document.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    take([...event.dataTransfer.files]);
  });
}

function listenForAddresses() {
  const form = byId("address");
  const place = byId("address-fault");
  const send = async () => {
    place.hidden = true;
    try {
      add(await api.submit({ source: sourceOf(form.source.value.trim()), ...wanted.request() }));
      form.reset();
    } catch (error) {
      place.hidden = wanted.blame(error);
      place.textContent = wordsOf(error);
    }
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    once(form.querySelector("button"), send);
  });
}

listenForFiles();
listenForAddresses();
list.addEventListener("made", ({ detail }) => {
  const { element, view } = comparison(detail);
  views.set(detail.made.id, view);
  list.prepend(element);
  element.scrollIntoView({ block: "start" });
  live.watch(detail.made);
});
list.addEventListener("again", (event) => live.watch(event.detail));
// First, so that an upload goes on at once.
await uploads.restore();
try {
  const page = await api.jobs({ limit: RECENT });
  const whole = page.jobs.filter((job, index) => index === 0 || !ended(job));
  whole.reverse().forEach(add);
  byId("earlier").append(...page.jobs.filter((job) => !whole.includes(job)).map(tile));
} catch (error) {
  list.append(fault(error));
}
showNone();
