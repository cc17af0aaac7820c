// Everything that a ledger on this machine needs to sell runs for play money: a chain with a token on it
// and a facilitator. Writes the ledger's configuration of paid runs and says what to type next.
//
//   node try.mjs [--file paid.toml] [--agent demo] [--price 0.01]
//
// Runs until it is interrupted; the chain and its money end with it.

import { writeFileSync } from "node:fs";
import { relative, resolve } from "node:path";

import { accountOf, startChain } from "./chain.mjs";
import { startFacilitator } from "./facilitator.mjs";
import { beside, options } from "./packages.mjs";

for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => process.exit(0));
}
const { file = "paid.toml", agent = "demo", price = "0.01" } = options();
const { told } = await startChain();
const { rpc_url: rpcUrl, network, payer } = told;
const facilitator = await startFacilitator({ rpcUrl, network, account: accountOf(1) });

const path = resolve(file);
writeFileSync(
  path,
  `# A chain of play money on this machine; good while try.mjs runs.
facilitator = "${facilitator}"

[assets.test]
network = "${network}"
asset = "${told.asset}"
pay_to = "${told.pay_to}"
eip712_name = "${told.name}"
eip712_version = "${told.version}"
decimals = ${told.decimals}
rpc_url = "${rpcUrl}"
confirmations = 0

[agents.${agent}]
price = { test = "${price}" }
`,
);
const pay = relative(process.cwd(), beside("pay.mjs"));
const url = `http://127.0.0.1:7171/api/paid/${agent}/task`;
console.log(`The chain is at ${rpcUrl}, the facilitator at ${facilitator}.
${path} is written.

1. In another terminal, start the ledger (or start it again):
   execution-ledger serve --paid-config ${path}
2. In a third, pay for a run as anybody could, without a key of the ledger:
   node ${pay} --key ${payer.key} --url ${url} --message "Say hello"
3. Show the printed "payment" again: it answers the execution that it paid for, and takes nothing:
   node ${pay} --payment PAYMENT --url ${url} --message "Say hello"

Interrupt this to end the chain.`);
