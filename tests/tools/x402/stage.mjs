// What the tests of paid runs need, in one process: a chain, facilitators, payers, and means to look at
// the chain and to meddle with it.
//
//   node stage.mjs
//
// Prints its address as the first line of its output and serves until its standard input ends. Each
// thing that it can do is a path: POST /NAME with a body of JSON, answered with JSON.

import { createServer } from "node:http";

import { accountOf, startChain } from "./chain.mjs";
import { startFacilitator } from "./facilitator.mjs";
import { answer, bodyOf, listen, liveWithStarter, require } from "./packages.mjs";
import { pay, show } from "./pay.mjs";

const { parseAbi, parseEventLogs, parseSignature } = require("viem");
const { privateKeyToAccount } = require("viem/accounts");

const EVENTS = parseAbi([
  "event Transfer(address indexed from, address indexed to, uint256 value)",
  "event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce)",
]);
const UINT = (name) => ({ name, type: "uint256" });
const TYPES = {
  TransferWithAuthorization: [
    { name: "from", type: "address" },
    { name: "to", type: "address" },
    UINT("value"),
    UINT("validAfter"),
    UINT("validBefore"),
    { name: "nonce", type: "bytes32" },
  ],
  CancelAuthorization: [
    { name: "authorizer", type: "address" },
    { name: "nonce", type: "bytes32" },
  ],
};

liveWithStarter();
const chain = await startChain();
const { told } = chain;
// The account that deployed the token is the chain's own.
let facilitators = 0;

/// What the holder of this key says, as the token understands it.
async function signed(key, primaryType, message) {
  const { name, version, asset } = told;
  const chainId = Number(told.network.split(":")[1]);
  const domain = { name, version, chainId, verifyingContract: asset };
  const types = { [primaryType]: TYPES[primaryType] };
  return privateKeyToAccount(key).signTypedData({ domain, types, primaryType, message });
}

function vrs(signature) {
  const { v, yParity, r, s } = parseSignature(signature);
  return [Number(v ?? BigInt(yParity) + 27n), r, s];
}

const TRANSFER = "transferWithAuthorization";

/// An authorization as the token's function takes it.
function transferOf({ from, to, value, validAfter, validBefore, nonce }, signature) {
  const numbers = [value, validAfter, validBefore].map(BigInt);
  return [from, to, ...numbers, nonce, ...vrs(signature)];
}

/// An authorization with the number of a payment, of a unit from the payer to himself.
async function elsewhere(key, payment) {
  const { from, validAfter, validBefore, nonce } = authorizationOf(payment);
  const other = { from, to: from, value: "1", validAfter, validBefore, nonce };
  return transferOf(other, await signed(key, "TransferWithAuthorization", other));
}

const decoded = (payment) => JSON.parse(Buffer.from(payment, "base64").toString("utf8"));
const authorizationOf = (payment) => decoded(payment).payload.authorization;

const can = {
  /// Where the chain is, and what is on it.
  chain: () => told,

  /// A facilitator of its own.
  async facilitator() {
    facilitators += 1;
    const account = accountOf(facilitators);
    const url = await startFacilitator({ rpcUrl: told.rpc_url, network: told.network, account });
    return { url };
  },

  /// An account with so much of the token.
  payer: ({ amount }) => chain.newPayer(amount),

  /// What somebody has.
  async balance({ address }) {
    return { amount: await chain.read("balanceOf", [address]) };
  },

  /// Pays by the official client.
  pay,

  /// Shows a payment that was made before, so many times at once.
  async show({ times = 1, ...shown }) {
    return { answers: await Promise.all(Array.from({ length: times }, () => show(shown))) };
  },

  /// A payment made by hand: these fields of what is accepted and signed are other than they should be.
  async forge({ key, accepted, accept = {}, sign = {}, payload = {} }) {
    const requirements = { ...accepted, ...accept };
    const now = Math.floor(Date.now() / 1000);
    const nonce = `0x${Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("hex")}`;
    const authorization = {
      from: privateKeyToAccount(key).address,
      to: requirements.payTo,
      value: requirements.amount,
      validAfter: String(now - 600),
      validBefore: String(now + requirements.maxTimeoutSeconds),
      nonce,
      ...sign,
    };
    const signature = await signed(key, "TransferWithAuthorization", authorization);
    const whole = {
      x402Version: 2,
      accepted: requirements,
      payload: { signature, authorization },
      ...payload,
    };
    return { payment: Buffer.from(JSON.stringify(whole)).toString("base64"), authorization };
  },

  /// Whether the authorization of a payment was used or cancelled, and by which transactions used.
  async used({ payment }) {
    const { from, nonce } = authorizationOf(payment);
    const logs = await chain.reader.getLogs({
      address: told.asset,
      event: EVENTS[1],
      args: { authorizer: from, nonce },
      fromBlock: 0n,
    });
    const state = await chain.read("authorizationState", [from, nonce]);
    return { state, transactions: logs.map((log) => log.transactionHash) };
  },

  /// A transaction: whether it succeeded, and what it moved.
  async transaction({ hash }) {
    const receipt = await chain.reader.getTransactionReceipt({ hash });
    const moved = parseEventLogs({ abi: EVENTS, eventName: "Transfer", logs: receipt.logs });
    return { status: receipt.status, moved: moved.map((log) => log.args) };
  },

  /// Somebody brings a payment to the chain, as its facilitator would.
  async bring({ payment }) {
    const { authorization, signature } = decoded(payment).payload;
    return { hash: await chain.write(TRANSFER, transferOf(authorization, signature)) };
  },

  /// The payer cancels what he signed, before it is used.
  async cancel({ key, payment }) {
    const { from, nonce } = authorizationOf(payment);
    const message = { authorizer: from, nonce };
    const signature = await signed(key, "CancelAuthorization", message);
    return { hash: await chain.write("cancelAuthorization", [from, nonce, ...vrs(signature)]) };
  },

  /// The payer uses the number of a payment for another one: a unit to himself.
  async spend_elsewhere({ key, payment }) {
    return { hash: await chain.write(TRANSFER, await elsewhere(key, payment)) };
  },

  /// The same, in one transaction with another payment that goes where it should.
  async spend_elsewhere_beside({ key, payment, other }) {
    const { authorization: good, signature } = decoded(other).payload;
    const calls = [
      [TRANSFER, await elsewhere(key, payment)],
      [TRANSFER, transferOf(good, signature)],
    ];
    return { hash: await chain.writeAtOnce(calls) };
  },

  /// So much time passes on the chain, and a block is made.
  async pass({ seconds }) {
    await chain.reader.request({ method: "evm_increaseTime", params: [seconds] });
    await chain.reader.request({ method: "evm_mine", params: [] });
    const { timestamp } = await chain.reader.getBlock();
    return { timestamp };
  },
};

const server = createServer((request, response) => {
  const act = async () => {
    const name = request.url.slice(1);
    if (request.method !== "POST" || !Object.hasOwn(can, name)) {
      return answer(response, 404, { error: `no such thing: ${name}` });
    }
    return answer(response, 200, await can[name](await bodyOf(request)));
  };
  act().catch((error) => answer(response, 500, { error: String(error?.stack ?? error) }));
});
console.log(await listen(server));
