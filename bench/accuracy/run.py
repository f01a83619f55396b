"""Trains every kind of model on the public datasets and prints macro-F1, time and memory as a table.

    python3 bench/accuracy/run.py --data FOLDER --keep FOLDER [--datasets de52,…] [--kinds linear,single,hybrid] [--only-print]

`--data` holds the datasets in the layout of `DATASETS`. Each run is `poststelle train --recipe … --json` with the
defaults and what `DATASETS` says. The multi-task encoder is the hybrid's encoder answering alone: both are one training.
The figures of each run stay in `--keep`, as do the bundles; a run that is there is not made again.
"""

import argparse
import json
import os
import pathlib
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Files, tasks with their parents, where the figures are read, what differs from the defaults, and what else differs for
# single-task encoders: on two datasets each of them gets its share of the multi-task encoder's passes, so that training
# them all costs no more than the one.
DATASETS = {
    "de52": {
        "train": "tickets/de52_train.csv.gz", "validation": "tickets/de52_validation.csv.gz", "on": "validation",
        "tasks": {"business_unit": None, "queue": "business_unit", "priority": None}, "set": [],
        "single": ["train.epochs=2"],
    },
    "massive": {
        "train": "massive/de-DE_train.csv.gz", "validation": "massive/de-DE_validation.csv.gz", "on": "validation",
        "tasks": {"scenario": None, "intent": None}, "set": ["train.epochs=3", "train.batch=32"], "single": ["train.epochs=1"],
    },
    "banking77": {
        "train": "banking77/train.csv.gz", "validation": "banking77/validation.csv.gz", "test": "banking77/test.csv.gz",
        "on": "test", "tasks": {"category": None}, "set": ["train.epochs=4", "train.batch=32"],
    },
    "cfpb": {
        "train": "cfpb-complaints/train.csv.gz", "validation": "cfpb-complaints/validation.csv.gz",
        "test": "cfpb-complaints/test.csv.gz", "on": "test",
        "tasks": {"product": None, "sub_product": None, "issue": None}, "set": ["train.epochs=1", "model.max_tokens=128"],
    },
}

KINDS = {
    "linear": ["model.kind=linear"],
    "single": ["model.kind=encoder", "model.sharing=single-task"],
    "hybrid": ["model.kind=hybrid"],
}


def recipe(folder: pathlib.Path, about: dict) -> str:
    lines = ["[data]"]
    lines += [f"{part} = ['{folder / about[part]}']" for part in ("train", "validation", "test") if part in about]
    for task, parent in about["tasks"].items():
        lines.append(f"[tasks.{task}]")
        lines += [f"parent = '{parent}'"] if parent else []
    return "\n".join(lines) + "\n"


def train(binary: pathlib.Path, folder: pathlib.Path, text: str, settings: list[str]) -> None:
    """Trains into `folder` and leaves `result.json` there."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.toml").write_text(text)
    command = [binary, "train", "--recipe", folder / "recipe.toml", "--out", folder / "bundle", "--json", "--accept-findings"]
    for one in settings:
        command += ["--set", one]
    start = time.monotonic()
    with open(folder / "output.json", "wb") as output, open(folder / "log", "wb") as log:
        process = subprocess.Popen(command, stdout=output, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit((folder / "log").read_text())
    report = json.loads((folder / "output.json").read_text())
    result = {"seconds": time.monotonic() - start, "peak_mb": usage.ru_maxrss / 1024, "report": report}
    (folder / "result.json").write_text(json.dumps(result))


def rows(name: str, kind: str, result: dict) -> list[str]:
    """The table's rows of one run."""
    about = DATASETS[name]

    def row(model: str, report: dict) -> str:
        tasks = report[about["on"]]["tasks"]
        scores = [tasks[task]["macro_f1"] for task in about["tasks"]]
        figures = ", ".join(f"{task} {score:.3f}" for task, score in zip(about["tasks"], scores))
        mean = sum(scores) / len(scores)
        return f"| {name} | {model} | {figures} | {mean:.3f} | {result['seconds']:.0f} | {result['peak_mb']:.0f} |"

    report = result["report"]
    if kind == "single":
        return [row(f"{len(about['tasks'])} single-task encoders", report)]
    if kind == "hybrid":
        model = "multi-task encoder" if len(about["tasks"]) > 1 else "single-task encoder"
        return [row(f"{model} (the hybrid's)", report["alone"]["encoder"]), row("hybrid", report)]
    return [row(kind, report)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--keep", type=pathlib.Path, required=True, help="where runs and their figures stay")
    parser.add_argument("--datasets", default=",".join(DATASETS))
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--set", action="append", default=[], help="a further override of the recipe")
    parser.add_argument("--binary", type=pathlib.Path, help="use this build instead of making one")
    parser.add_argument("--only-print", action="store_true", help="print what is there, train nothing")
    arguments = parser.parse_args()
    binary = arguments.binary
    if not binary and not arguments.only_print:
        subprocess.run(["cargo", "build", "--release", "--locked", "-p", "poststelle-cli"], cwd=ROOT, check=True)
        binary = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "poststelle"
    print("| dataset | model | macro-F1 | mean | seconds | peak memory, MB |\n|---|---|---|---|---|---|", flush=True)
    for name in arguments.datasets.split(","):
        about = DATASETS[name]
        for kind in arguments.kinds.split(","):
            if kind == "single" and len(about["tasks"]) == 1:
                continue  # the hybrid's encoder is one
            folder = arguments.keep / f"{name}-{kind}"
            if not (folder / "result.json").exists():
                if arguments.only_print:
                    continue
                settings = KINDS[kind] + about["set"] + about.get(kind, []) + arguments.set
                train(binary, folder, recipe(arguments.data.resolve(), about), settings)
            for row in rows(name, kind, json.loads((folder / "result.json").read_text())):
                print(row, flush=True)


if __name__ == "__main__":
    main()
