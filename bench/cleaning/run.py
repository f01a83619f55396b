"""Cleans the same mails with ours and with what PyPI, npm and crates.io have, and prints quality and speed side by side.

    python3 bench/cleaning/run.py --data FOLDER [--keep FOLDER] [--sections quality,growth,zones,raw] [--rounds 5]

`--data` holds `email-cleaning`, `mail-zones` and `raw-mail`; the README beside this file says what is in them. A part that is
missing is passed over by name. The peers are installed once, into `--keep`. Every timed program runs on one core.
"""

import argparse
import base64
import email
import importlib.util
import json
import os
import pathlib
import re
import statistics
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass

from hostile import HOSTILE
from zones import zones

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent

PYPI = [
    "mail-parser-reply==1.36", "email-reply-parser==0.5.12", "quotequail==0.5.4", "unquotemail==1.0.11",
    "email-reply-extractor==1.1.1", "inscriptis==2.7.6", "html2text==2025.4.15", "mail-parser==4.8.0", "fast-mail-parser==0.10.0",
    # talon's own list asks for a C library that no longer builds; its rules need these.
    "lxml==6.1.3", "regex==2026.11.15", "chardet==7.7.0", "cssselect==1.6.0", "six==1.17.0", "html5lib==1.1", "faust-cchardet==3.2.0",
]
PYPI_ALONE = ["talon==1.4.4"]
NPM = [
    "email-reply-parser@2.3.9", "email-forward-parser@1.8.3", "node-email-reply-parser@0.1.4", "emailreplyparser@0.0.5",
    "planer@1.2.0", "@u22n/mailtools@0.1.2", "mailparser@3.14.2", "postal-mime@4.0.0", "html-to-text@10.0.1",
]


@dataclass(frozen=True)
class Program:
    """One row: who, from where, and what it takes."""

    name: str
    version: str
    registry: str
    # `clean`: a body to what the author wrote; `decode`: a raw mail to its text.
    stage: str = "clean"
    # Takes an HTML body as it is; the others get the text our reader makes of it.
    html: bool = False
    profile: str = ""

    @property
    def title(self) -> str:
        return f"**{self.name}**" if self.registry == "ours" else f"{self.name} {self.version} ({self.registry})"


OURS = Program("ours", "", "ours", html=True, profile="author")
OURS_DECODE = Program("ours", "", "ours", "decode", True, "decode")
PROGRAMS = [
    OURS,
    Program("mail-parser-reply", "1.36", "PyPI"),
    Program("email-reply-parser", "0.5.12", "PyPI"),
    Program("talon", "1.4.4", "PyPI", html=True),
    Program("quotequail", "0.5.4", "PyPI", html=True),
    Program("unquotemail", "1.0.11", "PyPI", html=True),
    Program("email-reply-extractor", "1.1.1", "PyPI", html=True),
    Program("email-reply-parser", "2.3.9", "npm"),
    Program("email-forward-parser", "1.8.3", "npm"),
    Program("email-forward-parser, then email-reply-parser", "1.8.3, 2.3.9", "npm"),
    Program("node-email-reply-parser", "0.1.4", "npm"),
    Program("emailreplyparser", "0.0.5", "npm"),
    Program("planer", "1.2.0", "npm"),
    Program("@u22n/mailtools", "0.1.2", "npm", html=True),
    Program("email_reply_parser", "0.1.2", "Cargo"),
    OURS_DECODE,
    Program("email + inscriptis", "2.7.6", "PyPI", "decode"),
    Program("email + html2text", "2025.4.15", "PyPI", "decode"),
    Program("mail-parser", "4.8.0", "PyPI", "decode"),
    Program("fast-mail-parser", "0.10.0", "PyPI", "decode"),
    Program("mailparser", "3.14.2", "npm", "decode"),
    Program("postal-mime + html-to-text", "4.0.0", "npm", "decode"),
    Program("mail-parser", "0.11.9", "Cargo", "decode"),
    Program("mailparse + html2text", "0.18.0", "Cargo", "decode"),
]


class Bench:
    """The programs, installed, and how each is started."""

    def __init__(self, keep: pathlib.Path, scratch: pathlib.Path) -> None:
        self.keep, self.scratch = keep, scratch
        self.core = max(os.sched_getaffinity(0))
        target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
        self.ours = target / "release" / "examples" / "cleaning"
        self.crates = keep / "crates" / "release" / "bench-cleaning-peer"
        self.missing: set[str] = set()

    def install(self) -> None:
        """Builds ours and installs what is not there yet; a registry that fails is left out by name."""
        build = ["cargo", "build", "--release", "--locked"]
        subprocess.run(build + ["-p", "poststelle-mail", "--example", "cleaning"], cwd=ROOT, check=True)
        pip = [self.keep / "venv" / "bin" / "pip", "install", "-q", "--disable-pip-version-check"]
        steps = {
            "PyPI": [
                ([sys.executable, "-m", "venv", self.keep / "venv"], self.keep),
                (pip + PYPI, self.keep),
                (pip + ["--no-deps"] + PYPI_ALONE, self.keep),
            ],
            "npm": [(["npm", "install", "--no-audit", "--no-fund", "--silent", "--prefix", "."] + NPM, self.keep / "npm")],
            "Cargo": [(build + ["--target-dir", self.keep / "crates"], HERE / "peer")],
        }
        for registry, commands in steps.items():
            done = self.keep / f"{registry}.installed"
            wanted = json.dumps({"PyPI": PYPI + PYPI_ALONE, "npm": NPM}.get(registry, ""))
            if done.exists() and done.read_text() == wanted and registry != "Cargo":
                continue
            try:
                for command, folder in commands:
                    folder.mkdir(parents=True, exist_ok=True)
                    if registry == "npm" and not (folder / "package.json").exists():
                        (folder / "package.json").write_text('{"private": true}\n')
                    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
                done.write_text(wanted)
            except (OSError, subprocess.CalledProcessError) as error:
                self.missing.add(registry)
                print(f"{registry}: not installed, its rows are left out ({error})\n")

    def programs(self, stage: str) -> list[Program]:
        return [one for one in PROGRAMS if one.stage == stage and one.registry not in self.missing]

    def command(self, program: Program, mode: str, frames: pathlib.Path, *more: str) -> tuple[list, pathlib.Path]:
        """The command line and the folder it runs in."""
        if program.registry == "ours":
            return [self.ours, mode, program.profile, frames, *more], self.keep
        if program.registry == "Cargo":
            return [self.crates, mode, program.name, frames, *more], self.keep
        if program.registry == "npm":
            return ["node", HERE / "peer.mjs", mode, program.name, frames, *more], self.keep / "npm"
        return [self.keep / "venv" / "bin" / "python", HERE / "peer.py", mode, program.name, frames, *more], self.keep

    def frames(self, name: str, mails: list[tuple[str, bytes]]) -> pathlib.Path:
        path = self.scratch / f"{name}.frames"
        path.write_bytes(b"".join(struct.pack("<cI", kind.encode(), len(content)) + content for kind, content in mails))
        return path

    def clean(self, program: Program, frames: pathlib.Path, mode: str = "clean") -> tuple[list[tuple[str, str]], dict[str, str]]:
        """What a program makes of each mail, as (kind, text), and what it says about itself."""
        command, folder = self.command(program, mode, frames)
        run = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if run.returncode:
            raise SystemExit(f"{program.name}: {run.stderr.decode()[-2000:]}")
        said = dict(line.split(" ", 1) for line in run.stderr.decode().splitlines() if line.startswith(("peak ", "failed ")))
        return unpack(run.stdout), said

    def texts(self, program: Program, mails: list[tuple[str, bytes]]) -> tuple[list[str], dict[str, str]]:
        """What a program keeps of each mail as text; HTML it gives back goes through our reader."""
        kept, said = self.clean(program, self.frames("in", mails))
        html = [at for at, (kind, _) in enumerate(kept) if kind == "h"]
        texts = [text for _, text in kept]
        for at, text in zip(html, self.decode([("h", kept[at][1].encode()) for at in html])):
            texts[at] = text
        return texts, said

    def decode(self, mails: list[tuple[str, bytes]]) -> list[str]:
        """The whole visible text of each mail as our reader sees it."""
        return [text for _, text in self.clean(OURS_DECODE, self.frames("decode", mails))[0]]

    def rates(self, programs: list[Program], frames: pathlib.Path, rounds: int, seconds: float) -> dict[Program, float]:
        """Mails a second on one core, the median of rounds that go over all programs in turn.

        A program that needs over ten seconds for a round has only one.
        """
        seen: dict[Program, list[float]] = {program: [] for program in programs}
        slow = set()
        for _ in range(rounds):
            for program, rates in seen.items():
                if program in slow:
                    continue
                start = time.perf_counter()
                command, folder = self.command(program, "time", frames, str(seconds))
                run = subprocess.run(
                    ["taskset", "-c", str(self.core), *command], cwd=folder, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
                )
                rates.append(json.loads(run.stdout)["per_s"])
                if time.perf_counter() - start > 10:
                    slow.add(program)
        return {program: statistics.median(rates) for program, rates in seen.items()}

    def first(self, program: Program, frames: pathlib.Path, rounds: int) -> float:
        """Milliseconds from the start of the program to the first byte of the first text."""
        seen = []
        for _ in range(rounds):
            command, folder = self.command(program, "clean", frames)
            command = ["taskset", "-c", str(self.core), *command]
            start = time.perf_counter()
            with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
                process.stdout.read(1)
                seen.append(1e3 * (time.perf_counter() - start))
                process.stdout.read()
        return statistics.median(seen)


def unpack(data: bytes) -> list[tuple[str, str]]:
    frames, at = [], 0
    while at < len(data):
        kind, length = struct.unpack_from("<cI", data, at)
        frames.append((kind.decode(), data[at + 5 : at + 5 + length].decode("utf-8", "replace")))
        at += 5 + length
    return frames


def table(head: list[str], rows: list[list[str]]) -> None:
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}", flush=True)
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print(flush=True)


def megabytes(said: dict[str, str]) -> str:
    return f"{int(said['peak'].split()[0]) / 1024:.0f}" if "peak" in said else ""


def content(case: dict) -> bytes:
    return base64.b64decode(case["raw"]) if case["raw_encoding"] == "base64" else case["raw"].encode()


KINDS = {"text/plain": "p", "text/html": "h", "message/rfc822": "m"}


def quality(bench: Bench, data: pathlib.Path, rounds: int, seconds: float) -> None:
    folder = data / "email-cleaning"
    spec = importlib.util.spec_from_file_location("score", folder / "score.py")
    judge = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(judge)
    cases = [json.loads(line) for line in open(folder / "cases.jsonl", encoding="utf-8") if line.strip()]

    def share(cases: list[dict], scores: list[dict], which) -> str:
        hits = [score["exact"] for case, score in zip(cases, scores) if which(case)]
        return f"{100 * statistics.mean(hits):.1f}" if hits else ""

    def said_of(scores: list[dict]) -> list[str]:
        return [f"{100 * statistics.mean(score['tokF1'] for score in scores):.1f}", f"{sum(score['empty!'] for score in scores):.0f}"]

    # Clean: from a body to what the author wrote.
    clean = [case for case in cases if case["stage"] == "clean"]
    mails = [(KINDS[case["content_type"]], content(case)) for case in clean]
    read = [("p", text.encode()) for text in bench.decode(mails)]
    plain = [mail for mail in mails if mail[0] == "p"]
    html = [(KINDS[case["content_type"]], content(case)) for case in cases if case["content_type"] == "text/html"]
    raw = [(KINDS[case["content_type"]], content(case)) for case in cases if case["content_type"] == "message/rfc822"]
    plain_frames, html_frames, raw_frames = (bench.frames(*one) for one in (("plain", plain), ("html", html), ("raw", raw)))
    one = bench.frames("one", plain[:1])
    programs = bench.programs("clean")
    speed = bench.rates([program for program in programs if program.name != "@u22n/mailtools"], plain_frames, rounds, seconds)
    html_speed = bench.rates([program for program in programs if program.html], html_frames, rounds, seconds)
    results = []
    for program in programs:
        given = [
            mail if mail[0] == "p" or program == OURS or (mail[0] == "h" and program.html) else text for mail, text in zip(mails, read)
        ]
        texts, _ = bench.texts(program, given)
        _, said = bench.clean(program, plain_frames)
        scores = [judge.score_case(case, text) for case, text in zip(clean, texts)]
        exact = statistics.mean(score["exact"] for score in scores)
        row = [program.title, share(clean, scores, lambda case: True)]
        row += [share(clean, scores, lambda case, one=one: judge.bucket(case["language"]) == one) for one in ("de", "en", "other")]
        row += [share(clean, scores, lambda case, one=one: case["kind"] == one) for one in ("reply", "signature", "forward", "html")]
        row += said_of(scores)
        row += [f"{speed[program]:,.0f}" if program in speed else "", f"{speed[OURS] / speed[program]:.1f}" if program in speed else ""]
        row += [f"{html_speed[program]:,.0f}" if program in html_speed else ""]
        row += [f"{bench.first(program, one, rounds):.0f}", megabytes(said)]
        results.append((exact, program, row))
    results.sort(key=lambda result: -result[0])
    print(f"## Clean: what the author wrote, {len(clean)} cases; speed on one core\n")
    head = ["program", "exact", "de", "en", "other", "reply", "signature", "forward", "html", "token F1", "emptied"]
    table(head + ["mails/s", "ours is × faster", "HTML/s", "first ms", "peak MB"], [row for *_, row in results])
    peers = [(exact, program) for exact, program, _ in results if program != OURS and program in speed]
    if peers:
        best, fastest = max(peers, key=lambda peer: peer[0])[1], max((one for _, one in peers), key=speed.get)
        for word, peer in (("best", best), ("fastest", fastest)):
            print(f"Against the {word} peer, {peer.name} ({peer.registry}): {speed[OURS] / speed[peer]:.1f} × its mails/s.")
        print()

    # Decode: from a raw mail, or a body wrapped into one, to its visible text.
    decode = [case for case in cases if case["stage"] == "decode"]
    mails = [(KINDS[case["content_type"]], content(case)) for case in decode]
    wrapped = [("m", body if kind == "m" else wrap(kind, body)) for kind, body in mails]
    one = bench.frames("one", wrapped[:1])
    programs = bench.programs("decode")
    whole = Program("ours, parsed and cleaned", "", "ours", "decode", True, "author")
    speed = bench.rates(programs + [whole], raw_frames, rounds, seconds)
    html_frames = bench.frames("html", [("m", wrap(kind, body)) for kind, body in html])
    html_speed = bench.rates(programs + [whole], html_frames, rounds, seconds)
    results = []
    for program in programs:
        texts, said = bench.texts(program, wrapped)
        scores = [judge.score_case(case, text) for case, text in zip(decode, texts)]
        row = [program.title, share(decode, scores, lambda case: True)]
        row += [share(decode, scores, lambda case, one=one: case["kind"] == one) for one in ("mime", "html")]
        row += said_of(scores) + [said.get("failed", "0"), f"{speed[program]:,.0f}", f"{speed[OURS_DECODE] / speed[program]:.1f}"]
        row += [f"{html_speed[program]:,.0f}", f"{bench.first(program, one, rounds):.0f}", megabytes(said)]
        results.append((statistics.mean(score["exact"] for score in scores), row))
    results.sort(key=lambda result: -result[0])
    print(f"## Decode: the whole visible text, {len(decode)} cases; speed on one core\n")
    head = ["program", "exact", "mime", "html", "token F1", "emptied", "failed"]
    table(head + ["raw mails/s", "ours is × faster", "HTML mails/s", "first ms", "peak MB"], [row for _, row in results])
    print(f"Parsed and cleaned, ours does {speed[whole]:,.0f} of the raw mails and {html_speed[whole]:,.0f} of the HTML mails a second.\n")


def wrap(kind: str, body: bytes) -> bytes:
    """A body as the smallest raw mail that holds it."""
    subtype = {"p": "plain", "h": "html"}[kind]
    head = f"MIME-Version: 1.0\r\nContent-Type: text/{subtype}; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    return head.encode() + body


def growth(bench: Bench, limit: float) -> None:
    print("## Growth: hostile mails, ours, ms (the slower of the profiles `author` and `request`)\n")
    rows = []
    for name, (kind, make) in HOSTILE.items():
        times = []
        for size in (1_000_000, 10_000_000):
            frames = bench.frames("hostile", [(kind, make(size))])
            slowest = 0.0
            for profile in ("author", "request"):
                command = ["taskset", "-c", str(bench.core), bench.ours, "once", profile, frames]
                try:
                    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=limit)
                    slowest = max(slowest, json.loads(run.stdout)["ms"] if run.returncode == 0 else float("nan"))
                except subprocess.TimeoutExpired:
                    slowest = float("inf")
            times.append(slowest)
        small, large = times
        over = "" if large < 2000 else "over 2 s"
        rows.append([name, f"{small:.0f}", f"{large:.0f}", f"{large / small:.1f}" if small else "", over])
    table(["mail of", "1 MB", "10 MB", "ratio", ""], rows)


def has_words(text: str) -> bool:
    return any(character.isalnum() for character in text)


def readable(raw: bytes) -> bool:
    """Whether Python's `email` finds a text part with words that is no attachment."""
    for part in email.message_from_bytes(raw).walk():
        if part.get_content_type() in ("text/plain", "text/html") and part.get_content_disposition() != "attachment":
            text = (part.get_payload(decode=True) or b"").decode("latin-1")
            if has_words(re.sub(r"(?s)<(style|script).*?</\1>|<[^>]*>|&\w+;", " ", text)):
                return True
    return False


def raw(bench: Bench, data: pathlib.Path, rounds: int, seconds: float) -> None:
    with tarfile.open(data / "raw-mail" / "messages.tar.gz") as archive:
        mails = [("m", archive.extractfile(member).read()) for member in archive if member.isfile()]
    frames = bench.frames("messages", mails)
    print(f"## Raw mail: {len(mails)} real messages, parsed and cleaned\n")
    whole = [text for _, text in bench.clean(OURS_DECODE, frames)[0]]
    unread = sum(readable(content) and not has_words(text) for (_, content), text in zip(mails, whole))
    rows, defects = [], {}
    for profile in ("author", "request"):
        program = Program("ours", "", "ours", "clean", True, profile)
        account = bench.clean(program, frames, "cuts")[0]
        kept = account[2::3]
        panics = sum(kind == "x" for kind, _ in kept)
        emptied = sum(has_words(before) and not has_words(after) for before, (_, after) in zip(whole, kept))
        speed = bench.rates([program], frames, rounds, seconds)[program]
        share = sum(len(text) for _, text in kept) / max(1, sum(map(len, whole)))
        wordless = sum(not has_words(text) for text in whole)
        rows.append([profile, str(panics), str(emptied), str(unread), str(wordless), f"{100 * share:.0f} %", f"{speed:,.0f}"])
        for _, lines in account[0::3]:
            for line in lines.splitlines():
                if line.startswith("defect "):
                    name = line.split()[1].rstrip("{")
                    defects.setdefault(name, {}).setdefault(profile, 0)
                    defects[name][profile] += 1
    table(["profile", "panics", "words in, none out", "words for Python alone", "no words in", "of the text kept", "mails/s, one core"], rows)
    table(["defect", "mails"], [[name, str(max(by.values()))] for name, by in sorted(defects.items())])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--keep", type=pathlib.Path, default=pathlib.Path.home() / ".cache" / "poststelle-bench" / "cleaning")
    parser.add_argument("--sections", default="quality,growth,zones,raw")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="how long one timing lasts")
    parser.add_argument("--limit", type=float, default=60, help="seconds a hostile mail may take before it is given up")
    arguments = parser.parse_args()
    keep = arguments.keep.resolve()
    keep.mkdir(parents=True, exist_ok=True)
    wanted = arguments.sections.split(",")
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(keep, pathlib.Path(scratch))
        bench.install()

        def there(section: str, *files: str) -> bool:
            lacking = [file for file in files if not (arguments.data / file).exists()]
            if section in wanted and lacking:
                print(f"{section}: left out, {', '.join(lacking)} is missing\n")
            return section in wanted and not lacking

        if there("quality", "email-cleaning/cases.jsonl", "email-cleaning/score.py"):
            quality(bench, arguments.data, arguments.rounds, arguments.seconds)
        if there("growth"):
            growth(bench, arguments.limit)
        if there("zones", "mail-zones/quagga_train.jsonl.gz", "mail-zones/forge_signatures.jsonl.gz"):
            zones(bench, OURS, arguments.data / "mail-zones", table)
        if there("raw", "raw-mail/messages.tar.gz"):
            raw(bench, arguments.data, arguments.rounds, arguments.seconds)


if __name__ == "__main__":
    main()
