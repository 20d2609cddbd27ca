"""
How the benchmarks measure: rounds of what is compared, interleaved, each in its best.

The machine is noisy and shared, so a time alone says little. What is compared runs turn by turn in the same minute; the
lowest of many short rounds is the one the neighbours disturbed least; the spread is printed beside it. Where a ratio is
aimed at, it is that of each round by itself, and the median of them.
"""

import statistics
import sys
import time


def rounds(actions, *, count=200, repeat=2000):
    """Return name -> microseconds per call of each round, for *actions*: name -> function called *repeat* times."""
    times = {name: [] for name in actions}
    for number in range(count):
        progress(number + 1, count)
        for name, action in _turn(actions, number):
            started = time.perf_counter()
            for _ in range(repeat):
                action()
            times[name].append((time.perf_counter() - started) / repeat * 1e6)
    return times


async def async_rounds(actions, *, count=200, repeat=2000):
    """Like :func:`rounds`, for coroutine functions."""
    times = {name: [] for name in actions}
    for number in range(count):
        progress(number + 1, count)
        for name, action in _turn(actions, number):
            started = time.perf_counter()
            for _ in range(repeat):
                await action()
            times[name].append((time.perf_counter() - started) / repeat * 1e6)
    return times


def _turn(actions, number):
    # There and back again: what the machine does over time, and what each leaves in the caches, cancels out.
    return list(actions.items())[:: -1 if number % 2 else 1]


def ratio(times, ours, theirs):
    """Return the median, over the rounds, of how many times *theirs* *ours* took in the same round."""
    return statistics.median(a / b for a, b in zip(times[ours], times[theirs], strict=True))


def progress(done, of):
    """Show how far we are, on a terminal only."""
    if sys.stderr.isatty():
        print(f"\r{done}/{of} ", end="\n" if done == of else "", file=sys.stderr, flush=True)


def show(title, times, *, unit="us"):
    """Print one line a name: the best round, the median and the spread of the middle half."""
    print(f"\n{title}")
    for name, found in times.items():
        quarters = statistics.quantiles(found, n=4)
        print(
            f"  {name:<44}{min(found):>9.2f} {unit}   median {quarters[1]:.2f}   middle half {quarters[0]:.2f} to "
            f"{quarters[2]:.2f}"
        )


def verdict(text, value, limit, *, at_most=True):
    """Print a figure beside what was aimed at."""
    met = value <= limit if at_most else value >= limit
    print(f"  {'ok  ' if met else 'MISS'}  {text}: {value:.2f} (aim: {'at most' if at_most else 'at least'} {limit})")
    return met
