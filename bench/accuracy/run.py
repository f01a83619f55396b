"""Trains every kind of model on the public datasets and prints macro-F1, time and memory as a table.

    python3 bench/accuracy/run.py --data FOLDER [--datasets de52,massive,banking77,cfpb] [--kinds linear,single,multi,hybrid]

FOLDER holds the datasets in the layout of `DATASETS`. Each run is `poststelle train --recipe … --json` with the defaults and what
`DATASETS` says; README.md says which choices looked at the evaluation files.
"""

import argparse
import json
import os
import pathlib
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Files, tasks with their parents, and where the figures are read.
DATASETS = {
    "de52": {
        "train": "tickets/de52_train.csv.gz", "validation": "tickets/de52_validation.csv.gz", "on": "validation",
        "tasks": {"business_unit": None, "queue": "business_unit", "priority": None}, "set": [],
    },
    "massive": {
        "train": "massive/de-DE_train.csv.gz", "validation": "massive/de-DE_validation.csv.gz", "on": "validation",
        "tasks": {"scenario": None, "intent": None}, "set": ["model.max_tokens=64"],
    },
    "banking77": {
        "train": "banking77/train.csv.gz", "validation": "banking77/validation.csv.gz", "test": "banking77/test.csv.gz",
        "on": "test", "tasks": {"category": None}, "set": ["model.max_tokens=128"],
    },
    "cfpb": {
        "train": "cfpb-complaints/train.csv.gz", "validation": "cfpb-complaints/validation.csv.gz",
        "test": "cfpb-complaints/test.csv.gz", "on": "test",
        "tasks": {"product": None, "sub_product": None, "issue": None}, "set": [],
    },
}

KINDS = {
    "linear": ["model.kind=linear"],
    "single": ["model.kind=encoder", "model.sharing=single-task"],
    "multi": ["model.kind=encoder", "model.sharing=multi-task"],
    "hybrid": ["model.kind=hybrid"],
}


def recipe(folder: pathlib.Path, about: dict) -> str:
    lines = ["[data]"]
    lines += [f"{part} = ['{folder / about[part]}']" for part in ("train", "validation", "test") if part in about]
    for task, parent in about["tasks"].items():
        lines.append(f"[tasks.{task}]")
        lines += [f"parent = '{parent}'"] if parent else []
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--datasets", default=",".join(DATASETS))
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--set", action="append", default=[], help="a further override of the recipe")
    parser.add_argument("--binary", type=pathlib.Path, help="use this build instead of making one")
    arguments = parser.parse_args()
    binary = arguments.binary
    if not binary:
        subprocess.run(["cargo", "build", "--release", "--locked", "-p", "poststelle-cli"], cwd=ROOT, check=True)
        binary = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "poststelle"
    print("| dataset | model | macro-F1 | seconds | peak memory, MB |\n|---|---|---|---|---|")
    for name in arguments.datasets.split(","):
        about = DATASETS[name]
        for kind in arguments.kinds.split(","):
            with tempfile.TemporaryDirectory() as folder:
                path = pathlib.Path(folder)
                (path / "recipe.toml").write_text(recipe(arguments.data.resolve(), about))
                command = [binary, "train", "--recipe", path / "recipe.toml", "--out", path / "bundle", "--json", "--accept-findings"]
                for one in KINDS[kind] + about["set"] + arguments.set:
                    command += ["--set", one]
                start = time.monotonic()
                process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                output, errors = process.stdout.read(), process.stderr.read()
                _, status, usage = os.wait4(process.pid, 0)
                if status:
                    raise SystemExit(errors.decode())
                seconds = time.monotonic() - start
                tasks = json.loads(output)[about["on"]]["tasks"]
                figures = ", ".join(f"{task} {tasks[task]['macro_f1']:.3f}" for task in about["tasks"] if task in tasks)
                print(f"| {name} | {kind} | {figures} | {seconds:.0f} | {usage.ru_maxrss / 1024:.0f} |", flush=True)


if __name__ == "__main__":
    main()
