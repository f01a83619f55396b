"""What an answer holds, and whether it is right."""

import csv
import dataclasses
import io
import json

from plan import CSV, JSON, LINES, SECRET

VARIANT = "x-amzn-invoked-production-variant"


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
