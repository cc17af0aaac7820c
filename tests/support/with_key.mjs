// Passes requests on to a server with a key of the caller's, for programs that can't send one.
//
//   with_key.mjs URL       the key is in the variable KEY
//
// Prints its port as the first line of its output and serves until its standard input ends, so it
// never outlives the test that started it.

import http from "node:http";

const target = new URL(process.argv[2]);
const authorization = `Bearer ${process.env.KEY}`;

const server = http.createServer((request, response) => {
  const onward = http.request(
    {
      host: target.hostname,
      port: target.port,
      path: request.url,
      method: request.method,
      headers: { ...request.headers, authorization },
    },
    (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    },
  );
  onward.on("error", () => response.destroy());
  response.on("close", () => onward.destroy());
  request.pipe(onward);
});

server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.on("end", () => process.exit(0)).resume();
