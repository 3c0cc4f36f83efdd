// A player of the source, with the storyboard's tiles over its seek bar. Its library
// and style sheet are loaded when the first player is shown.
import { h } from "./dom.js";
import { facts, t } from "./texts.js";

const FOLDER = new URL("../vendor/plyr/", import.meta.url);
let library = null;

async function loaded() {
  document.head.append(h("link", { rel: "stylesheet", href: new URL("plyr.css", FOLDER).href }));
  const { default: Plyr } = await import("../vendor/plyr/plyr.min.mjs");
  return Plyr;
}

const words = () => {
  const names = ["play", "pause", "mute", "unmute", "seek", "currentTime", "duration", "volume", "enterFullscreen", "exitFullscreen", "played", "buffered", "settings", "speed", "normal"];
  return Object.fromEntries(names.map((name) => [name, t(`player.${name}`)]));
};

// Returns the player, or what `instead` makes if this browser can't play the source.
export function player({ source, poster, vtt, label, instead }) {
  const video = h("video", { src: source, poster: poster ?? "", preload: "metadata", playsInline: true, controls: true, "aria-label": label });
  const place = h("div", { class: "player" }, video);
  video.addEventListener("error", () => place.replaceChildren(instead()), { once: true });
  library ??= loaded();
  library.then((Plyr) => {
    if (!video.isConnected || video.error) return;
    new Plyr(video, {
      iconUrl: new URL("plyr.svg", FOLDER).href,
      blankVideo: "",
      storage: { enabled: false },
      i18n: words(),
      settings: ["speed"],
      controls: ["play-large", "play", "progress", "current-time", "mute", "volume", "settings", "fullscreen"],
      previewThumbnails: { enabled: Boolean(vtt), src: vtt ?? "" },
      disableContextMenu: false,
      language: facts.language,
    });
  });
  return place;
}
