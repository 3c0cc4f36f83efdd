// Requests to the HTTP API, and its refusals as errors.
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail ?? problem.title ?? `HTTP ${status}`);
    this.status = status;
    this.code = problem.code;
    this.hint = problem.hint ?? null;
    this.faults = problem.faults ?? [];
  }
}

// No answer at all: the service is down, or the network is.
export class Unreached extends Error {}

export async function ask(path, { method = "GET", body, headers = {} } = {}) {
  const sent = { Accept: "application/json", "X-Framemill-Page": "1", ...headers };
  if (body !== undefined) sent["Content-Type"] = "application/json";
  const answer = await fetch(path, {
    method,
    headers: sent,
    body: body === undefined ? undefined : JSON.stringify(body),
  }).catch((error) => { throw new Unreached(error.message); });
  const document = answer.status === 204 ? null : await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(answer.status, document);
  return document;
}

// crypto.randomUUID is missing where a page came by plain HTTP from another host.
function freshKey() {
  const values = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(values, (value) => value.toString(16).padStart(2, "0")).join("");
}

export const submit = (body) =>
  ask("/v1/jobs", { method: "POST", body, headers: { "Idempotency-Key": freshKey() } });
export const job = (id) => ask(`/v1/jobs/${id}`);
export const jobs = (query) => ask(`/v1/jobs?${new URLSearchParams(query)}`);
export const act = (id, verb) => ask(`/v1/jobs/${id}/${verb}`, { method: "POST" });
export const deliveries = (id) => ask(`/v1/webhooks/deliveries?${new URLSearchParams({ job: id, limit: 200 })}`);
export const remove = (id) => ask(`/v1/jobs/${id}`, { method: "DELETE" });
