// "Pick another frame": a scrubber over the video and its storyboard. The frame under
// the hand is rendered as a new thumbnail, from the source that the job has kept.
import { submit } from "./api.js";
import { dialog } from "./dialog.js";
import { h } from "./dom.js";
import { fault } from "./page.js";
import { clock, t } from "./texts.js";
import { Tiles } from "./tiles.js";

const FORMATS = { "image/jpeg": "jpeg", "image/png": "png", "image/webp": "webp", "image/avif": "avif" };

function request(job, output, time) {
  const [artifact] = output.artifacts;
  const picture = { kind: "thumbnail", name: output.name, time, policy: "exact", width: artifact.width, format: FORMATS[artifact.content_type] };
  return { source: { job: job.id }, outputs: [picture] };
}

// Renders the frame at `time` and announces the new job to the page.
export async function pick(job, output, time, place) {
  const made = await submit(request(job, output, time));
  place.dispatchEvent(new CustomEvent("made", { bubbles: true, detail: { made, before: output, job } }));
}

export async function pickFrame(job, output, place) {
  const step = 1 / (job.media?.video?.fps || 25);
  const last = Math.max(0, (job.media?.duration ?? 0) - step);
  const start = output.artifacts[0]?.time ?? last / 2;
  const video = h("video", { src: job.links.media, muted: true, preload: "auto", playsInline: true, tabIndex: -1, "aria-hidden": "true" });
  const view = h("div", { class: "picker-view" }, video);
  const range = h("input", { type: "range", min: 0, max: last, step, value: start, "aria-label": t("picker.time") });
  const shown = h("output", { class: "picker-time" });
  const trouble = h("div");
  const use = h("button", { type: "button", class: "button primary" }, t("picker.use"));
  for (const ready of ["seeked", "loadeddata"])
    video.addEventListener(ready, () => view.classList.toggle("seeking", video.seeking || video.readyState < 2));
  video.addEventListener("error", () => video.remove(), { once: true });
  // After the listeners: the video may fail while the storyboard is fetched.
  const tiles = await Tiles.load(job);
  if (tiles) view.append(tiles.element);

  function show() {
    const time = Number(range.value);
    shown.textContent = clock(time, 2);
    range.setAttribute("aria-valuetext", clock(time, 2));
    tiles?.show(time);
    // The tile is there at once; the video's own frame replaces it.
    view.classList.add("seeking");
    video.currentTime = time;
  }

  range.addEventListener("input", show);
  const box = dialog(t("picker.title"), view, h("div", { class: "row" }, range, shown), trouble, h("div", { class: "row end" }, use));
  use.addEventListener("click", async () => {
    try {
      use.disabled = true;
      await pick(job, output, Number(range.value), place);
      box.close();
    } catch (error) {
      use.disabled = false;
      trouble.replaceChildren(fault(error));
    }
  });
  show();
}
