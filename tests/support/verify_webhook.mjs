// Verifies a message with the official library of Standard Webhooks.
//
//   verify_webhook.mjs LIBRARY       {secret, headers, body} on standard input
//
// Exits with 0 where it is good, and says why not where it is not.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const { Webhook } = createRequire(import.meta.url)(process.argv[2]);
const { secret, headers, body } = JSON.parse(readFileSync(0, "utf8"));
new Webhook(secret).verify(body, headers);
