"""An environment with its versions, its server, and what goes wrong with them."""

import collections
import contextlib
import dataclasses
import http.client
import json
import math
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

from answers import VARIANT, Expected
from plan import JSON, POOL, Mails

ROOT = pathlib.Path(__file__).resolve().parents[3]
RECIPE = """schema = "one/labels.toml"
[data]
train = ["one/mails.mbox"]
labels = "one/labels.csv"
split = { validation = 0.2, test = 0.2 }
[model]
kind = "linear"
[gate]
not_worse = false
"""
# Nothing tried is judged by its times: this machine is busy on purpose.
CONFIG = """[env.development]
store = "sqlite:development.db"
artifacts = "artifacts"
[env.development.pipeline]
recipe = "recipe.toml"
[env.development.endpoint.classify]
cache = "cache"
on_approval = { strategy = "canary", percent = 30, limits = { requests = 30, latency = 1e6 } }
"""
VERSIONS = [f"mails@{n}" for n in range(1, 7)]
# Seconds after which a request counts as hanging.
PATIENCE = 60
# Failures after which there is nothing more to learn.
ENOUGH = 500


def built() -> pathlib.Path:
    subprocess.run(["cargo", "build", "--release", "--locked", "-p", "poststelle-cli"], cwd=ROOT, check=True)
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "poststelle"


class World:
    """An environment with versions that wait for approval."""

    def __init__(self, binary: pathlib.Path, folder: pathlib.Path) -> None:
        self.binary, self.folder = binary.absolute(), folder
        self.environment = os.environ | {"POSTSTELLE_USER": "soak", "POSTSTELLE_LOG": "warn"}
        for name, seed, count in (("one", 3, 400), ("two", 4, 400), ("asked", 11, 1000)):
            self.run("sample", "--count", str(count), "--seed", str(seed), "--out", name)
        (folder / "recipe.toml").write_text(RECIPE)
        (folder / "poststelle.toml").write_text(CONFIG)
        for n in range(len(VERSIONS)):
            data = ("one", "two")[n % 2]
            self.run(
                "pipeline", "run", "--set", f"schema={data}/labels.toml", "--set", f'data.train=["{data}/mails.mbox"]',
                "--set", f"data.labels={data}/labels.csv", "--set", f"confidence.auto=0.9{n}",
            )

    def command(self, *arguments: str) -> tuple[list, dict]:
        return [self.binary, *arguments], {"cwd": self.folder, "env": self.environment}

    def run(self, *arguments: str, **more) -> str:
        command, where = self.command(*arguments)
        done = subprocess.run(command, **where, **more, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"`poststelle {' '.join(arguments)}` ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def approve(self, version: str) -> tuple[str, ...]:
        return ("version", "approve", version, "--reason", "soak")

    def expected(self, mails: Mails) -> dict[str, list["Expected"]]:
        """What each version says of each mail."""
        lines = "".join(f'{{"id":{n},{fields}}}\n' for n, fields in enumerate(mails.json))
        found = {}
        for version in VERSIONS:
            self.run("version", "fetch", version, "--out", version)
            rows = [json.loads(line) for line in self.run("predict", version, input=lines).splitlines()]
            assert [row["id"] for row in rows] == [str(n) for n in range(POOL)]
            found[version] = [Expected.of(row) for row in rows]
        return found


@dataclasses.dataclass(slots=True)
class Sample:
    """A moment."""

    at: float
    rss: float
    pss: float
    # Ticks of all processors: those that others took, and all of them.
    others: int
    all: int


class Server:
    """A running `serve --endpoint`."""

    def __init__(self, world: World) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log = world.folder / "server.log"
        command, where = world.command("serve", "--endpoint", "classify", "--port", str(self.port))
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, **where, stdout=subprocess.DEVNULL, stderr=log)
        self.proc = pathlib.Path(f"/proc/{self.process.pid}")

    def wait_for(self, version: str) -> None:
        """Asks until a version answers 50 times on end, as one that is only tried does not."""
        deadline, right = time.monotonic() + PATIENCE, 0
        while right < 50:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{version} does not serve; see {self.log}")
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
            with contextlib.closing(connection), contextlib.suppress(ConnectionError):
                connection.request("POST", "/invocations", '[{"subject": "Steuer", "body": ""}]', {"Content-Type": JSON})
                right = right + 1 if connection.getresponse().headers[VARIANT] == version else 0
            time.sleep(0.002)

    def sample(self, others: list[int]) -> "Sample":
        """How it is now; `others` are this bench's other processes."""
        pairs = (line.split()[:2] for line in (self.proc / "smaps_rollup").read_text().splitlines()[1:])
        size = {name: int(kib) / 1024 for name, kib in pairs}
        machine = [int(ticks) for ticks in pathlib.Path("/proc/stat").read_text().split()[1:9]]
        ours = [pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split() for process in (self.process.pid, *others)]
        ticks = sum(int(fields[11]) + int(fields[12]) for fields in ours)
        # Neither idle nor waiting for a disk.
        busy = sum(machine) - machine[3] - machine[4]
        return Sample(time.monotonic(), size["Rss:"], size["Pss:"], busy - ticks, sum(machine))

    def held(self, within: float, most: tuple[float, float] = (0, 0)) -> tuple[float, float]:
        """The fewest file handles and threads it has at one time, watched until they are at `most` so many.

        Not those of the store, which opens up to four connections when it needs them.
        """
        deadline = time.monotonic() + within
        least = (math.inf, math.inf)
        while time.monotonic() < deadline and not (least[0] <= most[0] and least[1] <= most[1]):
            # What ends while it is looked at is looked at again.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                handles = sum("development.db" not in os.readlink(file) for file in (self.proc / "fd").iterdir())
                threads = sum(not (task / "comm").read_text().startswith("sqlx-") for task in (self.proc / "task").iterdir())
                least = min(least, (handles, threads), key=sum)
            time.sleep(0.1)
        return least

    def end(self) -> str | None:
        """What was wrong at its end, or before."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        errors = [line for line in self.log.read_text().splitlines() if " ERROR " in line or "panicked" in line]
        return f"ended with {code}" if code else errors[0] if errors else None


class Failures:
    """What went wrong, by kind; the first of each are told, their requests kept."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.count: collections.Counter[str] = collections.Counter()

    def add(self, kind: str, why: str, data: bytes = b"") -> None:
        self.count[kind] += 1
        if self.count[kind] <= 5:
            file = self.folder / f"{kind.replace(' ', '-')}-{self.count[kind]}.http"
            file.write_bytes(data)
            print(f"{kind}: {why[:1000]}" + (f" ({file})" if data else ""), file=sys.stderr, flush=True)

    def enough(self) -> bool:
        return self.count.total() >= ENOUGH
