"""An agent for chats. Its message is its last argument; it needs nothing but what a run finds in its
environment, and the official MCP client to call itself.

The user's words come last, after a note of the ledger where there is one. `background WORDS` calls the
agent itself in the background, to put the result into the chat; `work WORDS` is such a call, done once
the file named by GATE is there; anything else is answered at once with all that the agent was given.
"""

import asyncio
import os
import sys
import time

LOOK_S = 0.02
PATIENCE_S = 120


async def call_myself(words):
    # Only here, because it takes a moment.
    import httpx2
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    environment = os.environ
    headers = {"Authorization": "Bearer " + environment["EXECUTION_LEDGER_KEY"]}
    async with httpx2.AsyncClient(headers=headers, trust_env=False, timeout=30) as http:
        transport = streamable_http_client(
            environment["EXECUTION_LEDGER_URL"] + "/mcp", http_client=http
        )
        async with Client(transport) as client:
            arguments = {
                "agent_name": environment["EXECUTION_LEDGER_AGENT"],
                "message": "work " + words,
                "parallel": True,
                "async": True,
                "inject_result": True,
                "chat_session_id": environment["EXECUTION_LEDGER_SESSION_ID"],
            }
            result = await client.call_tool("chat_with_agent", arguments)
            assert not result.is_error, result
            print("started", result.structured_content["execution_id"])


def work(words):
    print("looking for", words, flush=True)
    until = time.monotonic() + PATIENCE_S
    while not os.path.exists(os.environ["GATE"]):
        assert time.monotonic() < until, "the gate stays shut"
        time.sleep(LOOK_S)
    if words == "trouble":
        print("found trouble")
        sys.exit(3)
    print("found 42", words)


given = sys.argv[1]
said = given.rsplit("\n\n", 1)[-1]
order, _, rest = said.partition(" ")
if order == "background":
    asyncio.run(call_myself(rest))
elif order == "work":
    work(rest)
else:
    print("I was given:", given)
