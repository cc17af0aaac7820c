// What changes without anybody being told: messages to webhooks, payments. It is looked at now and then.
import { want } from "./live.js";

/// Between two looks, in milliseconds.
const LOOK_MS = 4000;

export function start() {
  setInterval(() => { if (document.querySelector("main [data-polls]")) want(); }, LOOK_MS);
}
