"""Moves the endpoint from version to version, and knows which may answer when."""

import asyncio
import bisect
import collections
import itertools
import json
import random
import time

from world import PATIENCE, VERSIONS, Failures, World

# Seconds from the end of a switch in the store to the last answer of the version before.
GRACE = 2


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
