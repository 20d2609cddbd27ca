"""The machine's clocks: the calendar never runs back, and never stands still."""

import time

import pytest

from coatcheck import clock as module
from coatcheck.clock import SystemClock
from coatcheck.testing import ManualClock


class Machine:
    """A machine whose two clocks are set by hand."""

    def __init__(self, monkeypatch):
        self.wall, self.passed = 1000.0, 50.0
        monkeypatch.setattr(module, "_wall", lambda: self.wall)
        self.clock = SystemClock()
        self.clock.elapsed = lambda: self.passed

    def wait(self, seconds):
        self.wall += seconds
        self.passed += seconds
        return self.clock.now()

    def turn(self, seconds):
        self.wall += seconds
        return self.clock.now()


@pytest.fixture
def machine(monkeypatch):
    return Machine(monkeypatch)


def test_it_shows_the_calendar_in_whole_seconds(machine):
    """As long as nobody turns the calendar clock, that is what is shown, cut to seconds."""
    machine.wall = 1000.9
    assert [machine.clock.now(), machine.wait(0.2), machine.wait(5)] == [1000, 1001, 1006]


def test_it_follows_the_calendar_forward(machine):
    """A calendar that is set forward is believed at once."""
    assert machine.clock.now() == 1000
    assert machine.turn(3600) == 4600


def test_it_never_runs_back(machine):
    """Turned back by an hour, it goes on from the second it showed."""
    assert machine.clock.now() == 1000
    assert machine.turn(-3600) == 1000


def test_it_does_not_stand_still_while_the_calendar_is_behind(machine):
    """Turned back, it goes on at the pace of the time that passed; else idle sessions would live on."""
    machine.clock.now()
    machine.turn(-3600)
    assert [machine.wait(1), machine.wait(9), machine.wait(100)] == [1001, 1010, 1110]


def test_it_goes_on_without_gain_however_often_it_is_asked(machine):
    """A thousand calls within a second add nothing."""
    machine.clock.now()
    machine.turn(-3600)
    assert {machine.clock.now() for _ in range(1000)} == {1000}
    assert machine.wait(1) == 1001


def test_it_is_the_calendar_again_once_that_has_caught_up(machine):
    """Set right again, the calendar counts; a second turning back is borne like the first."""
    machine.clock.now()
    machine.turn(-100)
    machine.wait(10)
    assert machine.turn(+90) == 1010
    assert machine.turn(+20) == 1020
    assert machine.wait(3) == 1023
    assert machine.turn(-500) == 1023
    assert machine.wait(2) == 1025


@pytest.mark.parametrize(
    "steps",
    [
        [(0, -1), (1, 0), (1, 0)],
        [(5, -3), (1, -3), (1, -3), (10, 20)],
        [(1, -10), (1, +4), (1, +4), (1, +4), (1, 0)],
        [(0, +50), (0, -50), (7, 0), (50, 0), (1, 0)],
    ],
)
def test_whatever_is_turned_it_only_goes_forward(machine, steps):
    """No turning of the calendar moves it back."""
    shown = [machine.clock.now()]
    for passed, turned in steps:
        machine.wall += passed + turned
        machine.passed += passed
        shown.append(machine.clock.now())
    assert shown == sorted(shown)


def test_it_does_not_stand_still_when_the_calendar_meets_the_second_shown_last(machine):
    """Behind by 50 s and asked again after 50 s: the calendar shows the second shown last, and time has passed."""
    machine.clock.now()
    machine.turn(+50)
    machine.turn(-50)
    assert machine.wait(50) == 1100


def test_elapsed_counts_suspend(monkeypatch):
    """The clock of elapsed time is the one that goes on while the machine sleeps, where there is one."""
    assert module._boot_clock() == getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    monkeypatch.delattr(time, "CLOCK_BOOTTIME", raising=False)
    assert module._boot_clock() == time.CLOCK_MONOTONIC


def test_the_real_one_runs():
    """On this machine, unpatched: the calendar's second, and a count that does not run back."""
    clock = SystemClock()
    before = time.time()
    assert int(before) <= clock.now() <= time.time() + 1
    first = clock.elapsed()
    assert clock.elapsed() >= first > 0


def test_a_manual_clock_moves_when_told():
    """The clock for tests stands still, then both of its hands move together."""
    clock = ManualClock(10)
    assert (clock.now(), clock.elapsed()) == (10, 10.0)
    assert clock.advance(5) == 15
    assert (clock.now(), clock.elapsed()) == (15, 15.0)
