// Pays for a task with the official client, or shows a payment that was made before.
//
//   node pay.mjs --key 0xPAYER --url http://127.0.0.1:7171/api/paid/demo/task --message "Say hello"
//   node pay.mjs --payment PAYMENT --url ... --message ...
//
// Prints as JSON what was answered, the receipt, and the payment. More options: --identifier ID, the
// payer's own id of the payment; --sync, which waits for the result.

import { isMain, options, require } from "./packages.mjs";

const { decodePaymentResponseHeader, wrapFetchWithPayment, x402Client } = require("@x402/fetch");
const { registerExactEvmScheme } = require("@x402/evm/exact/client");
const { appendPaymentIdentifierToExtensions } = require("@x402/extensions/payment-identifier");
const { privateKeyToAccount } = require("viem/accounts");

/// What was answered: its status, body, the headers that speak of payments, and the payment shown.
async function told(response, payment) {
  const text = await response.text();
  let body = text;
  try {
    body = JSON.parse(text);
  } catch {
    // Not JSON: told as it came.
  }
  const required = response.headers.get("payment-required");
  const receipt = response.headers.get("payment-response");
  return {
    status: response.status,
    headers: Object.fromEntries(response.headers),
    body,
    required: required && JSON.parse(Buffer.from(required, "base64").toString("utf8")),
    receipt: receipt && decodePaymentResponseHeader(receipt),
    payment,
  };
}

const request = (body, headers = {}) => ({
  method: "POST",
  headers: { "content-type": "application/json", ...headers },
  body: JSON.stringify(body),
});

/// The official client: asks, is told the price, signs and asks again.
export async function pay({ key, url, body, identifier }) {
  const client = new x402Client();
  registerExactEvmScheme(client, { signer: privateKeyToAccount(key) });
  // The token is ours, so none that the client knows.
  client.setSpendControls({ allowedAssets: true });
  let payment = null;
  if (identifier) {
    client.onAfterPaymentCreation(async ({ paymentPayload }) => {
      appendPaymentIdentifierToExtensions(paymentPayload.extensions ?? {}, identifier);
    });
  }
  const noting = (input, init) => {
    const asked = new Request(input, init);
    payment = asked.headers.get("payment-signature");
    return fetch(asked);
  };
  try {
    return await told(await wrapFetchWithPayment(noting, client)(url, request(body)), payment);
  } catch (error) {
    // No answer: whoever paid still has the payment, and can show it again.
    return { status: null, error: String(error), payment };
  }
}

/// Shows a payment as it is, to a server that has seen it or has not.
export async function show({ payment, url, body }) {
  try {
    return await told(await fetch(url, request(body, { "PAYMENT-SIGNATURE": payment })), payment);
  } catch (error) {
    return { status: null, error: String(error), payment };
  }
}

if (isMain(import.meta)) {
  const { url, key, payment, message = "Say hello", identifier, sync } = options();
  if (typeof url !== "string" || (typeof key === "string") === (typeof payment === "string")) {
    console.error("usage: node pay.mjs --url URL --key 0x... | --payment PAYMENT [--message TEXT]");
    process.exit(2);
  }
  const body = { message, async_mode: !sync };
  const told = payment
    ? await show({ payment, url, body })
    : await pay({ key, url, body, identifier });
  const { headers: _, ...shown } = told;
  console.log(JSON.stringify(shown, null, 2));
  process.exitCode = told.status !== null && told.status < 300 ? 0 : 1;
}
