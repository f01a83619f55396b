"""Line figures on mails whose zones people marked: header or body, own or older, signature or not, and trimmed pairs.

The README beside this file defines each of them.
"""

import difflib
import gzip
import json
import pathlib
import re
import statistics

Mail = dict


def read(path: pathlib.Path) -> list[Mail]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def lines_of(text: str) -> list[tuple[int, int]]:
    """Start and end of every line, in characters; line ends belong to their line, as the paper counts."""
    spans, at = [], 0
    for line in text.split("\n"):
        spans.append((at, at + len(line) + 1))
        at += len(line) + 1
    return spans


def overlap(span: tuple[int, int], zones: list[dict]) -> int:
    return sum(max(0, min(span[1], zone["end"]) - max(span[0], zone["start"])) for zone in zones)


def of_type(mail: Mail, *types: str) -> list[dict]:
    return [zone for zone in mail["zones"] if zone["type"] in types]


def gold_headers(mail: Mail) -> list[bool]:
    """A line is what overlaps it most, `Body` where nothing does: the rule of the paper's own code."""
    header, body = of_type(mail, "Header"), of_type(mail, "Body")
    return [overlap(line, header) > overlap(line, body) for line in lines_of(mail["text"])]


def gold_older(mail: Mail, header: list[bool]) -> list[bool]:
    """Lines of earlier mails, with their headers.

    `>` lines are older, and so is all under a header, unless that header stands above `>` lines: then lines without the
    mark are answers again.
    """
    lines = mail["text"].split("\n")
    marked = [line.lstrip().startswith(">") for line in lines]
    older, under, at = [], None, 0
    for at, line in enumerate(lines):
        if header[at]:
            older.append(True)
            under = None
            if not marked[at]:
                after = next((later for later in range(at + 1, len(lines)) if not header[later] and lines[later].strip()), None)
                under = after is not None and not marked[after]
        else:
            older.append(marked[at] or (older[-1] if under is None and older else bool(under)))
            if older[-1] and not marked[at] and under is None:
                older[-1] = False
    return older


class Count:
    """Lines right and wrong."""

    def __init__(self) -> None:
        self.hits = self.found = self.gold = self.right = self.all = 0

    def add(self, found: bool, gold: bool) -> None:
        self.hits += found and gold
        self.found += found
        self.gold += gold
        self.right += found == gold
        self.all += 1

    def cells(self) -> list[str]:
        share = lambda part, whole: f"{100 * part / whole:.1f}" if whole else ""
        return [share(self.right, self.all), share(self.hits, self.found), share(self.hits, self.gold)]


def cuts(bench, program, texts: list[str]) -> list[tuple[str, list[tuple[str, str, int, int]]]]:
    """The body of each text and its cuts as (kind, rule, first line, line after)."""
    account = bench.clean(program, bench.frames("cuts", [("p", text.encode()) for text in texts]), "cuts")[0]
    found = []
    for (_, lines), (_, body) in zip(account[0::3], account[1::3]):
        raw = body.encode()
        spans = []
        for line in lines.splitlines():
            if line.startswith("cut "):
                _, kind, rule, start, end = line.split(" ")
                if rule == "quote-mark":
                    continue
                first, after = (raw.count(b"\n", 0, int(at)) for at in (start, end))
                after += not raw[: int(end)].endswith(b"\n")
                if rule == "answered" and spans and spans[-1][1] == "attribution" and spans[-1][3] == first:
                    # The first quote of an interleaved answer belongs to the line that introduces it.
                    _, rule, first, _ = spans.pop()
                spans.append((kind, rule, first, after))
        found.append((body, spans))
    return found


def our_headers(bench, program, mails: list[Mail]) -> list[set[int]]:
    """The lines our rules take for headers of earlier mails, in the whole thread.

    A cut of history is cleaned again by itself: a mail that is nothing but history loses its header and keeps the rest,
    so the cuts it begins with are that header, as far as the `>` grow no more, and later cuts are later mails.
    """
    headers: list[set[int]] = [set() for _ in mails]
    work = [(at, 0, mail["text"]) for at, mail in enumerate(mails)]
    for _ in range(40):
        todo = []
        for (at, offset, _), (body, spans) in zip(work, cuts(bench, program, [text for _, _, text in work])):
            lines = body.split("\n")
            empty = [not line.strip(" \t>") for line in lines]
            reach = begun = 0  # how far the header goes, with and without the blank lines after it
            for kind, rule, first, after in spans:
                if kind not in ("Quoted", "Forwarded"):
                    continue
                if first >= reach and all(empty[reach:first]):
                    worded = [number for number in range(first, after) if not empty[number]]
                    deeper = [number for number in worded if depth(lines[number]) > depth(lines[worded[0]])]
                    if rule == "separator" and not all(empty[after:][:2]):
                        # Words of that mail are kept right below, so the cut is its header alone.
                        deeper = []
                    if rule in ("marked", "answered") and not deeper:
                        # A quote that nothing introduces: no header, and what is in it is another mail's.
                        if after - first < len(lines):
                            todo.append((at, offset + first, "\n".join(lines[first:after])))
                        reach = len(lines) + 1
                        continue
                    reach = deeper[0] if deeper else after
                    until = max((number + 1 for number in worded if number < reach), default=first)
                    headers[at].update(range(offset + (begun or first), offset + until))
                    begun = until
                    if not deeper:
                        continue
                    first, reach = reach, len(lines) + 1
                todo.append((at, offset + first, "\n".join(lines[first:after])))
        work = todo
        if not work:
            break
    return headers


def depth(line: str) -> int:
    """How many `>` stand before the words."""
    return re.match(r"[\s>]*", line)[0].count(">")


def kept_lines(text: str, kept: str) -> set[int]:
    """Which lines of a text stand in what was kept of it, in order."""
    squash = lambda line: re.sub(r"\s+", " ", line).strip()
    before, after = ([squash(line) for line in one.split("\n")] for one in (text, kept))
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    return {at for block in matcher.get_matching_blocks() for at in range(block.a, block.a + block.size)}


def zones(bench, ours, folder: pathlib.Path, table) -> None:
    mails = read(folder / "quagga_train.jsonl.gz") + read(folder / "quagga_validation.jsonl.gz")
    # Our reader makes every line end a line feed; without that the lines would not be the same.
    mails = [mail for mail in mails if "\r" not in mail["text"] and "\0" not in mail["text"]]
    header = [gold_headers(mail) for mail in mails]
    found = our_headers(bench, ours, mails)
    print(f"## Zones: {len(mails)} mails whose zones people marked\n\nHeader or body, all lines, as the paper counts:\n")
    rows = []
    for source in ("enron", "asf"):
        count = Count()
        for mail, gold, ours_ in zip(mails, header, found):
            if mail["source"] == source:
                for at, one in enumerate(gold):
                    count.add(at in ours_, one)
        rows.append([source, str(count.all), str(count.gold), *count.cells()])
    table(["source", "lines", "header lines", "accuracy", "precision of header", "recall of header"], rows)

    print("Own or older, lines with words, intros, closings and signatures left out:\n")
    judged = []
    for mail, gold in zip(mails, header):
        older, lines = gold_older(mail, gold), mail["text"].split("\n")
        free = of_type(mail, "Body/Intro", "Body/Outro", "Body/Signature")
        counted = [
            bool(re.search(r"\w", line)) and (older[at] or not overlap(span, free))
            for at, (line, span) in enumerate(zip(lines, lines_of(mail["text"])))
        ]
        # A mail that is nothing but history has no own words to find; ours keeps its text on purpose.
        if any(one and not old for one, old in zip(counted, older)):
            judged.append((mail, older, counted))
    given = [("p", mail["text"].encode()) for mail, _, _ in judged]
    pairs = read(folder / "reply_trim_pairs.jsonl.gz")
    squash = lambda text: re.sub(r"\s+", "", text)
    rows = []
    for program in bench.programs("clean"):
        if program.name == "@u22n/mailtools":
            continue
        texts, _ = bench.texts(program, given)
        counts = {"enron": Count(), "asf": Count()}
        for (mail, older, counted), text in zip(judged, texts):
            kept = kept_lines(mail["text"], text)
            for at, one in enumerate(counted):
                if one:
                    counts[mail["source"]].add(at not in kept, older[at])
        texts, _ = bench.texts(program, [("p", pair["text"].encode()) for pair in pairs])
        exact = sum(squash(text) == squash(pair["trimmed"]) for text, pair in zip(texts, pairs))
        accuracy = statistics.mean(count.right / count.all for count in counts.values())
        rows.append((accuracy, [program.title, *counts["enron"].cells(), *counts["asf"].cells(), f"{exact} of {len(pairs)}"]))
    head = [f"{source}: {word}" for source in ("Enron", "ASF") for word in ("accuracy", "precision", "recall")]
    table(["program", *head, "trimmed pairs"], [row for _, row in sorted(rows, key=lambda row: -row[0])])

    signed = read(folder / "forge_signatures.jsonl.gz")
    count = Count()
    for mail, (body, spans) in zip(signed, cuts(bench, ours, [mail["text"] for mail in signed])):
        lost = {at for kind, _, first, after in spans if kind in ("Signature", "Disclaimer") for at in range(first, after)}
        older = {at for kind, _, first, after in spans if kind in ("Quoted", "Forwarded") for at in range(first, after)}
        gold = set(mail["signature_lines"])
        for at, line in enumerate(body.split("\n")):
            if line.strip() and (at not in older or at in gold):
                count.add(at in lost, at in gold)
    print(f"Signatures: {len(signed)} mails, {count.all} lines that are not blank, {count.gold} of a signature, ours:\n")
    table(["accuracy", "precision", "recall"], [count.cells()])
