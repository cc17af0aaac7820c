// Puts what is shown once where it can be pasted.
import { say } from "./page.js";

export function start() {
  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("[data-copies]");
    const text = button && document.getElementById(button.dataset.copies);
    if (!text) return;
    try {
      await navigator.clipboard.writeText(text.textContent);
      say("Copied");
    } catch {
      getSelection().selectAllChildren(text);
      say("Marked: copy it with your keyboard");
    }
  });
}
