"""The official Python client (kurrentdbclient) against a ledger that serves its log.

    python ledger.py read CONNECTION             what the log holds, as JSON
    python ledger.py write CONNECTION            a stream beside the log; the ledger's are refused
    python ledger.py refused CONNECTION          what somebody without the right is told
    python ledger.py hurry CONNECTION COUNT      COUNT reads at once, and what one too many is told
    python ledger.py follow CONNECTION COUNT     COUNT events, then what ends the subscription
"""

import json
import sys
from uuid import uuid4

from kurrentdbclient import KurrentDBClient, NewEvent, StreamState
from kurrentdbclient.exceptions import AccessDeniedError, KurrentDBClientError

mode, uri = sys.argv[1:3]


def tell(**said):
    print(json.dumps(said), flush=True)


def told(recorded):
    return {
        "id": str(recorded.id),
        "type": recorded.type,
        "stream": recorded.stream_name,
        "revision": recorded.stream_position,
        "metadata": json.loads(recorded.metadata),
        "data": json.loads(recorded.data),
        "recorded_at": recorded.recorded_at.isoformat(),
    }


with KurrentDBClient(uri) as client:
    if mode == "read":
        events = [told(recorded) for recorded in client.read_all()]
        backwards = [str(recorded.id) for recorded in client.read_all(backwards=True)]
        texts = {}
        for event in events:
            for digest in event["metadata"].get("texts", []):
                [text] = client.get_stream(f"text.ledger-{event['id']}.{digest}")
                texts[digest] = text.data.decode()
        by_prefix = client.read_all(
            filter_include=("ledger.agent-",), filter_by_prefix=True, filter_by_stream_name=True
        )
        tell(events=events, backwards=backwards, texts=texts, agents=[e.stream_name for e in by_prefix])
    elif mode == "write":
        stream, event = f"notes-{uuid4()}", NewEvent(type="note.taken", data=b'{"by":"python"}')
        before = client.get_commit_position()
        client.append_to_stream(stream, current_version=StreamState.NO_STREAM, events=[event])
        client.set_stream_metadata(stream, metadata={"$maxCount": 5})
        read = [recorded.id == event.id for recorded in client.get_stream(stream)]
        unchanged = client.get_commit_position() == before
        refused = []
        for name in ("ledger.execution-1", "$$ledger.execution-1", "$ce-notes"):
            try:
                client.append_events(name, current_version=StreamState.ANY, events=[event])
                refused.append(False)
            except AccessDeniedError:
                refused.append(True)
        tell(read=read, unchanged=unchanged, refused=refused)
    elif mode == "refused":
        try:
            tell(read=len(list(client.read_all())))
        except KurrentDBClientError as error:
            tell(kind=type(error).__name__, text=str(error))
    elif mode == "hurry":
        try:
            for _ in range(int(sys.argv[3])):
                client.get_commit_position()
            tell(text="")
        except KurrentDBClientError as error:
            tell(kind=type(error).__name__, text=str(error))
    else:
        with client.subscribe_to_all(timeout=60) as subscription:
            try:
                for seen, _ in enumerate(subscription, 1):
                    if seen == int(sys.argv[3]):
                        tell(seen=seen)
            except KurrentDBClientError as error:
                tell(kind=type(error).__name__, text=str(error))
