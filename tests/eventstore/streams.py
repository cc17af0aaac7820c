"""The official Python client (kurrentdbclient) against an open store: streams, subscriptions, metadata.

Each test takes streams of its own, so they can share a server. LEDGER_EVENTSTORE is its address.
"""

import asyncio
import os
import unittest
from datetime import datetime, timedelta, timezone
from uuid import uuid4

from kurrentdbclient import (
    AsyncKurrentDBClient,
    CaughtUp,
    Checkpoint,
    KurrentDBClient,
    NewEvent,
    StreamState,
)
from kurrentdbclient.exceptions import (
    AccessDeniedError,
    GrpcDeadlineExceededError,
    MaximumAppendSizeExceededError,
    NotFoundError,
    StreamIsDeletedError,
    WrongCurrentVersionError,
)

URI = f"esdb://{os.environ['LEDGER_EVENTSTORE']}?Tls=false"
ANY, EXISTS, NONE = StreamState.ANY, StreamState.EXISTS, StreamState.NO_STREAM


def name():
    return f"orders-{uuid4()}"


def event(kind="OrderPlaced", data=b"{}", **more):
    return NewEvent(type=kind, data=data, **more)


class Streams(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.client = KurrentDBClient(URI)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()

    def append(self, stream, *events, at=ANY):
        return self.client.append_to_stream(stream, current_version=at, events=list(events))

    def ids(self, stream, **options):
        return [recorded.id for recorded in self.client.get_stream(stream, **options)]


class Appending(Streams):
    def test_single_events_take_their_turn(self):
        stream, events = name(), [event(data=os.urandom(20), metadata=os.urandom(9)) for _ in "abcd"]
        with self.assertRaises(NotFoundError):
            self.client.get_stream(stream)
        self.assertEqual(self.client.get_current_version(stream), NONE)
        with self.assertRaises(WrongCurrentVersionError) as wrong:
            self.client.append_event(stream, current_version=1, event=events[0])
        self.assertEqual(wrong.exception.args[0], f"Stream {stream!r} does not exist")
        before = self.client.get_commit_position()
        first = self.client.append_event(stream, current_version=NONE, event=events[0])
        self.assertGreater(first, before)
        [recorded] = self.client.get_stream(stream)
        self.assertEqual(
            (recorded.type, recorded.data, recorded.metadata, recorded.id, recorded.content_type),
            (events[0].type, events[0].data, events[0].metadata, events[0].id, "application/json"),
        )
        self.assertEqual((recorded.stream_name, recorded.stream_position), (stream, 0))
        self.assertEqual(recorded.commit_position, first)
        age = datetime.now(timezone.utc) - recorded.recorded_at
        self.assertLess(abs(age), timedelta(minutes=1))
        with self.assertRaises(WrongCurrentVersionError) as wrong:
            self.client.append_event(stream, current_version=NONE, event=events[1])
        self.assertIn("Stream position of last event is 0", wrong.exception.args[0])
        second = self.client.append_event(stream, current_version=0, event=events[1])
        third = self.client.append_event(stream, current_version=1, event=events[2])
        self.assertLess(second, third)
        # Repeated, in any split.
        self.assertEqual(self.client.append_event(stream, current_version=NONE, event=events[0]), first)
        self.assertEqual(self.client.append_event(stream, current_version=1, event=events[2]), third)
        self.assertEqual(self.append(stream, *events[:2], at=NONE), second)
        self.assertEqual(self.append(stream, *events[1:3], at=0), third)
        with self.assertRaises(WrongCurrentVersionError):
            self.append(stream, *events[1:], at=0)
        known = [given.id for given in events[:3]]
        self.assertEqual(self.ids(stream), known)
        self.assertEqual(self.ids(stream, backwards=True), known[::-1])
        self.assertEqual(self.ids(stream, stream_position=1), known[1:])
        self.assertEqual(self.ids(stream, stream_position=1, backwards=True), known[1::-1])
        self.assertEqual(self.ids(stream, stream_position=1, limit=1), known[1:2])

    def test_lists_of_events_expect_any_or_some_state(self):
        stream = name()
        for wrong in (1, EXISTS):
            with self.assertRaises(WrongCurrentVersionError):
                self.append(stream, event(), event(), at=wrong)
        first = self.append(stream, event(), event(), at=NONE)
        self.assertEqual(first, self.client.get_commit_position())
        for wrong in (NONE, 10):
            with self.assertRaises(WrongCurrentVersionError):
                self.append(stream, event(), event(), at=wrong)
        later = [self.append(stream, event(), event(), at=state) for state in (EXISTS, ANY, 5)]
        self.assertEqual(sorted(later), later)
        recorded = self.client.get_stream(stream)
        self.assertEqual([one.stream_position for one in recorded], list(range(8)))
        self.assertEqual(recorded[-1].commit_position, later[-1])

    def test_an_append_is_all_or_nothing_and_has_a_limit(self):
        stream = name()
        with self.assertRaises(MaximumAppendSizeExceededError):
            self.append(stream, *[event(data=b"x" * 200_000) for _ in range(6)])
        with self.assertRaises(NotFoundError):
            self.client.get_stream(stream)

    def test_bytes_are_bytes(self):
        stream, data = name(), bytes(range(256))
        self.append(stream, event("Blob", data, content_type="application/octet-stream"))
        [recorded] = self.client.get_stream(stream)
        self.assertEqual((recorded.data, recorded.content_type), (data, "application/octet-stream"))

    def test_reserved_names_are_refused(self):
        with self.assertRaises(AccessDeniedError):
            self.client.append_events("$ce-orders", current_version=ANY, events=[event()])


class ReadingAll(Streams):
    def test_both_ways_from_a_position(self):
        streams, events = [name(), name()], [event() for _ in range(6)]
        first = self.append(streams[0], *events[:3])
        second = self.append(streams[1], *events[3:])
        ids = [given.id for given in events]
        read = lambda **options: [one.id for one in self.client.read_all(**options)]
        self.assertEqual(read(commit_position=first), ids[2:])
        self.assertEqual(read(commit_position=second), ids[5:])
        self.assertEqual(read(commit_position=first, limit=2), ids[2:4])
        # Backwards leaves out the event at the position.
        self.assertEqual(read(commit_position=second, backwards=True, limit=5), ids[4::-1])
        self.assertEqual(read(backwards=True, limit=6), ids[::-1])
        self.assertEqual(read()[-6:], ids)
        self.assertEqual(self.client.get_commit_position(), second)
        self.assertEqual(self.client.get_commit_position(filter_exclude=[".*"]), 0)

    def test_filters_of_types_and_streams(self):
        kinds = ["OrderPlaced", "OrderPaid", "BillSent", "BillPaid", "Other"]
        prefix = f"p{uuid4()}"
        streams = [f"{prefix}-{number}" for number in range(len(kinds))]
        at = None
        for stream, kind in zip(streams, kinds):
            position = self.append(stream, event(kind))
            at = at or position

        def seen(by_stream=False, **options):
            read = self.client.read_all(commit_position=at, filter_by_stream_name=by_stream, **options)
            return {one.stream_name if by_stream else one.type for one in read}

        for pattern, wanted in [
            ("OrderPaid", {"OrderPaid"}),
            (["OrderPaid", "Other"], {"OrderPaid", "Other"}),
            ("Order", set()),
            ("Order.*", {"OrderPlaced", "OrderPaid"}),
            (".*Paid", {"OrderPaid", "BillPaid"}),
        ]:
            with self.subTest(include=pattern):
                self.assertEqual(seen(filter_include=pattern), wanted)
        system = r"\$.+"
        for patterns, left in [
            ([system, "Order"], set(kinds)),
            ([system, "Order.*"], {"BillSent", "BillPaid", "Other"}),
            ([system, "BillSent", "Other"], {"OrderPlaced", "OrderPaid", "BillPaid"}),
        ]:
            with self.subTest(exclude=patterns):
                self.assertEqual(seen(filter_exclude=patterns), left)
        self.assertEqual(seen(True, filter_include=[streams[1], streams[3]]), {streams[1], streams[3]})
        self.assertEqual(seen(True, filter_exclude=[system, streams[0]]), set(streams[1:]))
        self.assertEqual(seen(True, filter_include=(prefix + "-2",), filter_by_prefix=True), {streams[2]})
        self.assertTrue(any(one.type.startswith("$") for one in self.client.read_all(filter_exclude=[])))

    def test_a_read_can_be_stopped_and_has_a_deadline(self):
        read = self.client.read_all()
        read.stop()
        self.assertEqual(list(read), [])
        with self.assertRaises(GrpcDeadlineExceededError):
            list(self.client.subscribe_to_all(timeout=0.3))


class Removing(Streams):
    def test_a_deleted_stream_can_be_appended_to(self):
        stream, third = name(), event()
        for state in (ANY, NONE, EXISTS, 0):
            with self.assertRaises(NotFoundError):
                self.client.delete_stream(stream, current_version=state)
        self.append(stream, event(), event(), at=NONE)
        with self.assertRaises(WrongCurrentVersionError):
            self.client.delete_stream(stream, current_version=0)
        self.client.delete_stream(stream, current_version=1)
        with self.assertRaises(WrongCurrentVersionError):
            self.client.delete_stream(stream, current_version=0)
        self.client.delete_stream(stream, current_version=1)
        self.client.delete_stream(stream, current_version=ANY)
        with self.assertRaises(StreamIsDeletedError):
            self.client.delete_stream(stream, current_version=EXISTS)
        with self.assertRaises(NotFoundError):
            self.client.get_stream(stream)
        self.assertEqual(self.client.get_current_version(stream), NONE)
        with self.assertRaises(WrongCurrentVersionError):
            self.append(stream, third, at=0)
        self.append(stream, third, at=NONE)
        self.assertEqual(self.client.get_current_version(stream), 2)
        self.assertEqual(self.ids(stream), [third.id])
        self.client.delete_stream(stream, current_version=EXISTS)
        with self.assertRaises(NotFoundError):
            self.client.get_stream(stream)

    def test_a_tombstone_is_for_ever(self):
        stream = name()
        with self.assertRaises(NotFoundError):
            self.client.tombstone_stream(stream, current_version=EXISTS)
        self.append(stream, event(), event(), at=NONE)
        with self.assertRaises(WrongCurrentVersionError):
            self.client.tombstone_stream(stream, current_version=0)
        self.client.tombstone_stream(stream, current_version=1)
        for state in (ANY, EXISTS, NONE, 1, 2):
            with self.subTest(state=state), self.assertRaises(StreamIsDeletedError):
                self.client.tombstone_stream(stream, current_version=state)
            with self.subTest(state=state), self.assertRaises(StreamIsDeletedError):
                self.append(stream, event(), at=state)
        with self.assertRaises(StreamIsDeletedError):
            self.client.get_stream(stream)
        with self.assertRaises(StreamIsDeletedError):
            self.client.get_current_version(stream)
        never = name()
        self.client.tombstone_stream(never, current_version=ANY)
        with self.assertRaises(StreamIsDeletedError):
            self.append(never, event(), at=NONE)

    def test_metadata_say_what_is_kept(self):
        stream, events = name(), [event() for _ in range(5)]
        self.append(stream, *events)
        said, version = self.client.get_stream_metadata(stream)
        self.assertEqual((said, version), ({}, NONE))
        self.client.set_stream_metadata(stream, metadata={"$maxCount": 2, "mine": "ü"}, current_version=NONE)
        with self.assertRaises(WrongCurrentVersionError):
            self.client.set_stream_metadata(stream, metadata={}, current_version=10)
        said, version = self.client.get_stream_metadata(stream)
        self.assertEqual((said, version), ({"$maxCount": 2, "mine": "ü"}, 0))
        self.assertEqual(self.ids(stream), [given.id for given in events[3:]])
        self.client.set_stream_metadata(stream, metadata={"$tb": 4}, current_version=0)
        self.assertEqual(self.ids(stream), [events[4].id])
        self.client.tombstone_stream(stream, current_version=ANY)
        with self.assertRaises(StreamIsDeletedError):
            self.client.get_stream(stream)


    def test_metadata_of_what_was_deleted(self):
        stream = name()
        self.append(stream, event(), event())
        self.client.delete_stream(stream, current_version=EXISTS)
        said, version = self.client.get_stream_metadata(stream)
        self.assertEqual((said, version), ({"$tb": 2**63 - 1}, 0))
        self.client.tombstone_stream(stream, current_version=ANY)
        # Those of a stream that is gone for ever are taken, but shown to nobody.
        for _ in range(2):
            with self.assertRaises(StreamIsDeletedError):
                self.client.get_stream_metadata(stream)
            with self.assertRaises(WrongCurrentVersionError):
                self.client.set_stream_metadata(stream, metadata={}, current_version=7)
            self.client.set_stream_metadata(stream, metadata={"mine": 1}, current_version=ANY)


class Following(Streams):
    def take(self, subscription, count):
        return [next(subscription).id for _ in range(count)]

    def test_the_whole_log(self):
        stream, events = name(), [event() for _ in range(6)]
        ids = [given.id for given in events]
        at = self.append(stream, events[0])
        self.append(stream, *events[1:3])
        # From a position: without the event there.
        with self.client.subscribe_to_all(commit_position=at, timeout=20) as subscription:
            self.assertEqual(self.take(subscription, 2), ids[1:3])
            self.append(stream, *events[3:])
            self.assertEqual(self.take(subscription, 3), ids[3:])
        with self.client.subscribe_to_all(from_end=True, timeout=20) as subscription:
            last = event()
            self.append(stream, last)
            self.assertEqual(self.take(subscription, 1), [last.id])
        with self.client.subscribe_to_all(filter_exclude=[], timeout=20) as subscription:
            self.assertTrue(next(subscription).type.startswith("$"))
        with self.client.subscribe_to_all(filter_include=stream, filter_by_stream_name=True, timeout=20) as subscription:
            self.assertEqual(self.take(subscription, 6), ids)

    def test_checkpoints_and_being_caught_up_are_told(self):
        at = self.client.get_commit_position()
        self.append(name(), *[event() for _ in range(20)])
        end = self.client.get_commit_position()
        with self.client.subscribe_to_all(
            commit_position=at, filter_exclude=".*", include_checkpoints=True, include_caught_up=True,
            window_size=1, checkpoint_interval_multiplier=1, timeout=20,
        ) as subscription:
            kinds = []
            for told in subscription:
                kinds.append(type(told))
                if isinstance(told, CaughtUp):
                    break
                self.assertIsInstance(told, Checkpoint)
                self.assertLessEqual(told.commit_position, end)
            self.assertIn(Checkpoint, kinds)
        # From the checkpoint on, what comes next comes.
        with self.client.subscribe_to_all(commit_position=end, timeout=20) as subscription:
            after = event()
            self.append(name(), after)
            self.assertEqual(self.take(subscription, 1), [after.id])

    def test_who_has_caught_up_is_where_the_client_knows(self):
        begun = self.append(name(), event())
        passed = self.append(name(), event("Wanted"))
        hidden = self.append(name(), event("Other"))
        for wanted, at in (("Nothing", begun), ("Wanted", passed), ("Other", hidden), (".*", hidden)):
            with self.subTest(wanted=wanted), self.client.subscribe_to_all(
                commit_position=begun, filter_include=wanted, include_checkpoints=True,
                include_caught_up=True, timeout=20,
            ) as subscription:
                told = next(one for one in subscription if isinstance(one, CaughtUp))
                self.assertEqual(told.commit_position, at)
                if at != hidden:
                    # How far it looked is told by a checkpoint.
                    after = next(subscription)
                    self.assertIsInstance(after, Checkpoint)
                    self.assertEqual(after.commit_position, hidden)
        stream = name()
        self.append(stream, event(), event())
        with self.client.subscribe_to_stream(stream, include_caught_up=True, timeout=20) as subscription:
            told = next(one for one in subscription if isinstance(one, CaughtUp))
            self.assertEqual(told.stream_position, 1)

    def test_a_stream(self):
        stream, events = name(), [event() for _ in range(5)]
        ids = [given.id for given in events]
        early = self.client.subscribe_to_stream(stream, timeout=20)
        self.append(stream, *events[:3])
        self.append(name(), event())
        self.assertEqual(self.take(early, 3), ids[:3])
        after = self.client.subscribe_to_stream(stream, stream_position=1, timeout=20)
        end = self.client.subscribe_to_stream(stream, from_end=True, timeout=20)
        self.append(stream, *events[3:])
        self.assertEqual(self.take(early, 2), ids[3:])
        self.assertEqual(self.take(after, 3), ids[2:])
        self.assertEqual(self.take(end, 2), ids[3:])
        for subscription in (early, after, end):
            subscription.stop()
            self.assertEqual(list(subscription), [])
        with self.client.subscribe_to_stream(stream, include_caught_up=True, timeout=20) as subscription:
            self.assertTrue(any(isinstance(told, CaughtUp) for told in subscription))

    def test_nothing_is_kept_for_clients(self):
        self.assertEqual(list(self.client.list_subscriptions()), [])


class Asynchronous(unittest.IsolatedAsyncioTestCase):
    async def test_the_other_client_does_the_same(self):
        client = AsyncKurrentDBClient(URI)
        await client.connect()
        stream, events = name(), [event() for _ in range(3)]
        await client.append_to_stream(stream, current_version=NONE, events=events)
        self.assertEqual([one.id for one in await client.get_stream(stream)], [one.id for one in events])
        subscription = await client.subscribe_to_stream(stream)
        seen = [await asyncio.wait_for(anext(subscription), 20) for _ in events]
        self.assertEqual([one.id for one in seen], [one.id for one in events])
        await subscription.stop()
        await client.close()


class Discovering(unittest.TestCase):
    def test_a_cluster_of_one_is_found_by_gossip(self):
        uri = f"esdb+discover://{os.environ['LEDGER_EVENTSTORE']}?Tls=false&NodePreference=leader"
        with KurrentDBClient(uri) as client:
            stream = name()
            client.append_events(stream, current_version=NONE, events=[event()])
            self.assertEqual(client.get_current_version(stream), 0)


if __name__ == "__main__":
    unittest.main()
