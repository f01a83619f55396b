"""Asks whether the gateway's time to refuse a key tells anything of the keys there are.

    python3 bench/serving/timing.py [--requests 40000] [--binary BINARY]

Over one kept connection it sends wrong keys of four kinds in random order: a known id whose secret is wrong in its last character, in its
first, or in all of them, and an id that does not exist. Times are compared by Welch's t-test after the slowest tenth of each kind was
left out, as in dudect (Reparaz, Balasch, Verbauwhede 2017, "Dude, is my code constant time?"). Exits 1 where two kinds differ by |t| > 4.5.
"""

import argparse
import http.client
import itertools
import math
import os
import pathlib
import random
import re
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
RECIPE = """schema = "mails/labels.toml"
[data]
train = ["mails/mails.mbox"]
labels = "mails/labels.csv"
split = { validation = 0.2 }
[model]
kind = "linear"
"""
CONFIG = """[env.development]
store = "sqlite:records.db"
artifacts = "artifacts"
[env.development.gateway]
listen = "127.0.0.1:0"
"""
# What dudect calls proof of a difference.
DIFFERENT = 4.5
KEPT = 0.9


def kinds(key: str) -> dict[str, str]:
    head, known, secret = key.split("_")
    other = lambda text: "".join("0" if c != "0" else "1" for c in text)
    return {
        "last character wrong": f"{head}_{known}_{secret[:-1]}{other(secret[-1])}",
        "first character wrong": f"{head}_{known}_{other(secret[0])}{secret[1:]}",
        "all characters wrong": f"{head}_{known}_{other(secret)}",
        "unknown id": f"{head}_{other(known)}_{secret}",
    }


def welch(a: list[float], b: list[float]) -> float:
    error = math.sqrt(statistics.variance(a) / len(a) + statistics.variance(b) / len(b))
    return (statistics.fmean(a) - statistics.fmean(b)) / error


def measure(port: int, key: str, requests: int) -> dict[str, list[float]]:
    keys, chance = kinds(key), random.Random(7)
    connection = http.client.HTTPConnection("127.0.0.1", port)
    times = {kind: [] for kind in keys}
    # The first ones wait for the store and for caches.
    for n in range(requests + requests // 10):
        kind = chance.choice(list(keys))
        begun = time.perf_counter_ns()
        connection.request("GET", "/v1/schema", headers={"X-Api-Key": keys[kind]})
        response = connection.getresponse()
        response.read()
        took = time.perf_counter_ns() - begun
        if response.status != 401:
            raise SystemExit(f"{kind}: answered {response.status}, expected 401")
        if n >= requests // 10:
            times[kind].append(took / 1e3)
    return {kind: sorted(all)[: int(len(all) * KEPT)] for kind, all in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=40_000)
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "target" / "release" / "poststelle")
    arguments = parser.parse_args()
    binary = arguments.binary.absolute()
    with tempfile.TemporaryDirectory() as folder:
        run = lambda *command: subprocess.run([binary, *command], cwd=folder, check=True, capture_output=True, text=True).stdout
        run("sample", "--count", "300", "--seed", "3", "--out", "mails")
        pathlib.Path(folder, "recipe.toml").write_text(RECIPE)
        pathlib.Path(folder, "poststelle.toml").write_text(CONFIG)
        run("train", "--accept-findings", "--recipe", "recipe.toml", "--out", "bundle")
        key = run("api-key", "create", "crm", "--allow", "predict", "--reason", "bench", "--by", "bench").strip()
        server = subprocess.Popen(
            [binary, "serve", "bundle", "--port", "0", "--gateway"], cwd=folder, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"POSTSTELLE_LOG": "off"},
        )
        try:
            port = next(int(found[1]) for line in server.stderr if (found := re.search(r"gateway answers on \S+:(\d+)/", line)))
            times = measure(port, key, arguments.requests)
        finally:
            server.terminate()
            server.wait()
    print("| key | requests | mean µs | median µs |\n|---|---|---|---|")
    for kind, all in times.items():
        print(f"| {kind} | {len(all)} | {statistics.fmean(all):.2f} | {statistics.median(all):.2f} |")
    print("\n| keys | t |\n|---|---|")
    worst = 0.0
    for a, b in itertools.combinations(times, 2):
        t = welch(times[a], times[b])
        worst = max(worst, abs(t))
        print(f"| {a}, {b} | {t:.2f} |")
    if worst > DIFFERENT:
        raise SystemExit(f"|t| is {worst:.2f}, above {DIFFERENT}: time tells the kinds apart")


if __name__ == "__main__":
    main()
