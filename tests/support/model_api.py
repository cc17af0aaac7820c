#!/usr/bin/env python3
"""A stand-in for the Anthropic Messages API, for tests: loopback only, standard library only.

Prints its port as the first line of its output and serves until its standard input ends, so it
never outlives the test that started it. A word in the newest prompt decides what it answers:

[TEXT]  a short text (also the default)
[MARKDOWN] a text with headings, lists, code, a table and a link, and what must not be run
[TOOL]  asks for the tool Bash with `echo hi`, then answers in text
[LEDGER] asks for the ledger's own tool list_recent_executions over MCP, then answers in text
[E400]  an API error, status 400
[E529]  an API error, status 529: the provider is overloaded
[SLOW]  one word every 200 ms for 60 s

Every answer counts the same tokens: 1200 in, 42 out, 300 written to a cache, 50 read from it.
"""

import json
import re
import sys
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

INPUT_TOKENS, OUTPUT_TOKENS, CACHE_WRITE_TOKENS, CACHE_READ_TOKENS = 1200, 42, 300, 50
SLOW_WORDS, SLOW_PAUSE_S = 300, 0.2
REQUEST_MAX_BYTES = 32 * 1024 * 1024
MODE = re.compile(r"\[(TEXT|MARKDOWN|TOOL|LEDGER|E400|E529|SLOW)\]")
ERRORS = {
    "E400": (400, "invalid_request_error", "prompt is bad"),
    "E529": (529, "overloaded_error", "Overloaded"),
}
TOOLS = {
    "TOOL": ("Bash", {"command": "echo hi", "description": "run it"}),
    "LEDGER": ("mcp__execution-ledger__list_recent_executions", {"limit": 5}),
}
# Of a Markdown text, nothing may be run or fetched by whoever shows it.
MARKDOWN = """## What I found

Two of **three** checks pass; `cargo test` says why:

```text
error[E0382]: borrow of moved value, in a line that is much longer than a phone is wide: src/main.rs:42:17
```

1. Clone `config` before the loop
2. Or borrow it, as [the book](https://doc.example.org/book) says

| Check | Result | Seconds |
|-------|--------|--------:|
| build | passes | 12.5 |
| tests | **fails** | 3 |

- [x] read
- [ ] fixed, see [main.rs](src/main.rs:42) or [this](javascript:document.title='taken')

<img src=x onerror="document.title='taken'"> ![a picture](https://pictures.example.org/a.png)
"""


def blocks(message):
    """The content of a message as a list of blocks."""
    content = message.get("content", [])
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def mode_of(messages):
    """Which behaviour the newest prompt asks for."""
    for message in reversed(messages):
        if message.get("role") != "user":
            continue
        for block in reversed(blocks(message)):
            if block.get("type") == "tool_result":
                return "TEXT"
            found = MODE.search(block.get("text", ""))
            if found:
                return found.group(1)
    return "TEXT"


class Api(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    stopping = threading.Event()

    def log_message(self, *_arguments):
        """Keeps the test's output clean."""

    def do_HEAD(self):
        self.answer(200, {})

    def do_GET(self):
        self.answer(404, {"type": "error", "error": {"type": "not_found_error", "message": "none"}})

    def do_POST(self):
        length = int(self.headers.get("content-length", "0"))
        if length > REQUEST_MAX_BYTES:
            self.close_connection = True
            return
        request = json.loads(self.rfile.read(length) or b"{}")
        try:
            self.route(self.path.split("?")[0], request)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def route(self, path, request):
        """Answers a request by its path."""
        if path.endswith("/count_tokens"):
            self.answer(200, {"input_tokens": INPUT_TOKENS})
        elif path == "/v1/messages":
            self.messages(request)
        else:
            self.do_GET()

    def messages(self, request):
        """The one call that matters."""
        messages = request.get("messages", [])
        mode = mode_of(messages)
        if mode in ERRORS:
            status, kind, message = ERRORS[mode]
            self.answer(status, {"type": "error", "error": {"type": kind, "message": message}})
            return
        text = f"Hello from the fake model. mode={mode} messages={len(messages)}. "
        message = {
            "id": "msg_" + uuid.uuid4().hex[:20], "type": "message", "role": "assistant",
            "model": request.get("model"), "content": [], "stop_reason": None,
            "stop_sequence": None, "usage": self.usage(1),
        }
        if mode == "MARKDOWN":
            text = MARKDOWN
        answer = [{"type": "text", "text": text}]
        if mode in TOOLS:
            name, tool = TOOLS[mode]
            answer = [{"type": "text", "text": "I will use a tool. "},
                      {"type": "tool_use", "id": "toolu_" + uuid.uuid4().hex[:20], "name": name,
                       "input": tool}]
        stop_reason = "tool_use" if mode in TOOLS else "end_turn"
        if not request.get("stream"):
            message.update(content=answer, stop_reason=stop_reason, usage=self.usage(OUTPUT_TOKENS))
            self.answer(200, message)
            return
        self.stream(message, answer, stop_reason, mode == "SLOW")

    def begin_stream(self):
        """The head of an answer of server-sent events, which ends with the connection."""
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("request-id", "req_" + uuid.uuid4().hex[:20])
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True

    def stream(self, message, answer, stop_reason, slow):
        """The same answer as server-sent events."""
        self.begin_stream()
        self.event({"type": "message_start", "message": message})
        for index, block in enumerate(answer):
            self.block(index, block, slow)
        self.event({"type": "message_delta", "usage": self.usage(OUTPUT_TOKENS),
                    "delta": {"stop_reason": stop_reason, "stop_sequence": None}})
        self.event({"type": "message_stop"})

    def block(self, index, block, slow):
        """One content block in pieces."""
        if block["type"] == "text":
            start, kind = {"type": "text", "text": ""}, "text_delta"
            pieces = [line for line in block["text"].splitlines(keepends=True)]
            if len(pieces) == 1:
                pieces = [word + " " for word in block["text"].split()]
            if slow:
                pieces += [f"w{number} " for number in range(SLOW_WORDS)]
            deltas = [{"type": kind, "text": piece} for piece in pieces]
        else:
            start = {**block, "input": {}}
            deltas = [{"type": "input_json_delta", "partial_json": json.dumps(block["input"])}]
        self.event({"type": "content_block_start", "index": index, "content_block": start})
        for delta in deltas:
            if slow and self.stopping.wait(SLOW_PAUSE_S):
                return
            self.event({"type": "content_block_delta", "index": index, "delta": delta})
        self.event({"type": "content_block_stop", "index": index})

    def event(self, data):
        """One server-sent event."""
        self.wfile.write(f"event: {data['type']}\ndata: {json.dumps(data)}\n\n".encode())
        self.wfile.flush()

    def answer(self, status, body):
        """One JSON answer."""
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    @staticmethod
    def usage(output_tokens):
        """Tokens as the API reports them."""
        return {"input_tokens": INPUT_TOKENS, "output_tokens": output_tokens,
                "cache_creation_input_tokens": CACHE_WRITE_TOKENS,
                "cache_read_input_tokens": CACHE_READ_TOKENS}


def main(api=Api):
    """Serves until the test goes away."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), api)
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.buffer.read()
    Api.stopping.set()
    server.shutdown()


if __name__ == "__main__":
    main()
