// The official Node client against a ledger that serves its log to KurrentDB clients.
//
//   node node.mjs CONNECTION-STRING FACTS
//
// reads the log both ways, follows it, appends to a stream of its own and is refused the ledger's.
// FACTS is how many events the log holds at least. Writes what it saw as JSON.

import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.env.EVENTSTORE_TOOLS, "package.json"));
const { KurrentDBClient, jsonEvent, streamNameFilter, BACKWARDS, END, NO_STREAM, START } = require(
  "@kurrent/kurrentdb-client",
);

const [connection, facts] = [process.argv[2], Number(process.argv[3])];
const client = KurrentDBClient.connectionString(connection);
const collect = async (events) => {
  const seen = [];
  for await (const { event } of events) seen.push(event);
  return seen;
};

const forwards = await collect(client.readAll({ maxCount: 10_000 }));
const backwards = await collect(
  client.readAll({ direction: BACKWARDS, fromPosition: END, maxCount: 2 }),
);
const execution = forwards.find((event) => event.type === "execution.pending").streamId;
const story = await collect(client.readStream(execution));

const follow = async (subscription, count) => {
  const seen = [];
  for await (const { event } of subscription) {
    seen.push(event.type);
    if (seen.length >= count) break;
  }
  await subscription.unsubscribe();
  return seen;
};
const followed = await follow(client.subscribeToAll({ fromPosition: START }), facts);
const filter = streamNameFilter({ prefixes: [execution] });
const filtered = await follow(client.subscribeToAll({ fromPosition: START, filter }), story.length);

const notes = `notes-${Date.now()}`;
const appended = await client.appendToStream(
  notes,
  [1, 2, 3].map((number) => jsonEvent({ type: "note.taken", data: { number } })),
  { streamState: NO_STREAM },
);
const read = await collect(client.readStream(notes));
const wrong = await client
  .appendToStream(notes, [jsonEvent({ type: "note.taken", data: {} })], { streamState: NO_STREAM })
  .catch((error) => error.type);
const refused = await client
  .appendToStream(execution, [jsonEvent({ type: "execution.completed", data: {} })])
  .catch((error) => error.type);

process.stdout.write(
  JSON.stringify({
    forwards: forwards.length,
    last: forwards.slice(-2).map((event) => event.id),
    backwards: backwards.map((event) => event.id),
    story: story.map((event) => event.type),
    versions: story.map((event) => event.metadata.$schemaVersion),
    followed: followed.length,
    filtered,
    revision: Number(appended.nextExpectedRevision),
    notes: read.map((event) => event.data.number),
    wrong,
    refused,
  }),
);
await client.dispose();
process.exit(0);
