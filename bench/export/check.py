"""Exports bundles and compares what onnxruntime and transformers answer with what we answer in f32.

    python3 bench/export/check.py --keep FOLDER [--mails 120] [--python PYTHON] [--only-tiny]

Trains small bundles on made-up mail: each tiny model of the tests with each pooling, one with an encoder per task, and a hybrid of
multilingual-e5-small. Prints the largest difference over all mails and labels, in probabilities, and fails above 1e-4. Without
--python a virtual environment with onnxruntime, torch and transformers is made in --keep (over 4 GB).
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
LIMIT = 1e-4
COLUMNS = ("onnx logits", "onnx", "onnx, one task", "transformers", "pipeline")

TINY = [
    (f"tiny {base}, {pooling}", [f"model.base={ROOT / 'fixtures/tiny-model' / base}", f"model.pooling={pooling}"])
    for base in ("bert", "distilbert", "xlm-roberta")
    for pooling in ("mean", "cls")
]
SINGLE = ("tiny bert, an encoder per task", TINY[0][1] + ["model.sharing=single-task"])
TINY_SETTINGS = ["model.kind=encoder", "model.max_tokens=48", "train.epochs=3", "train.learning_rate=0.002"]
E5 = ("multilingual-e5-small, hybrid", ["model.kind=hybrid", "model.base=multilingual-e5-small", "train.epochs=1"])


def python(keep: pathlib.Path, given: str | None) -> str:
    if given:
        return given
    venv = keep / "venv"
    if not (venv / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([venv / "bin" / "pip", "install", "-q", "torch", "transformers", "onnxruntime", "numpy"], check=True)
    return str(venv / "bin" / "python")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=pathlib.Path, required=True, help="where mails, bundles, exports and the environment stay")
    parser.add_argument("--mails", type=int, default=120)
    parser.add_argument("--python", help="an interpreter with onnxruntime, torch and transformers")
    parser.add_argument("--only-tiny", action="store_true", help="leave out the hybrid")
    arguments = parser.parse_args()
    keep = arguments.keep.resolve()
    keep.mkdir(parents=True, exist_ok=True)
    peer = python(keep, arguments.python)
    cargo = ["cargo", "build", "--release", "--locked", "-p", "poststelle-cli", "-p", "poststelle-nn", "--example", "probabilities", "--bins"]
    subprocess.run(cargo, cwd=ROOT, check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
    program = target / "poststelle"

    sample = keep / f"sample-{arguments.mails}"
    if not sample.exists():
        subprocess.run([program, "sample", "--count", str(arguments.mails), "--out", sample], check=True, stdout=subprocess.DEVNULL)
    (sample / "recipe.toml").write_text(
        "schema = 'labels.toml'\n[data]\ntrain = ['mails.mbox']\nlabels = 'labels.csv'\nsplit = {}\n"
    )
    cleaned = subprocess.run([program, "clean", sample / "mails.mbox", "--to", "jsonl"], check=True, stdout=subprocess.PIPE).stdout
    mails = [json.loads(line) for line in cleaned.splitlines()]
    texts = [f"{mail['subject']}\n{mail['text']}" for mail in mails]
    # What tokenizers fall over: nothing, special tokens spelled out, more than the limit, other scripts.
    # Not `<pad>`: where a vocabulary has it as a piece, transformers' XLM-RoBERTa gives that token no position of its own, and
    # the one mail differs by up to 1e-2.
    texts += ["", "[SEP] </s> <s> [CLS]", "Rechnung " * 600, "Ünïcode, 請求書, счёт 🙂"]
    (keep / "texts.jsonl").write_text("".join(json.dumps(text) + "\n" for text in texts))

    cases = [(name, settings + TINY_SETTINGS) for name, settings in [*TINY, SINGLE]] + ([] if arguments.only_tiny else [E5])
    print(f"{len(texts)} texts; the largest difference of logits, then of probabilities")
    print(f"{'':34}{'':14}" + "".join(f"{column:>17}" for column in COLUMNS))
    worst = 0.0
    for name, settings in cases:
        folder = keep / name.replace(", ", "-").replace(" ", "-")
        if not (folder / "bundle").exists():
            folder.mkdir(exist_ok=True)
            command = [program, "train", "--recipe", sample / "recipe.toml", "--out", folder / "bundle", "--accept-findings"]
            for one in settings:
                command += ["--set", one]
            with open(folder / "log", "wb") as log:
                if subprocess.run(command, stderr=log, stdout=log).returncode:
                    raise SystemExit((folder / "log").read_text())
        with open(keep / "texts.jsonl") as asked, open(folder / "ours.jsonl", "w") as answered:
            subprocess.run([target / "examples" / "probabilities", folder / "bundle"], check=True, stdin=asked, stdout=answered)
        for kind in ("onnx", "huggingface"):
            subprocess.run(["rm", "-rf", folder / kind], check=True)
            export = [program, "bundle", "export", folder / "bundle", "--to", kind, "--out", folder / kind]
            subprocess.run(export, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        files = [keep / "texts.jsonl", folder / "ours.jsonl", folder / "onnx", folder / "huggingface"]
        found = json.loads(subprocess.run([peer, HERE / "peer.py", *files], check=True, stdout=subprocess.PIPE).stdout)
        for task, report in found["tasks"].items():
            print(f"{name:34}{task:14}" + "".join(f"{report[column]:17.1e}" for column in COLUMNS), flush=True)
            worst = max(worst, *(report[column] for column in COLUMNS[1:]))
        hidden = "" if found["hidden"] is None else f", AutoModel's hidden states {found['hidden']:.1e} apart"
        print(f"{'':34}texts whose tokens differ: {found['ids']}{hidden}", flush=True)
        worst = max(worst, float(found["ids"]), found["hidden"] or 0.0)
    if worst > LIMIT:
        raise SystemExit(f"apart by {worst:.1e}, at most {LIMIT:.0e} expected")


if __name__ == "__main__":
    main()
