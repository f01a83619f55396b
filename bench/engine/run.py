"""Compares the encoder engine with PyTorch on this machine, in one run, and prints the ratios.

    python3 bench/engine/run.py [--rounds 3] [--python PYTHON]

Model: multilingual-e5-small. Training: batch of 16 × 128 tokens, dropout 0.1, word-piece table frozen. Inference: 128 mails
of log-normal length (median 60 tokens, 95th percentile 250, at most 512); PyTorch may choose between length-sorted batches of 32
and one by one. Rounds alternate between the two; figures are medians. Without --python a virtual environment with PyTorch and
transformers is made in the user's cache folder (over 4 GB).
"""

import argparse
import json
import math
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent


def python(given: str | None) -> str:
    if given:
        return given
    venv = pathlib.Path.home() / ".cache" / "poststelle-bench" / "venv"
    if not (venv / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([venv / "bin" / "pip", "install", "-q", "torch", "transformers"], check=True)
    return str(venv / "bin" / "python")


def lengths() -> list[int]:
    chance = random.Random(13)
    sigma = math.log(250 / 60) / 1.645
    return [max(4, min(512, round(chance.lognormvariate(math.log(60), sigma)))) for _ in range(128)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--python", help="an interpreter with torch and transformers")
    arguments = parser.parse_args()
    peer = python(arguments.python)
    cargo = ["cargo", "build", "--release", "--locked", "-p", "poststelle-cli", "-p", "poststelle-train", "--example", "engine", "--bins"]
    subprocess.run(cargo, cwd=ROOT, check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
    pull = subprocess.run([target / "poststelle", "base", "pull", "multilingual-e5-small", "--json"], check=True, stdout=subprocess.PIPE)
    folder = json.loads(pull.stdout)["dir"]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as mix:
        mix.write(" ".join(map(str, lengths())))
        mix.flush()
        print(f"{'':28}{'ours':>10}{'PyTorch':>10}{'ratio':>8}")
        for precision in ("f32", "bf16"):
            ours, theirs = [], []
            for _ in range(arguments.rounds):
                for results, command in (
                    (ours, [target / "examples" / "engine", folder, precision, mix.name]),
                    (theirs, [peer, HERE / "peer.py", folder, precision, mix.name]),
                ):
                    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                    results.append(json.loads(run.stdout))
            for key, name, faster_is_more in (
                ("train_samples_per_s", "training, samples/s", True),
                ("mails_per_s", "inference, mails/s", True),
                ("p50_ms", "64 tokens, p50 ms", False),
            ):
                a, b = (statistics.median(result[key] for result in results) for results in (ours, theirs))
                ratio = a / b if faster_is_more else b / a
                print(f"{precision + ' ' + name:28}{a:10.2f}{b:10.2f}{ratio:7.2f}×")


if __name__ == "__main__":
    main()
