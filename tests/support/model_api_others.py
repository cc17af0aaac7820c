#!/usr/bin/env python3
"""Stand-ins for the model APIs of codex, gemini-cli and opencode: loopback only, standard library only.

POST /v1/responses                             OpenAI's Responses API (codex)
POST /v1/chat/completions                      OpenAI's Chat Completions API (opencode)
POST /v1beta/models/NAME:streamGenerateContent Gemini's API

Like model_api.py it prints its port as the first line of its output and serves until its standard
input ends. A word in the newest prompt decides what it answers:

[TEXT]   a short text (also the default)
[TOOL]   asks for the program's shell tool with `echo hi`, then answers in text
[SLEEP]  asks for the shell tool with `sleep 600`
[LEDGER] asks for the ledger's own tool list_recent_executions over MCP, then answers in text
[E400]   an API error, status 400
[E429]   an API error, status 429: the provider limits the rate
[SLOW]   one word every 200 ms for 60 s

Every answer counts the same tokens: 1200 in, of which 50 were read from a cache, and 42 out.
"""

import json
import re
import uuid

import model_api

INPUT_TOKENS, OUTPUT_TOKENS, CACHE_READ_TOKENS = 1200, 42, 50
MODE = re.compile(r"\[(TEXT|TOOL|SLEEP|LEDGER|E400|E429|SLOW)\]")
COMMANDS = {"TOOL": "echo hi", "SLEEP": "sleep 600"}
ERRORS = {"E400": (400, "prompt is bad"), "E429": (429, "too many requests, try again later")}
LEDGER_TOOL = "list_recent_executions"
# The shell tools by name, and the arguments that each takes.
SHELLS = {
    "exec_command": lambda command: {"cmd": command},
    "shell_command": lambda command: {"command": command},
    "shell": lambda command: {"command": ["bash", "-c", command]},
    "bash": lambda command: {"command": command, "description": "run it"},
    "run_shell_command": lambda command: {"command": command, "description": "run it"},
}


def texts_of(content):
    """The texts of a message's content, whatever its API calls it."""
    if isinstance(content, str):
        return [content]
    return [part["text"] for part in content or [] if isinstance(part, dict) and "text" in part]


def mode_of(turns):
    """What the newest prompt asks for; `turns` are (is_tool_result, texts), the newest last."""
    for is_tool_result, texts in reversed(turns):
        if is_tool_result:
            return "TEXT"
        for text in reversed(texts):
            found = MODE.search(text)
            if found:
                return found.group(1)
    return "TEXT"


def call_of(mode, names):
    """The tool that a mode asks for, by its name among a request's tools, and its arguments."""
    for name in names:
        if mode in COMMANDS and name in SHELLS:
            return name, SHELLS[name](COMMANDS[mode])
        if mode == "LEDGER" and name.endswith(LEDGER_TOOL):
            return name, {"limit": 5}
    return None


def words_of(mode, turns):
    """The answer in pieces: it says how many turns the model saw, so that a resumed session shows."""
    words = f"Hello from the fake model. mode={mode} turns={len(turns)}. ".split()
    if mode == "SLOW":
        words += [f"w{number}" for number in range(model_api.SLOW_WORDS)]
    return [word + " " for word in words]


class Api(model_api.Api):
    """One connection."""

    def route(self, path, request):
        if path == "/v1/responses":
            self.openai_responses(request)
        elif path == "/v1/chat/completions":
            self.openai_chat(request)
        elif ":streamGenerateContent" in path or ":generateContent" in path:
            self.gemini(path, request)
        elif path.endswith(":countTokens"):
            self.answer(200, {"totalTokens": INPUT_TOKENS})
        else:
            self.do_GET()

    def refused(self, mode, gemini=False):
        """Answers an error, where the mode is one."""
        if mode not in ERRORS:
            return False
        status, message = ERRORS[mode]
        if gemini:
            kind = "RESOURCE_EXHAUSTED" if status == 429 else "INVALID_ARGUMENT"
            error = {"code": status, "message": message, "status": kind}
        else:
            kind = "rate_limit_exceeded" if status == 429 else "invalid_request_error"
            error = {"type": kind, "code": kind, "message": message}
        self.answer(status, {"error": error})
        return True

    def pieces(self, mode, turns):
        """The words of an answer, as slowly as it asks for; ends early when the test does."""
        for piece in words_of(mode, turns):
            if mode == "SLOW" and self.stopping.wait(model_api.SLOW_PAUSE_S):
                return
            yield piece

    def send(self, data):
        """One server-sent event without a name."""
        text = data if isinstance(data, str) else json.dumps(data)
        self.wfile.write(f"data: {text}\n\n".encode())
        self.wfile.flush()

    def openai_responses(self, request):
        """OpenAI's Responses API."""
        turns = [(item.get("type") == "function_call_output", texts_of(item.get("content")))
                 for item in request.get("input", [])
                 if item.get("role") == "user" or item.get("type") == "function_call_output"]
        mode = mode_of(turns)
        if self.refused(mode):
            return
        # The tools of an MCP server stand together in a namespace.
        spaces = {inner.get("name", ""): tool["name"] for tool in request.get("tools", [])
                  for inner in tool.get("tools", [])}
        names = [tool.get("name", "") for tool in request.get("tools", [])]
        call = call_of(mode, [*names, *spaces])
        self.begin_stream()
        response = {"id": "resp_" + uuid.uuid4().hex, "object": "response",
                    "model": request.get("model"), "output": []}
        self.event({"type": "response.created", "response": response})
        if call:
            item = {"type": "function_call", "id": "fc_" + uuid.uuid4().hex,
                    "call_id": "call_" + uuid.uuid4().hex, "name": call[0],
                    "arguments": json.dumps(call[1])}
            if call[0] in spaces:
                item["namespace"] = spaces[call[0]]
        else:
            item = {"type": "message", "role": "assistant", "id": "msg_" + uuid.uuid4().hex,
                    "content": [{"type": "output_text", "text": ""}]}
            self.event({"type": "response.output_item.added", "output_index": 0, "item": item})
            text = ""
            for piece in self.pieces(mode, turns):
                text += piece
                self.event({"type": "response.output_text.delta", "item_id": item["id"],
                            "output_index": 0, "content_index": 0, "delta": piece})
            item["content"] = [{"type": "output_text", "text": text}]
        self.event({"type": "response.output_item.done", "output_index": 0, "item": item})
        usage = {"input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS,
                 "input_tokens_details": {"cached_tokens": CACHE_READ_TOKENS},
                 "output_tokens_details": {"reasoning_tokens": 7},
                 "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS}
        response.update(status="completed", output=[item], usage=usage)
        self.event({"type": "response.completed", "response": response})

    def openai_chat(self, request):
        """OpenAI's Chat Completions API."""
        turns = [(message["role"] == "tool", texts_of(message.get("content")))
                 for message in request.get("messages", []) if message["role"] in ("user", "tool")]
        mode = mode_of(turns)
        if self.refused(mode):
            return
        names = [tool.get("function", {}).get("name", "") for tool in request.get("tools", [])]
        call = call_of(mode, names)
        self.begin_stream()
        head = {"id": "chatcmpl-" + uuid.uuid4().hex, "object": "chat.completion.chunk",
                "model": request.get("model")}

        def chunk(delta, reason=None):
            choice = {"index": 0, "delta": delta, "finish_reason": reason}
            self.send({**head, "choices": [choice]})

        if call:
            chunk({"role": "assistant", "tool_calls": [{
                "index": 0, "id": "call_" + uuid.uuid4().hex, "type": "function",
                "function": {"name": call[0], "arguments": json.dumps(call[1])}}]})
            chunk({}, "tool_calls")
        else:
            for piece in self.pieces(mode, turns):
                chunk({"role": "assistant", "content": piece})
            chunk({}, "stop")
        usage = {"prompt_tokens": INPUT_TOKENS, "completion_tokens": OUTPUT_TOKENS,
                 "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
                 "prompt_tokens_details": {"cached_tokens": CACHE_READ_TOKENS}}
        self.send({**head, "choices": [], "usage": usage})
        self.send("[DONE]")

    def gemini(self, path, request):
        """Gemini's API."""
        turns = [(any("functionResponse" in part for part in content.get("parts", [])),
                  texts_of(content.get("parts")))
                 for content in request.get("contents", []) if content.get("role") == "user"]
        mode = mode_of(turns)
        if self.refused(mode, gemini=True):
            return
        names = [declared.get("name", "") for tool in request.get("tools", [])
                 for declared in tool.get("functionDeclarations", [])]
        call = call_of(mode, names)
        usage = {"promptTokenCount": INPUT_TOKENS, "candidatesTokenCount": OUTPUT_TOKENS,
                 "totalTokenCount": INPUT_TOKENS + OUTPUT_TOKENS,
                 "cachedContentTokenCount": CACHE_READ_TOKENS}
        model = path.rsplit("/", 1)[-1].split(":")[0]

        def part(part, reason=None):
            candidate = {"index": 0, "content": {"role": "model", "parts": [part]}}
            if reason:
                candidate["finishReason"] = reason
            return {"candidates": [candidate], "modelVersion": model, "usageMetadata": usage}

        if ":generateContent" in path:
            self.answer(200, part({"text": "".join(words_of("TEXT", turns))}, "STOP"))
            return
        self.begin_stream()
        if call:
            self.send(part({"functionCall": {"name": call[0], "args": call[1]}}, "STOP"))
            return
        for piece in self.pieces(mode, turns):
            self.send(part({"text": piece}))
        self.send(part({"text": ""}, "STOP"))


if __name__ == "__main__":
    model_api.main(Api)
