"""Asks one `poststelle serve --endpoint` for a long time, often badly, while its models are switched, and checks every answer.

    python3 bench/serving/soak.py [--requests 200000] [--clients 64] [--keep FOLDER] [--binary BINARY] [--seed 1]

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
import base64
import bisect
import collections
import contextlib
import csv
import dataclasses
import email
import email.policy
import http.client
import io
import itertools
import json
import mailbox
import math
import multiprocessing
import os
import pathlib
import random
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parents[2]
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
# Different mails, of which the last are huge.
POOL, HUGE = 2000, 4
HUGE_BYTES = 1 << 20
WINDOWS = 20
# Bytes that clients may have under way without one being refused: half of what the queue takes.
BUSY = 128 << 20
# Seconds after which a request counts as hanging.
PATIENCE = 60
# Seconds from the end of a switch in the store to the last answer of the version before.
GRACE = 2
# Points by which the share of the machine that others take may differ where times are compared.
UNEVEN = 10
# Failures after which there is nothing more to learn.
ENOUGH = 500
# Mail text in malformed requests, which must not come back.
SECRET = "Geheimnis"
INCLUDE = "X-Amzn-SageMaker-Custom-Attributes"
VARIANT = "x-amzn-invoked-production-variant"
COLUMNS = ["id", "subject", "body", "broker", "raw", "raw_encoding"]
JSON, LINES, CSV = "application/json", "application/jsonlines", "text/csv"
# How clients behave, and how often in a thousand.
BEHAVIOURS = {
    "kept": 580, "fresh": 80, "pipelined": 60, "chunked": 40, "slow writer": 20, "slow reader": 10, "ping": 10,
    "leaves in its body": 30, "leaves before the answer": 40, "leaves in the answer": 30,
    "malformed": 40, "malformed head": 30, "partly wrong": 30,
}
# Malformed bodies: their type, and the status.
WRONG_BODIES = [
    (JSON, '{"body": tru}'),
    (JSON, f'[{{"body": "{SECRET}"}}, {{"bo'),
    (JSON, f'"{SECRET}"'),
    (JSON, "[3]"),
    (JSON, f'[{{"id": 1, "text": "{SECRET}"}}]'),
    (JSON, f'{{"id": ["a", "b"], "body": ["{SECRET}"]}}'),
    (JSON, f'[{{"body": ["{SECRET}"]}}]'),
    (JSON, f'[{{"subject": "{SECRET}", "raw": "!?", "raw_encoding": "base64"}}]'),
    (JSON, f'[{{"raw": "{SECRET}", "raw_encoding": "rot13"}}]'),
    (JSON, '[{"body": "\udcff"}]'),
    (JSON, "[" * 100_000),
    (JSON, ""),
    (LINES, '{"body":\n'),
    (CSV, f"id,body\n1,{SECRET},3\n"),
    (CSV, f"id,text\n1,{SECRET}\n"),
]
# Requests that are refused before their body is read; in which state that leaves their connection nobody knows.
WRONG_HEADS = [
    ("POST /invocations", "Content-Type: text/plain\r\nContent-Length: 2", "[]", 415),
    ("POST /invocations", "Content-Length: 2", "[]", 415),
    ("POST /invocations", f"Content-Type: {JSON}\r\nAccept: text/html\r\nContent-Length: 2", "[]", 406),
    ("POST /nowhere", "Content-Length: 0", "", 404),
    ("GET /invocations", "Accept: */*", "", 405),
    ("POST /invocations", f"Content-Type: {JSON}\r\nContent-Length: 900000000", "[", 413),
    ("POST /invocations", f"Content-Type: {JSON}\r\nTransfer-Encoding: chunked", "zz\r\n", 400),
    ("POST /invocations", f"Content-Type: {JSON}\r\nContent-Length: many", "[]", 400),
    ("Guten Tag, POST", "X: y", "", 400),
    ("GET /ping", "\r\n".join(f"X-{n}: y" for n in range(120)), "", 431),
]
# Records that are wrong among others, and the id that comes back.
WRONG_RECORDS = [("3", None), (f'{{"id": "x", "text": "{SECRET}"}}', "x"), ('{"id": 7, "body": true}', 7)]


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

    def expected(self, mails: "Mails") -> dict[str, list["Expected"]]:
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
class Expected:
    """A mail's answer, as the server writes it."""

    fields: dict[str, object]
    top: dict[str, list]

    @classmethod
    def of(cls, row: dict) -> "Expected":
        fields, top = {}, {}
        for task, answer in row.items():
            if isinstance(answer, dict):
                fields |= {task: answer["label"], f"{task}_confidence": answer["confidence"], f"{task}_decision": answer["decision"]}
                top[f"{task}_top"] = answer["top"]
        return cls(fields, top)


class Mails:
    """The mails that are sent, in each format's words."""

    def __init__(self, box: pathlib.Path, seed: int) -> None:
        chance = random.Random(f"{seed}/mails")
        raw = [bytes(mail) for mail in mailbox.mbox(box, create=False)]
        parsed = [email.message_from_bytes(one, policy=email.policy.default) for one in raw]
        subjects = [str(mail["subject"]) for mail in parsed]
        lines = [line for mail in parsed if (part := mail.get_body(("plain",))) for line in part.get_content().splitlines()]
        self.fields: list[dict[str, str]] = []
        for n in range(POOL):
            if n % 7 == 3:
                self.fields.append({"raw": base64.b64encode(chance.choice(raw)).decode(), "raw_encoding": "base64"})
                continue
            left = HUGE_BYTES if n >= POOL - HUGE else min(60_000, int(chance.lognormvariate(math.log(700), 1)))
            body = []
            while left > 0:
                body.append(chance.choice(lines))
                left -= len(body[-1].encode()) + 1
            fields = {"subject": chance.choice(subjects), "body": chance.choice(["\n", "\r\n"]).join(body)}
            self.fields.append(fields | ({"broker": chance.choice(["Nordstern", 'Ähre, "Süd" & Co.'])} if n % 5 == 0 else {}))
        self.usual = range(POOL - HUGE)
        self.huge = range(POOL - HUGE, POOL)
        self.in_parts = [n for n in self.usual if "raw" not in self.fields[n]]
        # Encoded once: to encode them for each request would cost more than to ask.
        self.json = [json.dumps(fields, ensure_ascii=n % 2 == 0)[1:-1] for n, fields in enumerate(self.fields)]
        cells = lambda fields, names: ",".join(quoted(fields.get(name, "")) for name in names)
        self.cells = [cells(fields, COLUMNS[1:]) for fields in self.fields]
        self.headless = [cells(fields, COLUMNS[1:4]) for fields in self.fields]


def quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


@dataclasses.dataclass(slots=True)
class Ask:
    """A request, and what is expected."""

    number: int
    data: bytes
    status: int = 200
    # The id of each record as it comes back, and its mail; none for a record that is wrong.
    rows: list[tuple[object, int | None]] = dataclasses.field(default_factory=list)


class Plan:
    """Which requests are sent by which clients: the same for the same seed."""

    def __init__(self, mails: Mails, seed: int, requests: int) -> None:
        self.mails, self.seed, self.requests = mails, seed, requests

    def __iter__(self) -> Iterator[tuple[str, list[Ask]]]:
        names, weights = list(BEHAVIOURS), list(BEHAVIOURS.values())
        number = 0
        while number < self.requests:
            chance = random.Random(f"{self.seed}/{number}")
            behaviour = chance.choices(names, weights)[0]
            count = min(chance.randint(2, 6) if behaviour == "pipelined" else 1, self.requests - number)
            yield behaviour, [self.ask(number + n, behaviour) for n in range(count)]
            number += count

    def ask(self, number: int, behaviour: str) -> Ask:
        chance = random.Random(f"{self.seed}/{number}/ask")
        match behaviour:
            case "ping":
                return Ask(number, request("GET /ping", []))
            case "malformed":
                content, body = chance.choice(WRONG_BODIES)
                return Ask(number, posted(body.encode(errors="surrogateescape"), [f"Content-Type: {content}"]), 400)
            case "malformed head":
                line, headers, body, status = chance.choice(WRONG_HEADS)
                return Ask(number, request(line, [headers], body.encode()), status)
        large = behaviour in ("leaves in the answer", "slow reader")
        shape = "partly wrong" if behaviour == "partly wrong" else chance.choice(["records", "columns", "lines", "table", "headless"])
        size = 64 if large else round(64 ** chance.random())
        picked = chance.choices(self.mails.in_parts if shape == "headless" else self.mails.usual, k=size)
        if shape != "headless" and chance.random() < (0.05 if large else 0.003):
            picked[chance.randrange(size)] = chance.choice(self.mails.huge)
        # Of another number each, so that a record which comes back elsewhere is known.
        forms = [lambda n: f"{number}-{n}", lambda n: f'"Bär", {number}/{n}', lambda n: (number << 20) + n, lambda n: None]
        form = chance.choices(forms, (60, 20, 15, 5))[0]
        ids = [form(n) for n in range(size)]
        content, body, rows = self.partly_wrong(ids, picked, chance) if shape == "partly wrong" else getattr(self, shape)(ids, picked)
        accept = chance.choice([None, JSON, f"{JSON}; shape=columns", LINES, CSV])
        headers = [f"Content-Type: {content}"] + ([f"Accept: {accept}"] if accept else [])
        if accept != CSV and (large or chance.random() < 0.1):
            headers.append(f"{INCLUDE}: include={chance.choice(['top', 'text+cuts', 'top+text'])}")
        chunks = chance if behaviour == "chunked" else None
        return Ask(number, posted(body, headers, chunks), 200, rows)

    # Each shape: its type, the body, and the rows to come back.

    def record(self, id: object, mail: int) -> str:
        return f'{{"id":{json.dumps(id)},{self.mails.json[mail]}}}'

    def records(self, ids: list, picked: list[int]) -> tuple[str, bytes, list]:
        return JSON, f"[{','.join(map(self.record, ids, picked))}]".encode(), list(zip(ids, picked))

    def lines(self, ids: list, picked: list[int]) -> tuple[str, bytes, list]:
        return LINES, "\n".join(map(self.record, ids, picked)).encode(), list(zip(ids, picked))

    def partly_wrong(self, ids: list, picked: list[int], chance: random.Random) -> tuple[str, bytes, list]:
        texts, rows = list(map(self.record, ids, picked)), list(zip(ids, picked))
        text, back = chance.choice(WRONG_RECORDS)
        at = chance.randint(0, len(rows))
        texts.insert(at, text)
        rows.insert(at, (back, None))
        lines = chance.random() < 0.5
        return (LINES, "\n".join(texts).encode(), rows) if lines else (JSON, f"[{','.join(texts)}]".encode(), rows)

    def columns(self, ids: list, picked: list[int]) -> tuple[str, bytes, list]:
        fields = [self.mails.fields[mail] for mail in picked]
        names = [name for name in COLUMNS[1:] if any(name in one for one in fields)]
        return JSON, json.dumps({"id": ids} | {name: [one.get(name) for one in fields] for name in names}).encode(), list(zip(ids, picked))

    def table(self, ids: list, picked: list[int]) -> tuple[str, bytes, list]:
        return CSV, (",".join(COLUMNS) + "\r\n" + self.cells(ids, picked, self.mails.cells)).encode(), self.texts(ids, picked)

    def headless(self, ids: list, picked: list[int]) -> tuple[str, bytes, list]:
        return f"{CSV}; header=absent", self.cells(ids, picked, self.mails.headless).encode(), self.texts(ids, picked)

    def cells(self, ids: list, picked: list[int], cells: list[str]) -> str:
        return "".join(f"{quoted('' if id is None else str(id))},{cells[mail]}\r\n" for id, mail in zip(ids, picked))

    def texts(self, ids: list, picked: list[int]) -> list:
        """A table knows no numbers."""
        return [(None if id is None else str(id), mail) for id, mail in zip(ids, picked)]


def request(line: str, headers: list[str], body: bytes = b"") -> bytes:
    return "\r\n".join([f"{line} HTTP/1.1", "Host: soak", *headers, "", ""]).encode() + body


def posted(body: bytes, headers: list[str], chunks: random.Random | None = None) -> bytes:
    if chunks is None:
        return request("POST /invocations", [*headers, f"Content-Length: {len(body)}"], body)
    pieces = []
    while body:
        size = chunks.randint(1, 20_000)
        piece, body = body[:size], body[size:]
        pieces.append(b"%x\r\n%b\r\n" % (len(piece), piece))
    return request("POST /endpoints/classify/invocations", [*headers, "Transfer-Encoding: chunked"], b"".join(pieces) + b"0\r\n\r\n")


@dataclasses.dataclass(slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @classmethod
    def head(cls, data: bytes) -> tuple["Answer", int]:
        """The answer without its body, and how long that is."""
        first, *lines = data.decode("latin-1").strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return cls(int(first.split()[1]), headers, b""), int(headers["content-length"])

    def rows(self, names: list[str]) -> list[dict]:
        """Its records; `names` are a table's columns if it has no header."""
        content = self.headers["content-type"]
        if content.startswith(JSON) and "lines" not in content:
            value = json.loads(self.body)
            if "shape=columns" not in content:
                return value
            lengths = {len(values) for values in value.values()}
            assert len(lengths) <= 1, f"columns of lengths {lengths}"
            return [dict(zip(value, cells)) for cells in zip(*value.values())]
        if content.startswith(LINES):
            return [json.loads(line) for line in self.body.splitlines()]
        table = list(csv.reader(io.StringIO(self.body.decode(), newline="")))
        header = names[: len(table[0])] if "header=absent" in content else table.pop(0)
        assert all(len(cells) == len(header) for cells in table), "cells are missing"
        known = lambda name, cell: None if cell == "" else float(cell) if name.endswith("_confidence") else cell
        return [{name: known(name, cell) for name, cell in zip(header, cells)} for cells in table]


class Checker:
    """Holds answers against what is expected."""

    def __init__(self, expected: dict[str, list[Expected]]) -> None:
        self.expected = expected
        self.names = ["id", *next(iter(expected.values()))[0].fields, "scope", "error"]
        # The text and cuts of each mail are what they were the first time.
        self.told: dict[tuple[int, str], object] = {}

    def wrong(self, rows: list[tuple[object, int | None]], answer: Answer) -> str | None:
        """What is wrong with an answer."""
        variant = answer.headers.get(VARIANT)
        if variant not in self.expected:
            return f"answered by {variant}"
        try:
            found = answer.rows(self.names)
        except (ValueError, KeyError, AssertionError) as error:
            return f"not readable: {error}"
        if len(found) != len(rows):
            return f"{len(found)} records, expected {len(rows)}"
        table = answer.headers["content-type"].startswith(CSV)
        for at, (row, (id, mail)) in enumerate(zip(found, rows)):
            id = str(id) if table and id is not None else id
            if mail is None:
                row = {name: value for name, value in row.items() if value is not None}
                if row.pop("id", None) != id or list(row) != ["error"] or SECRET in str(row):
                    return f"record {at}: no error, or another's"
            elif why := self.differs(row, id, mail, self.expected[variant][mail]):
                return f"record {at} (mail {mail}, {variant}): {why}"
        return None

    def differs(self, row: dict, id: object, mail: int, expected: Expected) -> str | None:
        back = row.pop("id", "nothing")
        if back != id:
            return f"id {back!r}, expected {id!r}"
        if len(row) > len(expected.fields):
            row = {name: value for name, value in row.items() if value is not None or name in expected.fields}
            for name in ("scope", "truncated"):
                row.pop(name, None)
            for name in ("text", "cuts"):
                if name in row and row[name] != self.told.setdefault((mail, name), row[name]):
                    return f"another `{name}` than before"
                row.pop(name, None)
            for name, top in expected.top.items():
                if name in row and not same(row[name], top):
                    return f"{name} {row[name]}, expected {top}"
                row.pop(name, None)
        if row == expected.fields or same(row, expected.fields):
            return None
        return f"{row}, expected {expected.fields}"


def same(found: object, expected: object) -> bool:
    match expected:
        case dict():
            return isinstance(found, dict) and found.keys() == expected.keys() and all(same(found[key], expected[key]) for key in found)
        case list():
            return isinstance(found, list) and len(found) == len(expected) and all(map(same, found, expected))
        case float():
            return isinstance(found, (int, float)) and abs(found - expected) <= 1e-4 * abs(expected)
    return found == expected


# Who asks.


class Timeline:
    """Which versions may answer, and since when."""

    def __init__(self) -> None:
        self.since: list[float] = []
        self.versions: list[set[str]] = []

    def from_now(self, versions: set[str]) -> None:
        self.since.append(time.monotonic())
        self.versions.append(versions)

    def between(self, begun: float, ended: float) -> set[str]:
        first = max(0, bisect.bisect(self.since, begun) - 1)
        return set().union(*self.versions[first : bisect.bisect(self.since, ended)])


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


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        # What was sent on it, for who looks into a failure.
        self.numbers: list[int] = []

    @classmethod
    async def open(cls, port: int, receive: int | None = None) -> "Connection":
        """`receive` bytes are all that is taken before it is read."""
        if receive is None:
            return cls(*await asyncio.open_connection("127.0.0.1", port))
        stream = socket.socket()
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        stream.setblocking(False)
        await asyncio.get_running_loop().sock_connect(stream, ("127.0.0.1", port))
        return cls(*await asyncio.open_connection(sock=stream, limit=receive))

    async def head(self) -> tuple[Answer, int]:
        return Answer.head(await self.reader.readuntil(b"\r\n\r\n"))

    async def answer(self) -> Answer:
        answer, length = await self.head()
        answer.body = await self.reader.readexactly(length)
        return answer

    def leave(self, rudely: bool = False) -> None:
        """`rudely` with a reset."""
        if rudely:
            self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.transport.abort()
        else:
            self.writer.close()


class Clients:
    """All who ask, but the probe."""

    def __init__(self, plan: Plan, server: "Server", checker: Checker, timeline: Timeline, failures: Failures) -> None:
        self.plan, self.server, self.checker, self.timeline, self.failures = plan, server, checker, timeline, failures
        self.sent, self.checked, self.mails = (collections.Counter() for _ in range(3))
        self.versions: collections.Counter[str] = collections.Counter()
        self.done = self.under_way = self.refused = 0
        self.ends: list[float] = []

    async def run(self, clients: int) -> None:
        units = iter(self.plan)
        self.begun = time.monotonic()

        async def client() -> None:
            kept: list[Connection] = []
            for behaviour, asks in units:
                await self.patiently(behaviour, asks, kept)
                if self.failures.enough() or self.server.process.poll() is not None:
                    return
            for connection in kept:
                connection.leave()

        await asyncio.gather(*(client() for _ in range(clients)))

    async def patiently(self, behaviour: str, asks: list[Ask], kept: list[Connection]) -> None:
        size = sum(len(ask.data) for ask in asks)
        self.under_way += size
        try:
            async with asyncio.timeout(PATIENCE):
                await self.play(behaviour, asks, kept)
        except TimeoutError:
            self.failures.add("hung", f"request {asks[0].number} ({behaviour}) was not answered in {PATIENCE} s", asks[0].data)
        except (OSError, EOFError, KeyError, ValueError, asyncio.LimitOverrunError) as error:
            told = "; ".join(getattr(error, "__notes__", ["it could not connect"]))
            self.failures.add("broken", f"request {asks[0].number} ({behaviour}): {error!r}, {told}", asks[0].data)
        finally:
            self.under_way -= size
        self.sent[behaviour] += len(asks)
        for _ in asks:
            self.done += 1
            if self.done * WINDOWS // self.plan.requests > len(self.ends):
                self.ends.append(time.monotonic())
                rate = self.done / (self.ends[-1] - self.begun)
                print(f"window {len(self.ends)} of {WINDOWS}: {rate:.0f} requests/s", file=sys.stderr, flush=True)

    async def play(self, behaviour: str, asks: list[Ask], kept: list[Connection]) -> None:
        chance = random.Random(f"{self.plan.seed}/{asks[0].number}/client")
        alone = behaviour in ("fresh", "slow reader", "malformed head") or behaviour.startswith("leaves")
        if alone or not kept:
            connection = await Connection.open(self.server.port, 4096 if behaviour == "slow reader" else None)
        else:
            connection = kept.pop()
        begun, data = time.monotonic(), asks[0].data
        before = connection.numbers[-3:]
        connection.numbers += [ask.number for ask in asks]
        close = alone
        try:
            if behaviour == "slow writer":
                await self.write_slowly(connection, data, chance)
            elif behaviour == "leaves in its body":
                connection.writer.write(data[: chance.randint(data.index(b"\r\n\r\n") + 4, len(data) - 1)])
                return await asyncio.sleep(chance.uniform(0, 0.02))
            else:
                connection.writer.write(b"".join(ask.data for ask in asks))
            if behaviour == "leaves before the answer":
                await connection.writer.drain()
                return await asyncio.sleep(chance.choice([0, chance.uniform(0, 0.05)]))
            if behaviour == "leaves in the answer":
                _, length = await connection.head()
                await connection.reader.readexactly(chance.randrange(length))
                return
            for ask in asks:
                answer = await (self.read_slowly(connection, chance) if behaviour == "slow reader" else connection.answer())
                close |= answer.headers.get("connection") == "close"
                await self.check(behaviour, ask, answer, begun)
        except BaseException as error:
            close = True
            error.add_note(f"its connection had {before}" if before else "its connection was new")
            raise
        finally:
            if close:
                connection.leave(behaviour.startswith("leaves") and chance.random() < 0.5)
            else:
                kept.append(connection)

    async def write_slowly(self, connection: Connection, data: bytes, chance: random.Random) -> None:
        """Its first and last bytes one by one."""
        cuts = sorted({*range(12), *chance.choices(range(12, len(data)), k=12), *range(len(data) - 4, len(data) + 1)})
        for start, end in zip(cuts, cuts[1:]):
            connection.writer.write(data[start:end])
            await asyncio.sleep(chance.uniform(0.002, 0.03))

    async def read_slowly(self, connection: Connection, chance: random.Random) -> Answer:
        await asyncio.sleep(chance.uniform(0, 0.2))
        answer, left = await connection.head()
        pieces = []
        while left:
            pieces.append(await connection.reader.readexactly(min(left, 4096)))
            left -= len(pieces[-1])
            await asyncio.sleep(0.005)
        answer.body = b"".join(pieces)
        return answer

    async def check(self, behaviour: str, ask: Ask, answer: Answer, begun: float) -> None:
        ended, told = time.monotonic(), f"request {ask.number} ({behaviour})"
        if answer.status == 503 and "retry-after" in answer.headers and self.under_way > BUSY:
            self.refused += 1
            return await asyncio.sleep(float(answer.headers["retry-after"]))
        if answer.status != ask.status:
            why = f"{told} was answered with {answer.status}, expected {ask.status}: {answer.body[:300]}"
            return self.failures.add("status", why, ask.data)
        self.checked[behaviour] += 1
        if answer.status != 200:
            # What is no HTTP is answered without a word.
            ours = answer.headers.get("content-type") == "application/problem+json" and "code" in json.loads(answer.body)
            if answer.body and not ours or SECRET.encode() in answer.body:
                self.failures.add("wrong", f"{told}: {answer.body[:300]}", ask.data)
        elif ask.rows:
            self.mails[behaviour] += len(ask.rows)
            if why := self.checker.wrong(ask.rows, answer):
                return self.failures.add("wrong", f"{told}: {why}", ask.data)
            version = answer.headers[VARIANT]
            self.versions[version] += 1
            if version not in (right := self.timeline.between(begun, ended)):
                self.failures.add("version", f"{told} was answered by {version}, which was none of {sorted(right)}", ask.data)


def probe(port: int, asks: list[Ask], checker: Checker, told, stop) -> None:
    """Sends a lone mail every 20 ms, and tells when, how long the answer took in ms, by whom it was, and what is wrong with it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    results, due = [], time.monotonic()
    while not stop.is_set():
        # Whoever is late leaves out what is past.
        due = max(due + 0.02, time.monotonic())
        time.sleep(max(0, due - time.monotonic()))
        ask, begun, version = asks[len(results) % len(asks)], time.monotonic(), None
        try:
            connection.request("POST", "/invocations", ask.data, {"Content-Type": JSON})
            response = connection.getresponse()
            answer = Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
            took, version = time.monotonic() - begun, answer.headers.get(VARIANT)
            wrong = f"status {answer.status}" if answer.status != 200 else checker.wrong(ask.rows, answer)
        except (OSError, http.client.HTTPException) as error:
            took, wrong = time.monotonic() - begun, repr(error)
            connection.close()
        results.append((begun, took * 1e3, version, wrong))
    told.send(results)


class Switcher:
    """Moves the endpoint from version to version."""

    def __init__(self, world: World, timeline: Timeline, failures: Failures, seed: int) -> None:
        self.world, self.timeline, self.failures = world, timeline, failures
        self.chance = random.Random(f"{seed}/switches")
        self.approved, self.pending = VERSIONS[:2], VERSIONS[2:]
        self.done: collections.Counter[str] = collections.Counter()

    async def run(self) -> None:
        for way in itertools.cycle(["at once", "canary", "approve", "rollback", "shadow"]):
            await asyncio.sleep(self.chance.uniform(0, 2))
            await self.switch("at once" if way == "approve" and not self.pending else way)

    async def switch(self, way: str) -> None:
        serving = (await self.status())["serving"]
        if way == "approve":
            target = self.pending.pop(0)
            self.approved.append(target)
            command = self.world.approve(target)
        elif way == "rollback":
            target = None
            command = ("deploy", "rollback", "--endpoint", "classify")
        else:
            target = self.chance.choice([version for version in self.approved if version != serving])
            tried = ["--strategy", way, "--requests", "40", "--latency", "1e6", "--disagreement", "1"]
            tried += ["--percent", str(self.chance.choice([5, 30, 80]))] if way == "canary" else []
            command = ("deploy", "start", target, "--endpoint", "classify", *([] if way == "at once" else tried))
        self.timeline.from_now({serving, target} if target else set(VERSIONS))
        code, talk = await self.tell(*command)
        deadline = time.monotonic() + PATIENCE
        while code == 0:
            status = await self.status()
            if status.get("rollout") is None and target in (None, status["serving"]):
                break
            if time.monotonic() > deadline:
                code, talk = -1, f"not done after {PATIENCE} s: {status}"
            await asyncio.sleep(0.1)
        if code:
            return self.failures.add("switch", f"`{' '.join(command)}` ended with {code}: {talk}")
        self.done[way] += 1
        await asyncio.sleep(GRACE)
        self.timeline.from_now({status["serving"]})

    async def status(self) -> dict:
        return json.loads((await self.tell("deploy", "status", "--endpoint", "classify", "--json"))[1])["deployment"]

    async def tell(self, *arguments: str) -> tuple[int, str]:
        command, where = self.world.command(*arguments)
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, **where, stdout=pipe, stderr=pipe)
        data, talk = await process.communicate()
        return process.returncode, (talk if process.returncode else data).decode()


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


# What is told.


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
