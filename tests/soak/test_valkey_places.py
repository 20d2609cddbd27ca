"""What is done to the Valkey servers of a soak loses nothing that they acknowledged, but where it is meant to."""

import contextlib
import itertools
import threading
import time
from types import SimpleNamespace

import pytest
import redis
from tests.servers import valkey
from tests.servers.valkey_process import until

from soak.faults import KINDS, OF_STORE, Fault
from soak.places import Clocks
from soak.valkey import ClusterPlace, ReplicatedPlace

LINES = 3
KEPT = sorted(OF_STORE - {"store_clock", "disk", "older", "older_part", "empty"})
FAILED = (redis.ConnectionError, redis.TimeoutError, redis.ResponseError, AssertionError, IndexError, StopIteration)


class Writers:
    """Each writes key after key where its line leads, and remembers which were acknowledged."""

    def __init__(self, place, count):
        self.place = place
        self.ports = [address[1] if (address := place.address()) else 0] * count
        self.acknowledged = []
        self.refused = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(line,)) for line in range(count)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def move(self, line, port, *, breaks):
        self.ports[line] = port

    def _write(self, line):
        for number in itertools.count():
            if self._stop.is_set():
                break
            key = f"{line}-{number}"
            try:
                with self._server(line, key).client(patience_s=2) as client, client.client() as one:
                    one.execute_command("SET", key, "1")
                    if one.execute_command("WAITAOF", 1, 1, 300)[1] < 1:
                        raise redis.TimeoutError
            except FAILED:
                self.refused += 1
                time.sleep(0.02)
            else:
                self.acknowledged.append(key)

    def _server(self, line, key):
        if self.ports[line]:
            return next(node for node in self.place.group.nodes if node.port == self.ports[line])
        return self.place.group.primary_of(key)

    def lost(self):
        """Which of those that were acknowledged are not there."""
        acknowledged = list(self.acknowledged)
        group = self.place.group
        there = {
            key for node in getattr(group, "primaries", lambda: [group.primary])() for key in node.call("KEYS", "*")
        }
        return [key for key in acknowledged if key not in there]

    def more(self, count):
        """Wait until so many more are acknowledged."""
        count += len(self.acknowledged)
        until(lambda: len(self.acknowledged) >= count, "nothing is acknowledged any more")


@contextlib.contextmanager
def started(kind, tmp_path, seed="1"):
    valkey.need()
    place = kind(SimpleNamespace(folder=tmp_path), Clocks(tmp_path), seed=seed, lines=LINES)
    try:
        place.start()
        yield place
    finally:
        place.stop()


@pytest.mark.long
@pytest.mark.parametrize("kind", [ReplicatedPlace, ClusterPlace])
def test_what_is_acknowledged_stays(kind, tmp_path):
    """Through every fault but those that are to lose something, each twice."""
    with started(kind, tmp_path) as place, Writers(place, LINES) as writers:
        begun = time.monotonic()
        for what in [what for what in KEPT if what not in place.missing] * 2:
            writers.more(20)
            if what == "restart":
                place.restart()
            else:
                place.do(Fault(at_s=0, kind=what, target=-1, for_s=KINDS[what][1]), writers.move)
            assert writers.lost() == [], what
            print(f"{time.monotonic() - begun:.1f} s, {len(writers.acknowledged)} after {what}")
        writers.more(20)
        assert writers.lost() == [] and writers.refused
        assert all(node.running() for node in place.group.nodes)


@pytest.mark.long
@pytest.mark.parametrize("kind", [ReplicatedPlace, ClusterPlace])
@pytest.mark.parametrize("what", ["older", "empty", "older_part"])
def test_what_is_put_back_has_lost_something(kind, what, tmp_path):
    """What was there before the fault is lost, or is not, as the fault says; and afterwards it goes on."""
    with started(kind, tmp_path) as place, Writers(place, LINES) as writers:
        if what in place.missing:
            pytest.skip(place.missing[what])
        writers.more(20)
        before = list(writers.acknowledged)
        place.do(Fault(at_s=0, kind=what, target=-1, for_s=1.0), writers.move)
        lost = set(writers.lost())
        assert lost and (what == "empty" or not lost & set(before))
        writers.more(20)
        assert all(node.running() for node in place.group.nodes)


@pytest.mark.long
def test_a_log_that_is_held_goes_on(tmp_path):
    """While the log is held up, its server does not answer, and others do."""
    with started(ClusterPlace, tmp_path) as place:
        home = place.group.primary_of("{soak}")
        other = next(node for node in place.group.primaries() if node is not home)
        place.hold_log()
        with pytest.raises(redis.TimeoutError):
            home.call("PING", patience_s=0.2)
        assert other.call("PING")
        place.let_log_go()
        assert home.call("PING")
