"""Calls every tool of the ledger with the official MCP client, as an agent's program would.

Needs nothing but what a run finds in its environment: EXECUTION_LEDGER_URL and
EXECUTION_LEDGER_KEY. Its argument is the way in which the client connects: "legacy" (the revisions
up to 2025-11-25) or "2026-07-28". Prints what it found as JSON; fails by an exception.
"""

import asyncio
import json
import os
import sys

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

TOOLS = [
    "cancel_execution",
    "chat_with_agent",
    "get_agent_activity_summary",
    "get_execution_events",
    "get_execution_result",
    "list_recent_executions",
]


async def answer(client, tool, **arguments):
    """What a tool answers; the client itself holds it against the tool's schema."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result
    assert json.loads(result.content[0].text) == result.structured_content
    return result.structured_content


async def wait_for_it(client, mode):
    """A call that waits, whose progress names the execution before the answer does."""
    told = []

    async def progress(_progress, _total, message):
        told.append(message)

    arguments = {"agent_name": "demo", "message": f"wait for it, {mode}"}
    result = await client.call_tool("chat_with_agent", arguments, progress_callback=progress)
    done = result.structured_content
    assert done["status"] == "completed" and done["response"], done
    assert done["execution_id"] in told[0], told
    return done["execution_id"]


async def background(client, mode):
    """A call in the background: retried, looked up, followed."""
    task = {"agent_name": "demo", "message": f"in the background, {mode}", "async": True}
    first = await answer(client, "chat_with_agent", **task)
    again = await answer(client, "chat_with_agent", **task)
    assert again["execution_id"] == first["execution_id"]
    assert (first["replayed"], again["replayed"]) == (False, True)
    looked = {"execution_id": first["execution_id"], "include_log": True, "wait_s": 30}
    found = await answer(client, "get_execution_result", **looked)
    assert found["status"] == "completed" and found["log"]["lines"], found
    events = await answer(client, "get_execution_events", execution_id=first["execution_id"])
    types = [event["type"] for event in events["events"]]
    assert types == ["execution.pending", "execution.running", "execution.completed"], types
    repeated = await answer(client, "chat_with_agent", **task, repeat=True)
    assert repeated["execution_id"] != first["execution_id"]
    return first["execution_id"]


async def stopped(client, mode):
    """A long run that is stopped."""
    task = {"agent_name": "demo", "message": f"sleep 600, {mode}", "parallel": True}
    started = await answer(client, "chat_with_agent", **task)
    id = started["execution_id"]
    wish = await answer(client, "cancel_execution", execution_id=id)
    assert wish["status"] in ("cancelling", "cancelled"), wish
    found = await answer(client, "get_execution_result", execution_id=id, wait_s=30)
    assert found["status"] == "cancelled", found
    return id


async def refused(client):
    """A refusal is an answer that a model can read."""
    arguments = {"agent_name": "nobody-there", "message": "x"}
    result = await client.call_tool("chat_with_agent", arguments)
    assert result.is_error and result.structured_content is None, result
    return result.content[0].text


async def main(mode):
    url = os.environ["EXECUTION_LEDGER_URL"] + "/mcp"
    headers = {"Authorization": "Bearer " + os.environ["EXECUTION_LEDGER_KEY"]}
    timeout = httpx2.Timeout(30, read=90)
    async with httpx2.AsyncClient(headers=headers, timeout=timeout, trust_env=False) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport, mode=mode) as client:
            listed = (await client.list_tools()).tools
            assert sorted(tool.name for tool in listed) == TOOLS, listed
            assert all(tool.output_schema for tool in listed)
            found = {
                "version": client.protocol_version,
                "waited": await wait_for_it(client, mode),
                "background": await background(client, mode),
                "stopped": await stopped(client, mode),
                "refused": await refused(client),
            }
            listing = await answer(client, "list_recent_executions", agent_name="demo", limit=100)
            ids = [execution["execution_id"] for execution in listing["executions"]]
            assert all(found[key] in ids for key in ("waited", "background", "stopped")), listing
            summary = await answer(client, "get_agent_activity_summary", agent_name="demo")
            assert summary["completed"] >= 2 and summary["cancelled"] >= 1, summary
            print(json.dumps(found))


asyncio.run(main(sys.argv[1]))
