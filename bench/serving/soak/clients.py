"""Who asks, well and badly, and what they find."""

import asyncio
import collections
import http.client
import json
import random
import socket
import struct
import sys
import time

from answers import VARIANT, Answer, Checker
from plan import JSON, SECRET, Ask, Plan
from switches import Timeline
from world import PATIENCE, Failures, Server

WINDOWS = 20
# Bytes that clients may have under way without one being refused: half of what the queue takes.
BUSY = 128 << 20


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

    def __init__(self, plan: Plan, server: Server, checker: Checker, timeline: Timeline, failures: Failures) -> None:
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
