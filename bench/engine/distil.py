"""Compares a student with its teacher on labelled mails: macro-F1, speed of the encoder, speed of whole answers.

    python3 bench/engine/distil.py --data FOLDER --keep FOLDER [--datasets de52,massive] [--teacher NAME=BUNDLE …]
                                   [--student NAME=BUNDLE …] [--set KEY=VALUE …] [--rounds 5] [--binary POSTSTELLE]

`--data` holds the datasets in the layout of `bench/accuracy/run.py`. A teacher or student that is not given is looked for in
`--keep` as NAME-teacher and NAME-student, and trained where it is not there: the teacher as `bench/accuracy` trains a hybrid,
the student with `train --teacher` and the same settings (`--set` adds to them). Rounds alternate between both; figures are
medians. The encoder's speed is that of `engine infer` in int8 on the lengths of `run.py`; whole answers are `poststelle
predict` on the validation mails, many times over, less what it takes to start.
"""

import argparse
import csv
import gzip
import importlib.util
import json
import os
import pathlib
import statistics
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


def load(name: str, path: pathlib.Path):
    """A bench beside this one as a module; both are called `run.py`."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


accuracy = load("accuracy", ROOT / "bench" / "accuracy" / "run.py")
engine = load("engine", ROOT / "bench" / "engine" / "run.py")

# Mails of a timed `predict`: enough that starting does not show.
ANSWERED = 4000


def run(command: list) -> str:
    done = subprocess.run([str(one) for one in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode:
        raise SystemExit(f"{command}: {done.stderr.decode()[-2000:]}")
    return done.stdout.decode()


def bundle(name: str, role: str, given: dict[str, pathlib.Path], arguments, binary: pathlib.Path, teacher=None) -> pathlib.Path:
    """A bundle that is given, kept, or trained now."""
    if name in given:
        return given[name]
    folder = arguments.keep / f"{name}-{role}"
    if not (folder / "bundle").exists():
        about = accuracy.DATASETS[name]
        settings = ["model.kind=hybrid", *about["set"]]
        if teacher:
            settings += [f"distil.teacher={teacher.resolve()}", *arguments.set]
        accuracy.train(binary, folder, accuracy.recipe(arguments.data.resolve(), about), settings)
    return folder / "bundle"


def scores(binary: pathlib.Path, model: pathlib.Path, about: dict, data: pathlib.Path, *more: str) -> dict[str, float]:
    found = json.loads(run([binary, "evaluate", model, "--data", data / about[about["on"]], "--json", *more]))
    tasks = {task: found["tasks"][task]["macro_f1"] for task in about["tasks"]}
    return tasks | {"mean": sum(tasks.values()) / len(tasks)}


def mails(path: pathlib.Path, count: int, to: pathlib.Path) -> pathlib.Path:
    """The mails of a table, again and again up to `count`, without labels."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with open(to, "w", encoding="utf-8") as file:
        for n in range(count):
            row = rows[n % len(rows)]
            file.write(json.dumps({"id": str(n), "subject": row["subject"], "body": row["body"]}) + "\n")
    return to


def seconds(command: list) -> float:
    start = time.monotonic()
    run(command)
    return time.monotonic() - start


def named(values: list[str]) -> dict[str, pathlib.Path]:
    return {name: pathlib.Path(path) for name, _, path in (value.partition("=") for value in values)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--keep", type=pathlib.Path, required=True, help="where runs and their figures stay")
    parser.add_argument("--datasets", default="de52,massive")
    parser.add_argument("--teacher", action="append", default=[], metavar="NAME=BUNDLE")
    parser.add_argument("--student", action="append", default=[], metavar="NAME=BUNDLE")
    parser.add_argument("--set", action="append", default=[], help="a further override of a student's recipe")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--binary", type=pathlib.Path, help="use this build of `poststelle` instead of making one")
    parser.add_argument("--engine", type=pathlib.Path, help="use this build of the example `engine`")
    arguments = parser.parse_args()
    arguments.keep.mkdir(parents=True, exist_ok=True)
    built = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
    binary, timer = arguments.binary or built / "poststelle", arguments.engine or built / "examples" / "engine"
    if not arguments.binary:
        subprocess.run(["cargo", "build", "--release", "--locked", "-p", "poststelle-cli"], cwd=ROOT, check=True)
    if not arguments.engine:
        command = ["cargo", "build", "--release", "--locked", "-p", "poststelle-train", "--example", "engine"]
        subprocess.run(command, cwd=ROOT, check=True)
    mix = arguments.keep / "lengths.txt"
    mix.write_text(" ".join(map(str, engine.lengths())))
    nothing = arguments.keep / "nothing.jsonl"
    nothing.write_text("")
    for name in arguments.datasets.split(","):
        about = accuracy.DATASETS[name]
        teacher = bundle(name, "teacher", named(arguments.teacher), arguments, binary)
        student = bundle(name, "student", named(arguments.student), arguments, binary, teacher)
        pair = {"teacher": teacher, "student": student}
        asked = mails(arguments.data / about[about["on"]], ANSWERED, arguments.keep / f"{name}-asked.jsonl")
        speeds: dict[str, dict[str, list[float]]] = {who: {"encoder": [], "answers": []} for who in pair}
        for _ in range(arguments.rounds):
            for who, model in pair.items():
                timed = json.loads(run([timer, "infer", model, "int8", mix]).splitlines()[-1])
                speeds[who]["encoder"].append(timed["together"])
                start = seconds([binary, "predict", model, nothing])
                speeds[who]["answers"].append(ANSWERED / (seconds([binary, "predict", model, asked]) - start))
        print(f"## {name}, measured on {about['on']}\n")
        rows, means = [], {}
        for who, model in pair.items():
            found = {"hybrid": scores(binary, model, about, arguments.data)}
            try:
                found["encoder alone"] = scores(binary, model, about, arguments.data, "--alone", "encoder")
            except SystemExit:
                found = {"encoder": found["hybrid"]}  # `--alone` is for hybrids
            means[who] = found
            medians = {key: statistics.median(values) for key, values in speeds[who].items()}
            for kind, one in found.items():
                first = kind == next(iter(found))
                timed = [f"{medians['encoder']:.1f}", f"{medians['answers']:.1f}"] if first else ["", ""]
                rows.append([who, kind, *(f"{value:.3f}" for value in one.values()), *timed])
        header = ["", "model", *about["tasks"], "mean macro-F1", "encoder, mails/s", "whole answers, mails/s"]
        engine.table(header, rows)
        for kind in means["teacher"].keys() & means["student"].keys():
            lost = 100 * (means["teacher"][kind]["mean"] - means["student"][kind]["mean"])
            print(f"- {kind}: the student loses {lost:.2f} points of mean macro-F1")
        for what, key in (("encoder", "encoder"), ("whole answers", "answers")):
            ratios = [b / a for a, b in zip(speeds["teacher"][key], speeds["student"][key])]
            print(f"- {what}: {statistics.median(ratios):.2f} × the teacher's mails/s")
        print(flush=True)


if __name__ == "__main__":
    main()
