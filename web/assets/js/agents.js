// Copying a task's message.
import { say } from "./page.js";

/// The message as the interface has it: lists show no more than its beginning.
async function copy(button) {
  try {
    const answer = await fetch(button.dataset.copy);
    if (!answer.ok) throw new Error(String(answer.status));
    await navigator.clipboard.writeText((await answer.json()).message ?? "");
    say("The message is copied");
  } catch {
    say("It could not be copied: open the task and mark its text");
  }
}

export function start() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("button[data-copy]");
    if (button) copy(button);
  });
}
