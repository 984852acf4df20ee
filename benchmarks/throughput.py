"""Several threads that call one column at once, as a program with threads does."""

import math
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count

from vesselrt.benchmarks.bench_report import Effort, Throughput
from vesselrt.benchmarks.measure import MIN_RUNS, Column, ColumnError, Spread


def measure_throughput(name: str, column: Column, data: bytes, effort: Effort, alone: float) -> Throughput:
    """`effort.concurrency` threads share `effort.runs` calls for each of them, or call until its duration has passed.

    `alone`: images a second of one call after the other. Raises ColumnError when calls at once give another mask than
    one alone.
    """
    threads, expected, numbers = effort.concurrency, column(data), count()

    def call_repeatedly(end: float) -> list[tuple[float, float]]:
        """Start and end of each call of a thread."""
        times: list[tuple[float, float]] = []
        # `next` of a counter is one step of the interpreter: no two threads draw the same number.
        while (number := next(numbers)) < threads * MIN_RUNS or _goes_on(effort, number, end):
            started = time.perf_counter()
            mask = column(data)
            times.append((started, time.perf_counter()))
            if mask != expected:
                raise ColumnError(name, f"{threads} calls at once gave another mask than one alone. Find out why.")
        return times

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(column, [data] * threads * effort.warm_up))
        end = math.inf if effort.duration is None else time.perf_counter() + effort.duration
        running = [pool.submit(call_repeatedly, end) for _ in range(threads)]
        times = sorted(pair for thread in running for pair in thread.result())
    milliseconds = [(end - start) * 1e3 for start, end in times]
    per_second = len(times) / (max(end for _, end in times) - times[0][0])
    return Throughput(threads, per_second, per_second / alone, Spread.of(milliseconds), milliseconds)


def _goes_on(effort: Effort, number: int, end: float) -> bool:
    """Whether the call of this number, from 0, is made."""
    if effort.duration is None:
        return number < effort.concurrency * effort.runs
    return time.perf_counter() < end
