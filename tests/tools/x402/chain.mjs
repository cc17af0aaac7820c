// A chain of our own with a token on it.
//
//   node chain.mjs [--port 8545]
//
// Starts anvil, compiles and deploys Token.sol, and prints as one line of JSON where it is and who has
// the money. Serves until its standard input ends.

import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

import { beside, isMain, liveWithStarter, options, require } from "./packages.mjs";

const {
  createPublicClient,
  createWalletClient,
  defineChain,
  encodeFunctionData,
  http,
  parseAbi,
} = require("viem");
const { generatePrivateKey, mnemonicToAccount, privateKeyToAccount } = require("viem/accounts");

/// The words that anvil makes its accounts of: worth nothing on any other chain.
const WORDS = "test test test test test test test test test test test junk";
/// How many accounts have ether: the first deploys and mints, each other can be a facilitator's.
const ACCOUNTS = 64;
const CHAIN_ID = 31337;
/// Where facilitators look for a contract that makes several calls in one.
const CALLS_ADDRESS = "0xcA11bde05977b3631167028862bE2a173976CA11";
/// What the first payer has: 1000 tokens of six decimals.
const PURSE = 1_000_000_000n;
/// Between two questions for a transaction's receipt.
const POLLING_MS = 10;

const TOKEN_ABI = parseAbi([
  "constructor(string called)",
  "function mint(address to, uint256 value)",
  "function balanceOf(address) view returns (uint256)",
  "function authorizationState(address, bytes32) view returns (bool)",
  "function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s)",
  "function cancelAuthorization(address authorizer, bytes32 nonce, uint8 v, bytes32 r, bytes32 s)",
]);
const CALLS_ABI = parseAbi([
  "struct Call { address target; bytes callData; }",
  "struct Result { bool success; bytes returnData; }",
  "function tryAggregate(bool requireSuccess, Call[] calls) payable returns (Result[])",
]);

function anvilProgram() {
  const architecture = process.arch === "x64" ? "amd64" : process.arch;
  try {
    const folder = `@foundry-rs/anvil-${process.platform}-${architecture}`;
    return require.resolve(`${folder}/bin/anvil`);
  } catch {
    // No package for this platform: perhaps it is installed in another way.
    return "anvil";
  }
}

/// Starts anvil; resolves to its address once it listens.
function startAnvil(port) {
  const args = ["--port", String(port), "--accounts", String(ACCOUNTS), "--mnemonic", WORDS];
  const anvil = spawn(anvilProgram(), args, { stdio: ["ignore", "pipe", "inherit"] });
  process.on("exit", () => anvil.kill("SIGKILL"));
  return new Promise((resolve, reject) => {
    anvil.on("error", reject);
    anvil.on("exit", (code) => reject(new Error(`anvil ended: ${code}`)));
    createInterface({ input: anvil.stdout }).on("line", (line) => {
      const listening = line.match(/^Listening on (\S+)$/);
      if (listening) resolve(`http://${listening[1]}`);
    });
  });
}

function compile() {
  const solc = require("solc");
  const input = {
    language: "Solidity",
    sources: { "Token.sol": { content: readFileSync(beside("Token.sol"), "utf8") } },
    settings: {
      evmVersion: "paris",
      optimizer: { enabled: true },
      outputSelection: { "*": { "*": ["evm.bytecode.object", "evm.deployedBytecode.object"] } },
    },
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input)));
  const problems = output.errors ?? [];
  if (problems.length > 0) {
    throw new Error(problems.map((problem) => problem.formattedMessage).join("\n"));
  }
  return output.contracts["Token.sol"];
}

export function chainAt(rpcUrl) {
  return defineChain({
    id: CHAIN_ID,
    name: "a chain of our own",
    nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
    rpcUrls: { default: { http: [rpcUrl] } },
  });
}

/// Reads and writes the chain as one of the accounts that have ether: one transaction after another,
/// since each account numbers its own.
export function walletOf(rpcUrl, account) {
  const settings = { chain: chainAt(rpcUrl), transport: http(rpcUrl), pollingInterval: POLLING_MS };
  const reader = createPublicClient(settings);
  const wallet = createWalletClient({ ...settings, account });
  let last = Promise.resolve();
  const inTurn = (send) => {
    const sent = last.then(send);
    last = sent.catch(() => {});
    return sent;
  };
  const writer = {
    deployContract: (what) => inTurn(() => wallet.deployContract(what)),
    sendTransaction: (what) => inTurn(() => wallet.sendTransaction(what)),
    writeContract: (what) => inTurn(() => wallet.writeContract(what)),
  };
  return { reader, writer };
}

/// An account that has ether.
export const accountOf = (index) => mnemonicToAccount(WORDS, { addressIndex: index });

/// A chain with the token on it, and what can be done there.
export async function startChain(port = 0) {
  const rpcUrl = await startAnvil(port);
  const { reader, writer } = walletOf(rpcUrl, accountOf(0));
  const contracts = compile();
  const name = "Test Dollar";
  const bytecode = `0x${contracts.Token.evm.bytecode.object}`;
  const deployment = await writer.deployContract({ abi: TOKEN_ABI, bytecode, args: [name] });
  const { contractAddress: asset } = await reader.waitForTransactionReceipt({ hash: deployment });
  const code = `0x${contracts.Calls.evm.deployedBytecode.object}`;
  await reader.request({ method: "anvil_setCode", params: [CALLS_ADDRESS, code] });

  const write = async (functionName, args) => {
    const hash = await writer.writeContract({ address: asset, abi: TOKEN_ABI, functionName, args });
    const receipt = await reader.waitForTransactionReceipt({ hash });
    if (receipt.status !== "success") throw new Error(`${functionName} was reverted: ${hash}`);
    return hash;
  };
  const read = (functionName, args) =>
    reader.readContract({ address: asset, abi: TOKEN_ABI, functionName, args });

  /// Several calls of the token in one transaction.
  const writeAtOnce = async (calls) => {
    const encoded = calls.map(([functionName, args]) => ({
      target: asset,
      callData: encodeFunctionData({ abi: TOKEN_ABI, functionName, args }),
    }));
    const hash = await writer.writeContract({
      address: CALLS_ADDRESS,
      abi: CALLS_ABI,
      functionName: "tryAggregate",
      args: [true, encoded],
    });
    const receipt = await reader.waitForTransactionReceipt({ hash });
    if (receipt.status !== "success") throw new Error(`the calls were reverted: ${hash}`);
    return hash;
  };

  /// A new account with this much of the token.
  const newPayer = async (amount) => {
    const key = generatePrivateKey();
    const { address } = privateKeyToAccount(key);
    if (BigInt(amount) > 0n) await write("mint", [address, BigInt(amount)]);
    return { address, key };
  };
  const told = {
    rpc_url: rpcUrl,
    network: `eip155:${CHAIN_ID}`,
    asset,
    name,
    version: "1",
    decimals: 6,
    pay_to: privateKeyToAccount(generatePrivateKey()).address,
    payer: await newPayer(PURSE),
  };
  return { told, reader, read, write, writeAtOnce, newPayer };
}

if (isMain(import.meta)) {
  liveWithStarter();
  const { port } = options();
  const { told } = await startChain(port ?? 0);
  console.log(JSON.stringify(told));
}
