"""Which mails are sent in which requests, and how their clients behave."""

import base64
import dataclasses
import email
import email.policy
import json
import mailbox
import math
import pathlib
import random
from collections.abc import Iterator

# Different mails, of which the last are huge.
POOL, HUGE = 2000, 4
HUGE_BYTES = 1 << 20
# Mail text in malformed requests, which must not come back.
SECRET = "Geheimnis"
INCLUDE = "X-Amzn-SageMaker-Custom-Attributes"
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
