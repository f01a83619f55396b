"""Asks one `poststelle serve --endpoint` for a long time, often badly, while its models are switched, and checks every answer.

    python3 bench/serving/soak [--requests 200000] [--clients 64] [--keep FOLDER] [--binary BINARY] [--seed 1]

A plan made from --seed says what each request holds and how its client behaves: 1 to 64 mails of very different lengths, now and
then one of 1 MB; JSON, JSON Lines or CSV, records or columns, both ways; connections kept, fresh or pipelined; clients that leave
within their body, before the answer or within it, that write or read slowly, or send what is no request. --clients of them ask at
once, from one asyncio loop that gives way to the server. Meanwhile, every few seconds, versions are approved, deployed at once, by
canary or by shadow, and rolled back. They are linear models of two sets of mails, so that a request costs the server little.

Every answer that arrives whole is held against what `poststelle predict` says of its mails with the version the answer names: as
many records, each id in its place, the same labels and decisions, confidences to 1e-4 of themselves. That version must be one that
served or was tried while the request was under way. Well-formed requests are answered with 200, malformed ones with their 4xx; 503
with `Retry-After` is right only while the clients have more than BUSY bytes under way. A process of its own sends a lone mail every
20 ms over a kept connection; its times are those that are measured.

Memory and times are told for 20 windows of equally many requests. They are flat if the last four are on average like windows 3 to
6: memory to 1.1, the 99th percentile to 1.25 times. Both are judged where windows last 10 s, so of long runs only, and times where
other programs took as much of the machine at the end as at the begin. File handles and threads are counted before the load, and
after it when all has settled. Exits 1 where a check fails; --keep (default ~/.cache/poststelle-bench/soak) then has the server's
log, and the first requests that failed as they were sent.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import math
import multiprocessing
import os
import pathlib
import shutil
import statistics
import sys
import time

from answers import Checker
from clients import WINDOWS, Clients, probe
from plan import BEHAVIOURS, POOL, Ask, Mails, Plan
from switches import Switcher, Timeline
from world import VERSIONS, Failures, Sample, Server, World, built

# Points by which the share of the machine that others take may differ where times are compared.
UNEVEN = 10


@dataclasses.dataclass
class Window:
    """Figures of a window."""

    seconds: float
    rate: float
    rss: float
    pss: float
    p50: float
    p99: float
    probes: int
    # Percent of the machine that others took.
    others: float


def windows(clients: Clients, samples: list[Sample], probes: list[tuple]) -> list[Window]:
    found, begun = [], clients.begun
    each = clients.plan.requests / WINDOWS
    for end in clients.ends:
        seen = [sample for sample in samples if begun <= sample.at < end] or samples[-1:]
        times = sorted(took for at, took, *_ in probes if begun <= at < end) or [math.nan]
        rss, pss = (statistics.median(getattr(sample, name) for sample in seen) for name in ("rss", "pss"))
        at = lambda share: times[min(len(times) - 1, int(share * len(times)))]
        others = 100 * (seen[-1].others - seen[0].others) / max(1, seen[-1].all - seen[0].all)
        found.append(Window(end - begun, each / (end - begun), rss, pss, at(0.5), at(0.99), len(times), others))
        begun = end
    return found


def slope(values: list[float]) -> float:
    """Of the line of least squares, per window."""
    middle = (len(values) - 1) / 2
    mean = statistics.mean(values)
    return sum((n - middle) * (value - mean) for n, value in enumerate(values)) / sum((n - middle) ** 2 for n in range(len(values)))


def ratio(values: list[float]) -> float:
    return statistics.mean(values[-4:]) / statistics.mean(values[2:6])


def table(title: str, header: list[str], rows: list[list[object]]) -> None:
    text = lambda cell: f"{cell:.2f}" if isinstance(cell, float) else str(cell)
    print(f"## {title}\n\n| {' | '.join(header)} |\n|{'---|' * len(header)}")
    for row in rows:
        print(f"| {' | '.join(map(text, row))} |")
    print(flush=True)


async def load(clients: Clients, count: int, switcher: Switcher, prober: int) -> list[Sample]:
    """Runs all clients while versions are switched; how the server was meanwhile."""
    samples = []

    async def watch() -> None:
        while clients.server.process.poll() is None:
            samples.append(clients.server.sample([os.getpid(), prober]))
            await asyncio.sleep(0.25)

    async def move() -> None:
        try:
            await switcher.run()
        except (OSError, ValueError, KeyError) as error:
            clients.failures.add("switch", repr(error))

    beside = [asyncio.create_task(watch()), asyncio.create_task(move())]
    await clients.run(count)
    for task in beside:
        task.cancel()
    await asyncio.gather(*beside, return_exceptions=True)
    return samples


def soak(arguments: argparse.Namespace) -> bool:
    """Runs it all and tells; false where a check fails."""
    folder = arguments.keep.expanduser().absolute()
    shutil.rmtree(folder / "soak", ignore_errors=True)
    (folder / "soak").mkdir(parents=True)
    world = World(arguments.binary or built(), folder / "soak")
    mails = Mails(world.folder / "asked" / "mails.mbox", arguments.seed)
    expected = world.expected(mails)
    checker, timeline, failures = Checker(expected), Timeline(), Failures(world.folder)
    lone = [n for n in mails.in_parts if len(mails.json[n]) < 2000][:100]
    probes = [Ask(0, f'[{{"id":{n},{mails.json[n]}}}]'.encode(), 200, [(n, n)]) for n in lone]

    world.run(*world.approve(VERSIONS[0]))
    server = Server(world)
    try:
        server.wait_for(VERSIONS[0])
        world.run(*world.approve(VERSIONS[1]))
        server.wait_for(VERSIONS[1])
        timeline.from_now({VERSIONS[1]})
        before = server.held(3)
        fork = multiprocessing.get_context("fork")
        (heard, told), stop = fork.Pipe(duplex=False), fork.Event()
        prober = fork.Process(target=probe, args=(server.port, probes, checker, told, stop), daemon=True)
        prober.start()
        told.close()
        os.nice(5)
        clients = Clients(Plan(mails, arguments.seed, arguments.requests), server, checker, timeline, failures)
        switcher = Switcher(world, timeline, failures, arguments.seed)
        samples = [server.sample([])]
        samples += asyncio.run(load(clients, arguments.clients, switcher, prober.pid))
        seconds = time.monotonic() - clients.begun
        stop.set()
        probed = heard.recv()
        prober.join()
        for begun, took, version, wrong in probed:
            if wrong or version not in (right := timeline.between(begun, begun + took / 1e3)):
                failures.add("probe", wrong or f"answered by {version}, which was none of {sorted(right)}")
        after = (math.inf, math.inf)
        if server.process.poll() is None:
            # A rollout that the end of the load has interrupted holds a model.
            with contextlib.suppress(SystemExit):
                world.run("deploy", "stop", "--endpoint", "classify")
            after = server.held(30, before)
            samples.append(server.sample([]))
    finally:
        ended = server.end()
    if ended:
        failures.add("server", ended)
    different = sum(a.fields != b.fields for a, b in zip(expected[VERSIONS[0]], expected[VERSIONS[1]])) / POOL
    found = windows(clients, samples, probed)
    print(
        f"{clients.done} requests of {arguments.requests} in {seconds:.0f} s, {clients.done / seconds:.0f} a second, and {len(probed)} "
        f"lone mails; seed {arguments.seed}. {sum(clients.checked.values())} answers of {sum(clients.mails.values())} mails arrived whole "
        f"and were checked; mails@1 and mails@2 answer {100 * different:.0f} % of the mails differently.\n"
        f"Switches: {', '.join(f'{count} {way}' for way, count in switcher.done.items()) or 'none'}. "
        f"Answers by {', '.join(f'{version} {clients.versions[version]}' for version in VERSIONS)}. {clients.refused} refused while busy. "
        f"After all had settled: RSS {samples[-1].rss:.0f} MB, PSS {samples[-1].pss:.0f} MB.\n"
    )
    report(clients, found)
    return judge(clients, failures, found, switcher.done.total(), before, after)


def report(clients: Clients, found: list[Window]) -> None:
    rows = [[name, clients.sent[name], clients.checked[name], clients.mails[name]] for name in BEHAVIOURS]
    table("Clients", ["behaviour", "requests", "answers checked", "mails"], rows)
    rows = [[n + 1, *dataclasses.astuple(window)] for n, window in enumerate(found)]
    table("Windows", ["window", "s", "requests/s", "RSS MB", "PSS MB", "lone p50 ms", "lone p99 ms", "lone mails", "others %"], rows)


def judge(clients: Clients, failures: Failures, found: list[Window], switches: int, before: tuple, after: tuple) -> bool:
    """Tells each check and whether it holds."""
    zero = {
        "wrong": "wrong or crossed answers", "version": "answers of a version that should not answer", "status": "unexpected statuses",
        "broken": "connections that broke", "hung": "requests that hung", "probe": "lone mails that failed",
        "switch": "switches that failed", "server": "errors in the server's log or at its end",
    }
    rows = [[name, failures.count[kind], "0", failures.count[kind] == 0] for kind, name in zero.items()]
    rows.append(["requests that ended", clients.done, str(clients.plan.requests), clients.done == clients.plan.requests])
    rows.append(["switches", switches, "at least 1", switches > 0])
    for name, at in (("file handles", 0), ("threads", 1)):
        rows.append([f"{name} at the end", after[at], f"at most {before[at]}, as at the begin", after[at] <= before[at]])
    if len(found) == WINDOWS:
        short = min(window.seconds for window in found) < 10
        others = [window.others for window in found]
        uneven = abs(statistics.mean(others[-4:]) - statistics.mean(others[2:6])) > UNEVEN
        for name, field, most, unit in (("RSS", "rss", 1.1, "MB"), ("PSS", "pss", 1.1, "MB"), ("lone p99", "p99", 1.25, "ms")):
            values = [getattr(window, field) for window in found]
            each = slope(values[2:]) / (clients.plan.requests / WINDOWS) * 1e5
            told = f"{ratio(values):.2f} × ({each:+.2f} {unit} per 100,000 requests)"
            holds = "too short to judge" if short else "machine too uneven to judge" if uneven and field == "p99" else ratio(values) <= most
            rows.append([f"{name}, last windows to first", told, f"at most {most}", holds])
    words = {True: "yes", False: "**no**"}
    table("Checks", ["check", "found", "wanted", "holds"], [[*row[:3], words.get(row[3], row[3])] for row in rows])
    return all(row[3] for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--clients", type=int, default=64, help="at one time")
    cache = pathlib.Path("~/.cache/poststelle-bench/soak")
    parser.add_argument("--keep", type=pathlib.Path, default=cache, help="folder for the models and logs of the last run")
    parser.add_argument("--binary", type=pathlib.Path, help="default: built here")
    parser.add_argument("--seed", type=int, default=1, help="of the plan")
    arguments = parser.parse_args()
    if arguments.requests < 50 * WINDOWS or arguments.clients < 1:
        parser.error(f"at least {50 * WINDOWS} requests, which see a switch or two, and 1 client")
    sys.exit(0 if soak(arguments) else 1)


if __name__ == "__main__":
    main()
