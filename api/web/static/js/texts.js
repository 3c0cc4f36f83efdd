// The catalogue of the page's language, and numbers as that language writes them.
export const facts = JSON.parse(document.getElementById("facts").textContent);

const plural = new Intl.PluralRules(facts.language);

// t("files", { count: 2 }) takes "files.other"; without such a key, "files".
export function t(key, values = {}) {
  const form = "count" in values ? `${key}.${plural.select(values.count)}` : key;
  const text = facts.texts[form] ?? facts.texts[key];
  if (text === undefined) throw new Error(`no text ${key}`);
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

export const has = (key) => key in facts.texts;

export function number(value, digits = 0) {
  return new Intl.NumberFormat(facts.language, { maximumFractionDigits: digits }).format(value);
}

const UNITS = ["B", "kB", "MB", "GB", "TB"];

export function bytes(value) {
  let index = 0;
  while (value >= 1000 && index < UNITS.length - 1) {
    value /= 1000;
    index += 1;
  }
  return `${number(value, index > 1 && value < 100 ? 1 : 0)} ${UNITS[index]}`;
}

// Seconds of a video, as 0:04.2 or 1:02:03; in German as 0:04,2.
export function clock(seconds, digits = 1) {
  const scale = 10 ** digits;
  const total = Math.round(seconds * scale) / scale;
  const hours = Math.floor(total / 3600);
  const minutes = Math.floor((total % 3600) / 60);
  const format = { minimumIntegerDigits: 2, minimumFractionDigits: digits, maximumFractionDigits: digits };
  const rest = new Intl.NumberFormat(facts.language, format).format(total % 60);
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

export function moment(timestamp) {
  const format = new Intl.DateTimeFormat(facts.language, { dateStyle: "medium", timeStyle: "short" });
  return format.format(new Date(timestamp));
}

export function time(timestamp, seconds = false) {
  const format = new Intl.DateTimeFormat(facts.language, { timeStyle: seconds ? "medium" : "short" });
  return format.format(new Date(timestamp));
}

export function span(seconds) {
  if (seconds < 1) return t("span.short");
  if (seconds < 60) return t("span.seconds", { value: number(seconds, seconds < 10 ? 1 : 0) });
  if (seconds < 3600) return t("span.minutes", { value: number(seconds / 60) });
  return t("span.hours", { value: number(seconds / 3600, 1) });
}
