"""Counts what real mails are taken for: letter, out_of_office, auto_reply, bounce or spam.

    python3 bench/cleaning/nature.py --data FOLDER [--binary BINARY] [--show]

`--data` holds `raw-mail/messages.tar.gz`, whose files are named after their source, and tables of labelled mails with the columns `subject`
and `body` (`*/*.csv.gz`). Only mails of the source `bounces-…` are known to be no letters; what else is found among clients' and lists'
mails may be a client who is not heard. --show names those mails' files or ids.
"""

import argparse
import base64
import collections
import csv
import gzip
import json
import pathlib
import subprocess
import tarfile
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
NATURES = ("letter", "out_of_office", "auto_reply", "bounce", "spam")


def natures(binary: pathlib.Path, mails: list[dict]) -> list[tuple[str, str]]:
    """Each mail's id and nature."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.writelines(json.dumps(mail) + "\n" for mail in mails)
        file.flush()
        found = subprocess.run([binary, "clean", file.name, "--to", "jsonl"], check=True, stdout=subprocess.PIPE, text=True).stdout
    rows = [json.loads(line) for line in found.splitlines()]
    return [(mail["id"], row["nature"]) for mail, row in zip(mails, rows, strict=True)]


def raw(archive: pathlib.Path) -> dict[str, list[dict]]:
    sources = collections.defaultdict(list)
    with tarfile.open(archive) as tar:
        for member in tar:
            if file := tar.extractfile(member):
                name = pathlib.PurePath(member.name).stem
                raw = base64.b64encode(file.read()).decode()
                mail = {"id": name, "raw": raw, "raw_encoding": "base64", "content_type": "message/rfc822"}
                sources[name.split("-", 1)[1]].append(mail)
    return sources


def labelled(table: pathlib.Path) -> list[dict]:
    csv.field_size_limit(1 << 30)
    with gzip.open(table, "rt", encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        if not {"id", "subject", "body"} <= set(rows.fieldnames or ()):
            return []
        return [{"id": row["id"], "subject": row["subject"], "body": row["body"]} for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "target" / "release" / "poststelle")
    parser.add_argument("--show", action="store_true")
    arguments = parser.parse_args()
    sources = dict(sorted(raw(arguments.data / "raw-mail" / "messages.tar.gz").items()))
    sources |= {str(path.relative_to(arguments.data)): labelled(path) for path in sorted(arguments.data.glob("*/*.csv.gz"))}
    print("| source | mails | " + " | ".join(NATURES) + " |\n" + "|---" * (2 + len(NATURES)) + "|")
    strange = []
    for source, mails in sources.items():
        if not mails:
            continue
        found = natures(arguments.binary, mails)
        counts = collections.Counter(nature for _, nature in found)
        print(f"| {source} | {len(found)} | " + " | ".join(str(counts[nature]) for nature in NATURES) + " |")
        usual = "bounce" if source.startswith("bounces") else "letter"
        strange += [(source, mail, nature) for mail, nature in found if nature != usual]
    if arguments.show:
        print()
        for source, mail, nature in strange:
            print(f"{nature:14} {source} {mail}")


if __name__ == "__main__":
    main()
