// What operators look at, every few seconds while the page is seen.
import { ask } from "./api.js";
import { byId, h, renew } from "./dom.js";
import { announce, fault, sentence } from "./page.js";
import { Plot, ceiling } from "./plot.js";
import { moment, number, span, t, time } from "./texts.js";

const LOOK_MILLISECONDS = 3000;
const ADDRESS = "/v1/operations";
const place = byId("ops");
const plots = [
  new Plot(t("ops.coming"), ["accepted"]),
  new Plot(t("ops.ending"), ["completed", "cancelled", "partial", "failed"]),
];
let timer = null;
let latest = null;
let asked = 0;

const cell = (text, name = "") => h("td", { class: name }, text);
const figure = (label, value, bad = false) =>
  h("div", { class: bad ? "bad" : "" }, h("dt", { class: "small" }, label), h("dd", {}, value));
const ago = (seconds) => (seconds < 1 ? t("ops.now") : span(seconds));
const since = (seconds) => (seconds < 1 ? t("ops.now") : t("ops.ago", { time: span(seconds) }));

function showHealth({ status, reasons, at }) {
  const label = byId("health");
  label.hidden = false;
  label.dataset.status = status === "ok" ? "completed" : "failed";
  label.textContent = t(`ops.${status}`);
  byId("as-of").textContent = t("ops.as_of", { time: time(at, true) });
  renew(byId("reasons"), reasons.join("\n"), () => reasons.length === 0 ? [] :
    h("ul", { class: "notice bad", lang: "en" }, reasons.map((reason) => h("li", {}, sentence(reason)))));
}

function showFigures({ queues, workers, dead }) {
  const all = (name) => queues.reduce((sum, queue) => sum + queue[name], 0);
  const oldest = Math.max(...queues.map((queue) => queue.oldest_seconds ?? 0));
  const values = [
    [t("ops.ready"), number(all("ready"))],
    [t("ops.running"), number(all("running"))],
    [t("ops.oldest"), all("ready") ? ago(oldest) : "–"],
    [t("ops.workers"), number(workers.length), workers.length === 0],
    [t("ops.letters"), number(dead), dead > 0],
  ];
  renew(byId("figures"), JSON.stringify(values), () => values.map((one) => figure(...one)));
}

function showHour({ minutes }) {
  const top = ceiling(Math.max(...plots.map((plot) => plot.peak(minutes))));
  plots.forEach((plot) => plot.update(minutes, top));
  if (byId("numbers").open) showNumbers(minutes);
}

function showNumbers(minutes) {
  const names = ["accepted", "completed", "partial", "failed", "cancelled"];
  byId("numbers").querySelector("tbody").replaceChildren(...minutes.toReversed().map((minute) =>
    h("tr", {}, h("th", { scope: "row" }, time(minute.at)), names.map((name) => cell(number(minute[name]), "number")))));
}

function showQueues({ queues }) {
  byId("queues").replaceChildren(...queues.map((queue) =>
    h("tr", { "data-queue": queue.name }, h("th", { scope: "row" }, queue.name),
      ["ready", "delayed", "running"].map((name) => cell(number(queue[name]), "number")),
      h("td", { class: "number", title: queue.oldest_task ?? "" }, queue.oldest_seconds === null ? "–" : ago(queue.oldest_seconds)))));
}

function showFailures({ failures }) {
  byId("no-failures").hidden = failures.length > 0;
  const most = failures[0]?.tasks;
  renew(byId("failures"), JSON.stringify(failures), () => failures.map(({ code, tasks }) =>
    h("li", {}, h("a", { href: `/docs/errors#${code}` }, code), h("span", { class: "number" }, number(tasks)),
      h("progress", { max: most, value: tasks, "aria-hidden": "true" }))));
}

function showWorkers({ workers, at }) {
  byId("no-workers").hidden = workers.length > 0;
  byId("workers").closest("table").hidden = workers.length === 0;
  byId("workers").replaceChildren(...workers.map(({ name, queues, seen_at: seen, clock_skew: skew }) =>
    h("tr", { "data-worker": name }, h("th", { scope: "row", class: "name" }, name), cell(queues.join(", ")),
      cell(since((Date.parse(at) - Date.parse(seen)) / 1000), "number"),
      cell(skew === null ? "–" : `${number(skew, 1)} s`, "number"))));
}

function nameOf(task, output) {
  if (output) return t("ops.task_output", { name: output });
  const kind = task.split(":")[1];
  return t({ prepare: "ops.task_prepare", n: "ops.task_delivery", batch: "ops.task_batch" }[kind]);
}

function letter({ task, output, error, at, attempts, owner, gone, job, job_id: id }) {
  const button = h("button", { type: "button", class: "button small", "aria-label": t("ops.redrive_task", { task }) }, t("ops.redrive"));
  button.addEventListener("click", () => redrive([task], button));
  const known = [
    moment(at),
    attempts === null ? null : t("ops.attempts", { count: attempts }),
    owner ? t("ops.owner", { owner }) : null,
  ];
  return h("li", { "data-task": task },
    h("div", {},
      h("h3", {}, nameOf(task, output)),
      h("p", {}, h("a", { href: `/docs/errors#${error.code}` }, error.code), " ", h("span", { lang: "en" }, sentence(error.detail))),
      h("p", { class: "small" }, known.filter(Boolean).join(" · "),
        job ? h("span", {}, " · ", h("a", { href: `/jobs/${id}` }, t("title.job"))) : null),
      h("code", {}, task)),
    gone ? h("span", { class: "small" }, t("ops.gone")) : button);
}

function showLetters({ dead_letters: letters }) {
  const again = letters.filter((one) => !one.gone);
  byId("no-letters").hidden = letters.length > 0;
  byId("redrive-all").hidden = again.length < 2;
  const list = byId("letters");
  const focused = list.contains(document.activeElement) ? document.activeElement.closest("li") : null;
  const next = focused?.nextElementSibling ?? focused?.previousElementSibling;
  renew(list, JSON.stringify(letters.map(({ task, at, gone }) => [task, at, gone])), () => letters.map(letter));
  if (focused && !focused.isConnected) refocus([focused, next]);
}

// The list was made anew: the focus stays with its task, or goes to the one beside it.
function refocus(items) {
  const tasks = items.map((item) => item?.dataset.task);
  const buttons = [...byId("letters").querySelectorAll("li")].filter((item) => tasks.includes(item.dataset.task));
  const kept = buttons.find((item) => item.dataset.task === tasks[0]) ?? buttons[0];
  (kept?.querySelector("button") ?? byId("letters-title")).focus();
}

// The button stays enabled, since one that is disabled loses the focus.
async function redrive(tasks, button) {
  if (button.ariaDisabled === "true") return;
  const trouble = byId("redrive-fault");
  trouble.replaceChildren();
  button.ariaDisabled = "true";
  try {
    for (const task of tasks) await ask(`${ADDRESS}/dead-letters/${task}/redrive`, { method: "POST" });
    announce(t("ops.redriven", { count: tasks.length }));
  } catch (error) {
    trouble.replaceChildren(fault(error));
  }
  button.ariaDisabled = null;
  await look();
  if (document.activeElement === document.body) byId("letters-title").focus();
}

function showLinks({ links }) {
  const known = [[t("ops.metrics"), links.metrics], ["Flower", links.flower], [t("ops.readiness"), "/readyz"]];
  renew(byId("links"), JSON.stringify(known), () => known.filter(([, href]) => href).map(([name, href]) => h("a", { href }, name)));
}

const SHOWN = [showHealth, showFigures, showHour, showQueues, showFailures, showWorkers, showLetters, showLinks];

async function look() {
  const turn = ++asked;
  clearTimeout(timer);
  timer = null;
  try {
    const found = await ask(ADDRESS);
    // A later look has begun meanwhile.
    if (turn !== asked) return;
    latest = found;
    place.hidden = false;
    for (const show of SHOWN) show(latest);
    renew(byId("fault"), "", () => []);
  } catch (error) {
    // The session has ended: the page asks for a key.
    if (error.status === 401) location.reload();
    renew(byId("fault"), error.message, () => fault(error));
  }
  schedule();
}

// A hidden page asks nothing, and looks at once when it is seen again.
function schedule() {
  if (timer === null && !document.hidden) timer = setTimeout(look, LOOK_MILLISECONDS);
}

if (place) {
  byId("plots").append(...plots.map((plot) => plot.element));
  byId("numbers").addEventListener("toggle", () => latest && showHour(latest));
  byId("redrive-all").addEventListener("click", (event) =>
    redrive(latest.dead_letters.filter((one) => !one.gone).map((one) => one.task), event.currentTarget));
  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : look()));
  look();
}
