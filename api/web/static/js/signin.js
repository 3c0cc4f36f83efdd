// Signs in by an API key. Without scripts the form does the same by itself.
import { ask } from "./api.js";
import { byId } from "./dom.js";
import { wordsOf } from "./page.js";

const form = byId("signin");
const place = byId("signin-fault");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  place.hidden = true;
  try {
    await ask("/session", { method: "POST", body: { key: form.key.value.trim() } });
    location.reload();
  } catch (error) {
    place.textContent = wordsOf(error);
    place.hidden = false;
    form.key.select();
  }
});
