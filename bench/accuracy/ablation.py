"""Trains on the demo's noisy mails with and without cleaning and prints macro-F1 side by side.

    python3 bench/accuracy/ablation.py --keep FOLDER [--count 3000] [--seeds 7,8,9] [--kinds linear,hybrid]
        [--profiles decode,author,request] [--binary FILE]

`poststelle sample` writes raw mails with histories, forwards, signatures, Impressum and HTML; `poststelle data split` parts them
once, still raw. Then the same recipe is trained on the same parts, `clean.profile` being the one difference: `decode` reads the
whole visible text, `author` and `request` what they keep. Figures are on the test part, which no run sees before. A run that is
in `--keep` is not made again.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
TASKS = {"business_unit": None, "queue": "business_unit", "topic": "queue"}


def recipe(data: pathlib.Path) -> str:
    lines = ["[data]"] + [f"{part} = ['{data / part}.jsonl']" for part in ("train", "validation", "test")]
    for task, parent in TASKS.items():
        lines += [f"[tasks.{task}]"] + ([f"parent = '{parent}'"] if parent else [])
    return "\n".join(lines) + "\n"


def mails(binary: pathlib.Path, keep: pathlib.Path, count: int, seed: int) -> pathlib.Path:
    """The folder of the seed's three parts."""
    folder = keep / f"mails-{count}-{seed}"
    if not (folder / "parts" / "test.jsonl").exists():
        say = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([binary, "sample", "--count", str(count), "--seed", str(seed), "--out", folder], **say)
        split = [binary, "data", "split", folder / "mails.mbox", "--labels", folder / "labels.csv", "--out", folder / "parts"]
        subprocess.run(split + ["--task", "topic", "--seed", str(seed)], **say)
    return folder / "parts"


def train(binary: pathlib.Path, folder: pathlib.Path, data: pathlib.Path, profile: str, kind: str) -> dict:
    """The test figures of one run by task."""
    if not (folder / "report.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "recipe.toml").write_text(recipe(data))
        command = [binary, "train", "--recipe", folder / "recipe.toml", "--out", folder / "bundle", "--json", "--accept-findings"]
        command += ["--set", f"clean.profile={profile}", "--set", f"model.kind={kind}"]
        run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if run.returncode:
            raise SystemExit(run.stderr.decode())
        (folder / "report.json").write_bytes(run.stdout)
    tasks = json.loads((folder / "report.json").read_text())["test"]["tasks"]
    return {task: tasks[task]["macro_f1"] for task in TASKS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=pathlib.Path, required=True, help="where mails, runs and their figures stay")
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--seeds", default="7,8,9")
    parser.add_argument("--kinds", default="linear")
    parser.add_argument("--profiles", default="decode,author,request", help="the first is what the others are compared with")
    parser.add_argument("--binary", type=pathlib.Path, help="use this build instead of making one")
    arguments = parser.parse_args()
    binary = arguments.binary
    if not binary:
        subprocess.run(["cargo", "build", "--release", "--locked", "-p", "poststelle-cli"], cwd=ROOT, check=True)
        binary = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "poststelle"
    keep = arguments.keep.resolve()
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    print(f"| model | cleaning | {' | '.join(TASKS)} | mean |\n|---|---|{'---|' * len(TASKS)}---|", flush=True)
    for kind in arguments.kinds.split(","):
        means = {}
        bare, *others = profiles = arguments.profiles.split(",")
        for profile in profiles:
            figures = []
            for seed in seeds:
                data = mails(binary, keep, arguments.count, seed)
                folder = keep / f"{kind}-{profile}-{arguments.count}-{seed}"
                figures.append(train(binary, folder, data, profile, kind))
            rows = {task: [figure[task] for figure in figures] for task in TASKS}
            rows["mean"] = [statistics.mean(figure.values()) for figure in figures]
            means[profile] = rows
            cells = [f"{statistics.mean(row):.3f} ({', '.join(f'{one:.3f}' for one in row)})" for row in rows.values()]
            print(f"| {kind} | {profile} | {' | '.join(cells)} |", flush=True)
        for profile in others:
            gains = [[one - other for one, other in zip(row, means[bare][task])] for task, row in means[profile].items()]
            cells = [f"{statistics.mean(gain):+.3f} ({', '.join(f'{one:+.3f}' for one in gain)})" for gain in gains]
            print(f"| {kind} | {profile} less {bare} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
