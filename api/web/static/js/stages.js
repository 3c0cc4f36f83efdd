// The stages of a job in their order, each with its state and what is known of it:
// accepted, prepare, every output, and the webhooks and e-mails about it.
import { h } from "./dom.js";
import { ended } from "./live.js";
import { t } from "./texts.js";

const last = (events, types, output = null) =>
  events.findLast((event) => types.includes(event.type) && event.output === output);

function prepare(job, events) {
  if (last(events, ["job.probed", "job.deduplicated"])) return "succeeded";
  if (ended(job)) return job.status === "cancelled" ? "cancelled" : "failed";
  return last(events, ["job.processing"]) ? "running" : "queued";
}

// A copy to the destination is the last thing that happens to an output.
function stageOf(output, events) {
  const told = last(events, ["output.running", "output.requeued", "output.publishing"], output.name);
  const parts = last(events, ["output.running"], output.name)?.details.parts;
  const copied = last(events, ["output.publishing"], output.name);
  const tries = output.attempts.length;
  const running = output.status === "running" && told ? told.type.split(".")[1] : output.status;
  return {
    label: output.name,
    state: running,
    notes: [
      parts ? t("stage.parts", { count: parts }) : null,
      tries > 1 ? t("stage.attempts", { count: tries }) : null,
      copied && output.status === "succeeded" ? t("stage.published") : null,
    ],
  };
}

function deliveriesOf(deliveries) {
  const count = (state) => deliveries.filter(({ status }) => status === state).length;
  const [sent, failed] = [count("succeeded"), count("failed")];
  const open = deliveries.length - sent - failed;
  return {
    label: t("stage.deliveries"),
    state: open > 0 ? "running" : failed > 0 ? "failed" : "succeeded",
    notes: [t("stage.sent", { sent, count: deliveries.length })],
  };
}

// Returns the list; `deliveries` are those of the API, without any the stage is left out.
export function stages(job, events, deliveries) {
  const all = [
    { label: t("event.job.accepted"), state: "succeeded", notes: [] },
    { label: t("event.prepare"), state: prepare(job, events), notes: [] },
    ...job.outputs.map((output) => stageOf(output, events)),
    ...(deliveries.length > 0 ? [deliveriesOf(deliveries)] : []),
  ];
  return all.map(({ label, state, notes }) =>
    h("li", { class: "stage", "data-state": state },
      h("strong", { class: "name" }, label),
      h("span", { class: "small" }, [t(`stage.${state}`), ...notes].filter(Boolean).join(" · "))));
}
