// What every page has: the choice of theme and language, announcements, and faults.
import { Unreached, ask } from "./api.js";
import { byId, h } from "./dom.js";
import { t } from "./texts.js";

const YEAR = 31536000;

export function announce(text) {
  byId("announcer").textContent = text;
}

// A refusal or a broken connection in words, with what to do about it.
export function wordsOf(error) {
  if (error instanceof Unreached) return t("fault.unreached");
  const faults = (error.faults ?? []).map((fault) => [fault.detail, fault.hint].filter(Boolean).join("; "));
  // A problem's own hint is that of its first fault.
  return (faults.length ? faults : [error.message, error.hint].filter(Boolean)).map(sentence).join(". ");
}

// The API's texts start small, since programs put them after a colon. Addresses stay.
export const sentence = (text) => (/^\w+:\/\//.test(text) ? text : text.charAt(0).toUpperCase() + text.slice(1));

export function fault(error) {
  return h("p", { class: "notice bad", role: "alert" }, wordsOf(error));
}

// Runs `act` unless an earlier click is still at work. The button stays enabled, since
// one that is disabled loses the focus.
export async function once(button, act) {
  if (button.ariaDisabled === "true") return;
  button.ariaDisabled = "true";
  try {
    await act();
  } finally {
    button.ariaDisabled = null;
  }
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

byId("theme").addEventListener("click", () => {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("theme", theme);
});

byId("language").addEventListener("change", (event) => {
  document.cookie = `language=${event.target.value}; path=/; max-age=${YEAR}; samesite=strict`;
  location.reload();
});

byId("leave")?.addEventListener("click", async () => {
  await ask("/session", { method: "DELETE" });
  location.assign("/");
});
