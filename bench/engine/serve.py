"""Measures `poststelle serve` on this machine: how fast it starts, what it keeps in memory, how it answers under load.

    python3 bench/engine/serve.py [--bundle FOLDER] [--keep FOLDER] [--binary BINARY] [--compare BINARY]
                                  [--rounds 3] [--requests 400] [--mails 10000] [--sections start,memory,load] [--flags "..."]

Mails are those of `poststelle sample`, sent raw over kept-alive connections of the loopback interface by one asyncio loop in
this process, which takes some hundredths of a core. Without --bundle one with multilingual-e5-small is trained in --keep; its
answers are poor, which speed does not ask. With --compare another binary takes turns with ours in the same run, and ratios are
printed. "Loaded" means that another program spins on every core.

start   from spawning the process to the first 200 of /ping, and to the first answer; medians of five
memory  after the first answer, and after --mails different mails in requests of 1, 8 and 64: resident (RSS), its
        proportional share (PSS), and how much of it is private or mapped from files others could share
load    1, 8 and 64 connections with one mail per request; requests/s, median and 99th percentile of the time to an answer,
        and the processor time the server took per request, which a busy machine disturbs least
"""

import argparse
import asyncio
import base64
import json
import mailbox
import os
import pathlib
import shlex
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
RECIPE = """schema = "labels.toml"
[data]
train = ["mails.mbox"]
labels = "labels.csv"
split = { validation = 0.2, test = 0.1 }
[model]
kind = "encoder"
base = "multilingual-e5-small"
[train]
epochs = 1
freeze_layers = 11
"""
STARTS = 5
# A run of load ends here even where it has requests left.
SECONDS = 60


def built() -> pathlib.Path:
    subprocess.run(["cargo", "build", "--release", "--locked", "-p", "poststelle-cli"], cwd=ROOT, check=True)
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "poststelle"


def trained(binary: pathlib.Path, keep: pathlib.Path) -> pathlib.Path:
    folder = keep / "model"
    if not (folder / "bundle").exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([binary, "sample", "--count", "400", "--seed", "3", "--out", folder], check=True, stdout=subprocess.DEVNULL)
        (folder / "recipe.toml").write_text(RECIPE)
        train = [binary, "train", "--recipe", folder / "recipe.toml", "--out", folder / "bundle", "--accept-findings"]
        subprocess.run(train, check=True, stdout=subprocess.DEVNULL)
    return folder / "bundle"


def sampled(binary: pathlib.Path, keep: pathlib.Path, count: int) -> list[dict]:
    """Records of different mails, as `/invocations` takes them."""
    folder = keep / f"mails-{count}"
    if not (folder / "mails.mbox").exists():
        subprocess.run([binary, "sample", "--count", str(count), "--seed", "11", "--out", folder], check=True, stdout=subprocess.DEVNULL)
    mails = mailbox.mbox(folder / "mails.mbox", create=False)
    raw = (base64.b64encode(mails.get_bytes(key)).decode() for key in mails.keys())
    return [{"id": n, "raw": text, "raw_encoding": "base64"} for n, text in enumerate(raw)]


def request(records: list[dict]) -> bytes:
    body = json.dumps(records).encode()
    head = f"POST /invocations HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Server:
    """A running `serve`; leaving the block ends it."""

    def __init__(self, binary: pathlib.Path, bundle: pathlib.Path, flags: list[str]) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.spawned = time.perf_counter()
        self.process = subprocess.Popen(
            [binary, "serve", bundle, "--port", str(self.port), *flags],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | {"POSTSTELLE_LOG": "warn"},
        )
        self.ready = self.wait() - self.spawned

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def wait(self) -> float:
        """When /ping first answered 200."""
        while time.perf_counter() - self.spawned < 60:
            if self.process.poll() is not None:
                raise SystemExit(f"the server ended with {self.process.returncode} before it answered")
            try:
                with socket.create_connection(("127.0.0.1", self.port), 5) as stream:
                    stream.sendall(b"GET /ping HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
                    if stream.recv(64).startswith(b"HTTP/1.1 200"):
                        return time.perf_counter()
            except ConnectionError:
                time.sleep(0.001)
        raise SystemExit("the server did not answer within 60 s")

    def memory(self) -> dict[str, float]:
        """Megabytes of this process."""
        pairs = (line.split()[:2] for line in pathlib.Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines()[1:])
        size = {name.rstrip(":"): int(kib) / 1024 for name, kib in pairs}
        return {
            "RSS": size["Rss"],
            "PSS": size["Pss"],
            "private": size["Private_Clean"] + size["Private_Dirty"],
            "of it written": size["Private_Dirty"],
            "shared": size["Shared_Clean"] + size["Shared_Dirty"],
        }

    def processor(self) -> float:
        """Milliseconds of processor time taken so far."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) * 1e3 / os.sysconf("SC_CLK_TCK")

    def ask(self, requests: list[bytes], connections: int) -> dict[str, float]:
        """Sends all requests, each connection the next as soon as it has its answer."""
        before = self.processor()
        found = asyncio.run(self.send(requests, connections))
        return found | {"processor ms": (self.processor() - before) / found.pop("answers")}

    async def send(self, requests: list[bytes], connections: int) -> dict[str, float]:
        rest = iter(requests)
        took: list[float] = []
        begun = time.perf_counter()

        async def caller() -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            for one in rest:
                sent = time.perf_counter()
                if sent - begun > SECONDS:
                    break
                writer.write(one)
                head = await reader.readuntil(b"\r\n\r\n")
                if not head.startswith(b"HTTP/1.1 200"):
                    raise SystemExit(f"the server answered {head.splitlines()[0].decode()}")
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                await reader.readexactly(int(length.split(b":")[1]))
                took.append((time.perf_counter() - sent) * 1e3)
            writer.close()

        await asyncio.gather(*(caller() for _ in range(connections)))
        seconds = time.perf_counter() - begun
        took.sort()
        at = lambda share: took[min(len(took) - 1, int(share * len(took)))]
        return {"answers": len(took), "requests/s": len(took) / seconds, "p50 ms": at(0.5), "p99 ms": at(0.99)}


class Load:
    """Another program that spins on every core; leaving the block ends it."""

    def __enter__(self) -> None:
        self.programs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]

    def __exit__(self, *_) -> None:
        for program in self.programs:
            program.kill()
            program.wait()


def medians(results: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(one[key] for one in results) for key in results[0]}


def show(title: str, found: dict[str, dict[str, dict[str, float]]]) -> None:
    """A table of `found[what][binary][figure]`, ratios of the first binary to the second beside it."""
    figures = list(next(iter(next(iter(found.values())).values())))
    print(f"## {title}\n\n| | binary | " + " | ".join(figures) + " |\n|---|---" + "|---" * len(figures) + "|")
    for what, by_binary in found.items():
        for name, values in by_binary.items():
            print(f"| {what} | {name} | " + " | ".join(f"{values[key]:.1f}" for key in figures) + " |")
        if len(by_binary) == 2:
            ours, other = by_binary.values()
            print(f"| {what} | ratio | " + " | ".join(f"{ours[key] / other[key]:.2f} ×" if other[key] else "" for key in figures) + " |")
    print(flush=True)


class Bench:
    def __init__(self, arguments: argparse.Namespace, keep: pathlib.Path) -> None:
        ours = arguments.binary or built()
        self.binaries = {"ours": ours} | ({"compared": arguments.compare} if arguments.compare else {})
        self.flags = {"ours": shlex.split(arguments.flags), "compared": []}
        self.bundle = arguments.bundle or trained(ours, keep)
        self.records = sampled(ours, keep, arguments.mails)
        self.rounds, self.requests = arguments.rounds, arguments.requests

    def serve(self, name: str) -> Server:
        return Server(self.binaries[name], self.bundle, self.flags[name])

    def in_turn(self, rounds: int, measure) -> dict[str, dict[str, float]]:
        found: dict[str, list[dict[str, float]]] = {name: [] for name in self.binaries}
        for _ in range(rounds):
            for name in self.binaries:
                found[name].append(measure(name))
        return {name: medians(results) for name, results in found.items()}

    def start(self) -> None:
        def measure(name: str) -> dict[str, float]:
            with self.serve(name) as server:
                server.ask([request(self.records[:1])], 1)
                return {"/ping ms": server.ready * 1e3, "first answer ms": (time.perf_counter() - server.spawned) * 1e3}

        measure("ours")  # The bundle is in the page cache from here on.
        show(f"Start, medians of {STARTS}", {"start": self.in_turn(STARTS, measure)})

    def memory(self) -> None:
        third = len(self.records) // 3
        requests = []
        for n, size in enumerate((1, 8, 64)):
            part = self.records[n * third : (n + 1) * third if n < 2 else None]
            requests += [request(part[at : at + size]) for at in range(0, len(part), size)]
        found: dict[str, dict[str, dict[str, float]]] = {"after the first answer": {}, f"after {len(self.records)} mails": {}}
        for name in self.binaries:
            with self.serve(name) as server:
                server.ask(requests[:1], 1)
                found["after the first answer"][name] = server.memory()
                # Bounded by the number of requests, not by the seconds of a load.
                for at in range(0, len(requests), 500):
                    server.ask(requests[at : at + 500], 4)
                found[f"after {len(self.records)} mails"][name] = server.memory()
        show("Memory, MB", found)

    def load(self) -> None:
        found = {}
        for loaded in (False, True):
            for connections in (1, 8, 64):
                count = self.requests * (2 if connections == 64 else 1) // (2 if loaded else 1)
                requests = [request([record]) for record in self.records[:count]]

                def measure(name: str) -> dict[str, float]:
                    with self.serve(name) as server:
                        server.ask(requests[: 2 * connections], connections)
                        if not loaded:
                            return server.ask(requests, connections)
                        with Load():
                            return server.ask(requests, connections)

                found[f"{connections} connections{', loaded' if loaded else ''}"] = self.in_turn(self.rounds, measure)
        show(f"Load, one mail a request, medians of {self.rounds}", found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=pathlib.Path, help="a bundle with an encoder; default: trained in --keep")
    parser.add_argument("--keep", type=pathlib.Path, help="folder for the bundle and the mails; default: a temporary one")
    parser.add_argument("--binary", type=pathlib.Path, help="default: built here")
    parser.add_argument("--compare", type=pathlib.Path, help="another binary that takes turns")
    parser.add_argument("--flags", default="", help="more flags for `serve`, ours alone")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--mails", type=int, default=10_000)
    parser.add_argument("--sections", default="start,memory,load")
    arguments = parser.parse_args()
    sections = arguments.sections.split(",")
    if unknown := set(sections) - {"start", "memory", "load"}:
        parser.error(f"sections are start, memory and load, not {', '.join(sorted(unknown))}")
    if min(arguments.rounds, arguments.requests) < 1 or arguments.mails < max(64, 2 * arguments.requests):
        parser.error("at least 1 round and 1 request, and mails for twice as many requests")
    with tempfile.TemporaryDirectory() as temporary:
        bench = Bench(arguments, arguments.keep or pathlib.Path(temporary))
        for section in sections:
            getattr(bench, section)()


if __name__ == "__main__":
    main()
