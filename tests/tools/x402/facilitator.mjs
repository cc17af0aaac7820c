// A facilitator: verifies payments and brings them to the chain, by the official packages.
//
//   node facilitator.mjs --rpc http://127.0.0.1:8545 [--port 4020]
//
// Serves /verify, /settle and /supported, prints its address as the first line of its output, and serves
// until its standard input ends. For tests it can misbehave: POST /control {"settle": FAULT, "verify":
// FAULT}; GET /log says what it did.

import { createServer } from "node:http";

import { accountOf, walletOf } from "./chain.mjs";
import { answer, bodyOf, isMain, listen, liveWithStarter, options, require } from "./packages.mjs";

const { x402Facilitator } = require("@x402/core/facilitator");
const { toFacilitatorEvmSigner } = require("@x402/evm");
const { registerExactEvmScheme } = require("@x402/evm/exact/facilitator");

/// What it does instead of what it should. Those of the second line come before the money moves,
/// those of the third after it did.
const FAULTS = [
  "none",
  "refuse", "cut", "wait",
  "then_hang", "then_cut", "then_500", "then_garbage", "then_pending", "then_failure",
];
/// What somebody says who knows no more than that it went wrong.
const VAGUE = "invalid_exact_evm_transaction_failed";

function officialFacilitator(rpcUrl, network, account) {
  const { reader, writer } = walletOf(rpcUrl, account);
  const signer = toFacilitatorEvmSigner({
    address: account.address,
    getCode: (of) => reader.getCode(of),
    readContract: (call) => reader.readContract({ ...call, args: call.args ?? [] }),
    verifyTypedData: (signed) => reader.verifyTypedData(signed),
    writeContract: (call) => writer.writeContract({ ...call, args: call.args ?? [] }),
    sendTransaction: (transaction) => writer.sendTransaction(transaction),
    waitForTransactionReceipt: (of) => reader.waitForTransactionReceipt(of),
  });
  return registerExactEvmScheme(new x402Facilitator(), { signer, networks: network });
}

/// Starts a facilitator whose transactions this account pays for.
export async function startFacilitator({ rpcUrl, network, account, port = 0 }) {
  const official = officialFacilitator(rpcUrl, network, account);
  const log = { verify: 0, settle: 0, settled: [], refused: [] };
  const faults = { verify: "none", settle: "none" };
  let waiting = [];
  const release = () => {
    waiting.forEach((go) => go());
    waiting = [];
  };

  const settle = async (payment, requirements) => {
    const result = await official.settle(payment, requirements);
    if (result.success) log.settled.push(result.transaction);
    else log.refused.push(result.errorReason);
    return result;
  };
  const misbehave = (fault, response, result) => {
    const of = { network: result.network, transaction: result.transaction, payer: result.payer };
    switch (fault) {
      case "then_hang": return;
      case "then_cut": return response.destroy();
      case "then_500": return answer(response, 500, { error: "out of order" });
      case "then_garbage": return response.writeHead(200).end("<html>");
      case "then_pending":
        return answer(response, 200, { success: false, errorReason: "settlement_pending", ...of });
      case "then_failure":
        return answer(response, 200, { success: false, errorReason: VAGUE, ...of, transaction: "" });
      default: return answer(response, 200, result);
    }
  };
  const serve = async (step, response, { paymentPayload, paymentRequirements }) => {
    log[step] += 1;
    const fault = faults[step];
    if (fault === "wait") await new Promise((go) => waiting.push(go));
    if (fault === "cut") return response.destroy();
    if (step === "verify") {
      const payer = paymentPayload.payload?.authorization?.from;
      const refusal = { isValid: false, invalidReason: "refused_by_test", payer };
      if (fault === "refuse") return answer(response, 200, refusal);
      return answer(response, 200, await official.verify(paymentPayload, paymentRequirements));
    }
    if (fault === "refuse") {
      const { network } = paymentRequirements;
      const errorReason = "invalid_exact_evm_insufficient_balance";
      return answer(response, 200, { success: false, errorReason, transaction: "", network });
    }
    return misbehave(fault, response, await settle(paymentPayload, paymentRequirements));
  };
  const control = (asked) => {
    for (const [step, fault] of Object.entries(asked)) {
      if (!(step in faults) || !FAULTS.includes(fault)) throw new Error(`no fault ${step} ${fault}`);
      faults[step] = fault;
    }
    release();
  };

  const server = createServer((request, response) => {
    const route = async () => {
      switch (`${request.method} ${request.url}`) {
        case "GET /supported": return answer(response, 200, official.getSupported());
        case "POST /verify": return serve("verify", response, await bodyOf(request));
        case "POST /settle": return serve("settle", response, await bodyOf(request));
        case "GET /log": return answer(response, 200, { ...log, waiting: waiting.length });
        case "POST /control":
          control(await bodyOf(request));
          return answer(response, 200, faults);
        default: return answer(response, 404, { error: "no such path" });
      }
    };
    route().catch((error) => {
      console.error(error);
      if (response.headersSent) response.destroy();
      else answer(response, 500, { error: String(error) });
    });
  });
  return listen(server, port);
}

if (isMain(import.meta)) {
  liveWithStarter();
  const { rpc, port, network = "eip155:31337" } = options();
  if (typeof rpc !== "string") {
    console.error("usage: node facilitator.mjs --rpc http://127.0.0.1:8545 [--port 4020]");
    process.exit(2);
  }
  console.log(await startFacilitator({ rpcUrl: rpc, network, account: accountOf(1), port }));
}
