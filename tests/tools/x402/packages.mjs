// The packages that `make test-tools` installed, and what the scripts beside this share.

import { createRequire } from "node:module";
import { existsSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";

const installed = new URL("../../../target/test-tools/x402/package.json", import.meta.url);
if (!existsSync(installed)) {
  console.error("the packages are missing: run `make test-tools` in the repository");
  process.exit(1);
}

/// A package by its name.
export const require = createRequire(installed);

/// Whether this script is what was started, not what another one uses.
export const isMain = (meta) => meta.url === pathToFileURL(process.argv[1]).href;

/// A file beside this one.
export const beside = (name) => fileURLToPath(new URL(name, import.meta.url));

/// `--name value` of the command line, and `--name` alone as true.
export function options() {
  const given = process.argv.slice(2);
  const found = {};
  while (given.length > 0) {
    const name = given.shift().replace(/^--/, "");
    found[name] = given.length > 0 && !given[0].startsWith("--") ? given.shift() : true;
  }
  return found;
}

/// Ends with whoever started this: when its standard input does, or by a signal.
export function liveWithStarter() {
  process.stdin.on("end", () => process.exit(0)).resume();
  for (const signal of ["SIGINT", "SIGTERM"]) {
    process.on(signal, () => process.exit(0));
  }
}

/// The largest body that is read.
const MAX_BODY_BYTES = 1 << 20;

/// The JSON of a request.
export async function bodyOf(request) {
  const parts = [];
  let bytes = 0;
  for await (const part of request) {
    bytes += part.length;
    if (bytes > MAX_BODY_BYTES) throw new Error("the body is too large");
    parts.push(part);
  }
  return parts.length === 0 ? {} : JSON.parse(Buffer.concat(parts).toString("utf8"));
}

/// Answers with JSON; big integers as text.
export function answer(response, status, value) {
  const text = JSON.stringify(value, (_, held) =>
    typeof held === "bigint" ? held.toString() : held,
  );
  response.writeHead(status, { "content-type": "application/json" }).end(text);
}

/// Listens on loopback, on a port that is free unless one is given, and resolves to its address.
export function listen(server, port = 0) {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(Number(port), "127.0.0.1", () =>
      resolve(`http://127.0.0.1:${server.address().port}`),
    );
  });
}
