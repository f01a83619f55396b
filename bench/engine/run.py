"""Compares the encoder engine with ONNX Runtime and PyTorch on this machine, in one run, and prints the ratios.

    python3 bench/engine/run.py [--keep FOLDER] [--python PYTHON] [--models A,B] [--rounds 5]
                                [--sections infer,lone,train,grow] [--plot FOLDER]

Model A has the dimensions of DistilBERT-base (6 layers, 768 wide), model B those of multilingual-e5-small (12 layers, 384
wide, 250,037 word pieces); weights are random, since speed does not ask. Lengths are log-normal: median 60 tokens, 95th
percentile 250, at most 512. Rounds alternate between the engines; figures are medians. Without --python a virtual environment
with PyTorch, transformers and ONNX Runtime is made in --keep (over 4 GB); models and ONNX files stay there, too.
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

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
PACKAGES = ["torch==2.15.0", "transformers==5.24.0", "onnx==1.23.2", "onnxruntime==1.32.0", "sympy==1.14.0"]
# Multiply-adds of a token in all linear maps, and of a token pair in attention.
PER_TOKEN = {"A": 6 * 12 * 768 * 768, "B": 12 * 12 * 384 * 384}
PER_PAIR = {"A": 6 * 2 * 768, "B": 12 * 2 * 384}
MAILS = 128


def interpreter(given: str | None, keep: pathlib.Path) -> str:
    if given:
        return given
    venv = keep / "venv"
    if not (venv / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([venv / "bin" / "pip", "install", "-q", *PACKAGES], check=True)
    return str(venv / "bin" / "python")


def lengths(count: int = MAILS) -> list[int]:
    chance = random.Random(13)
    sigma = math.log(250 / 60) / 1.645
    return [max(4, min(512, round(chance.lognormvariate(math.log(60), sigma)))) for _ in range(count)]


class Bench:
    def __init__(self, python: str, keep: pathlib.Path, rounds: int) -> None:
        self.python, self.keep, self.rounds = python, keep, rounds
        cargo = ["cargo", "build", "--release", "--locked", "-p", "poststelle-kernels", "-p", "poststelle-train", "--examples"]
        subprocess.run(cargo, cwd=ROOT, check=True)
        self.examples = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "examples"
        self.mix = keep / "lengths.txt"
        self.mix.write_text(" ".join(map(str, lengths())))

    def model(self, name: str) -> pathlib.Path:
        folder = self.keep / name
        if not (folder / "int8.onnx").exists():
            folder.mkdir(parents=True, exist_ok=True)
            self.peer("prepare", folder, name)
        return folder

    def ours(self, *arguments) -> dict:
        return self.run([self.examples / "engine", *arguments])

    def peer(self, *arguments) -> dict:
        return self.run([self.python, HERE / "peer.py", *arguments])

    def run(self, command: list) -> dict:
        process = subprocess.Popen([str(one) for one in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        output, errors = process.communicate()
        if process.returncode:
            raise SystemExit(f"{command}: {errors.decode()[-2000:]}")
        return json.loads(output.decode().splitlines()[-1])

    def alternate(self, commands: dict[str, list]) -> dict[str, dict[str, float]]:
        """The medians of every figure of every command, run in turn."""
        found: dict[str, list[dict]] = {name: [] for name in commands}
        for _ in range(self.rounds):
            for name, (who, *arguments) in commands.items():
                found[name].append(who(*arguments))
        return {
            name: {key: statistics.median(one[key] for one in results) for key in results[0]}
            for name, results in found.items()
        }


def best_limit(limit: dict[str, float], precision: str) -> float:
    """The machine's fastest instructions for a precision, those in tiles among them."""
    return max(rate for name, rate in limit.items() if name.split()[0] == precision)


def table(header: list[str], rows: list[list[str]]) -> None:
    print("| " + " | ".join(header) + " |\n" + "|---" * len(header) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print(flush=True)


def infer(bench: Bench, name: str, limit: dict[str, float]) -> None:
    folder = bench.model(name)
    found = bench.alternate(
        {f"ours {precision}": [bench.ours, "infer", folder, precision, bench.mix] for precision in ("int8", "bf16", "f32")}
        | {f"ONNX Runtime {precision}": [bench.peer, "ort", folder, precision, bench.mix] for precision in ("int8", "f32")}
        | {f"PyTorch {precision}": [bench.peer, "torch", folder, precision, bench.mix] for precision in ("bf16", "f32")}
    )
    mix = lengths()
    mail = 2 * (sum(mix) * PER_TOKEN[name] + sum(n * n for n in mix) * PER_PAIR[name]) / len(mix) / 1e9
    print(f"## Model {name}: inference, mails/s and a lone text of 64 tokens\n")
    rows = []
    for engine, one in found.items():
        together = [f"{one[key]:.1f}" if key in one else "" for key in ("arrival", "sorted")]
        best = one.get("together", one.get("sorted"))
        share = mail * one["together"] / best_limit(limit, engine.split()[1]) if "together" in one else None
        rows.append([
            engine, *(together if "sorted" in one else [f"{best:.1f}", f"{best:.1f}"]), f"{one['single']:.1f}",
            f"{one['p50_ms']:.2f}", f"{one['p99_ms']:.2f}", f"{100 * share:.0f} %" if share else "",
        ])
    table(["engine", "arrival, 32", "sorted, 32", "one by one", "p50 ms", "p99 ms", "of the machine's limit"], rows)
    ours, ort, torch = found["ours int8"], found["ONNX Runtime int8"], found["PyTorch bf16"]
    print(f"- {ours['together'] / ort['sorted']:.2f} × ONNX Runtime int8, sorted batches; "
          f"{ours['together'] / max(ort['single'], ort['sorted']):.2f} × its best mode")
    print(f"- {ours['together'] / torch['sorted']:.2f} × PyTorch bf16, sorted batches; "
          f"{ours['together'] / max(torch['single'], torch['sorted']):.2f} × its best mode")
    print(f"- 64 tokens: p50 {ours['p50_ms'] / ort['p50_ms']:.2f} ×, p99 {ours['p99_ms'] / ort['p99_ms']:.2f} × ONNX Runtime int8's\n")


def lone(bench: Bench, name: str) -> None:
    """Latency while another program keeps every core busy."""
    folder = bench.model(name)
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        found = bench.alternate({
            "ours int8": [bench.ours, "lone", folder, "int8", 4],
            "ONNX Runtime int8": [bench.peer, "lone", "ort", folder, "int8", 4],
        })
    finally:
        for burner in burners:
            burner.kill()
    print(f"## Model {name}: a lone text of 64 tokens while another program loads every core\n")
    table(["engine", "p50 ms", "p99 ms"], [[who, f"{one['p50_ms']:.2f}", f"{one['p99_ms']:.2f}"] for who, one in found.items()])
    ours, ort = found["ours int8"], found["ONNX Runtime int8"]
    print(f"- p50 {ours['p50_ms'] / ort['p50_ms']:.2f} ×, p99 {ours['p99_ms'] / ort['p99_ms']:.2f} × ONNX Runtime int8's\n")


def train(bench: Bench, name: str) -> None:
    folder = bench.model(name)
    found = bench.alternate({
        "ours bf16": [bench.ours, "train", folder, "bf16", bench.mix, 8],
        "PyTorch bf16, random order": [bench.peer, "train", folder, "bf16", bench.mix, 8, "random"],
        "PyTorch bf16, grouped by length": [bench.peer, "train", folder, "bf16", bench.mix, 8, "grouped"],
    })
    print(f"## Model {name}: training, batches of 8, every parameter learns\n")
    ours = found["ours bf16"]
    rows = []
    for who, one in found.items():
        rows.append([who, f"{one['samples_per_s']:.2f}", f"{ours['samples_per_s'] / one['samples_per_s']:.2f} ×",
                     f"{one['peak_mb']:.0f}", f"{ours['peak_mb'] / one['peak_mb']:.2f} ×"])
    table(["engine", "samples/s", "ours is", "peak MB", "ours is"], rows)


def grow(bench: Bench, name: str, plots: pathlib.Path | None) -> None:
    folder = bench.model(name)
    print(f"## Model {name}: tokens/s, int8\n")
    curves: dict[str, list] = {}
    for threads in range(1, (os.cpu_count() or 1) + 1):
        os.environ["RAYON_NUM_THREADS"] = str(threads)
        found = bench.ours("grow", folder, "int8")
        for key, points in found.items():
            curves.setdefault(key, []).append((threads, points))
    del os.environ["RAYON_NUM_THREADS"]
    for key, what in (("by_batch_tokens", "tokens in the batch, texts of 64"), ("by_length", "tokens of a text, 8,192 in the batch")):
        lines = curves[key]
        table([what, *(f"{x}" for x, _ in lines[0][1])],
              [[f"{threads} threads" if threads > 1 else "1 thread", *(f"{y:,}" for _, y in points)] for threads, points in lines])
        if plots:
            plots.mkdir(parents=True, exist_ok=True)
            (plots / f"{name}-{key}.svg").write_text(plot(f"Model {name}, int8: tokens/s by {what}", lines))


def plot(title: str, lines: list) -> str:
    """A small line chart, both axes from what is there; the horizontal one logarithmic."""
    xs = [x for _, points in lines for x, _ in points]
    top = max(y for _, points in lines for _, y in points) * 1.1
    left, right = math.log2(min(xs)), math.log2(max(xs))
    at = lambda x, y: (60 + 500 * (math.log2(x) - left) / (right - left), 270 - 230 * y / top)
    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 310" font-family="sans-serif" font-size="11">',
           '<rect width="640" height="310" fill="#fff"/>', f'<text x="60" y="20" font-size="13">{title}</text>']
    for part in range(5):
        y = top * part / 4
        out.append(f'<path d="M60 {at(xs[0], y)[1]:.1f}H560" stroke="#ddd"/>'
                   f'<text x="54" y="{at(xs[0], y)[1] + 4:.1f}" text-anchor="end">{y / 1000:.0f}k</text>')
    for x in sorted(set(xs)):
        out.append(f'<text x="{at(x, 0)[0]:.1f}" y="288" text-anchor="middle">{x}</text>')
    for (threads, points), colour in zip(lines, ["#1f6feb", "#d1242f", "#1a7f37", "#9a6700"] * 16):
        out.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="'
                   + " ".join("%.1f,%.1f" % at(x, y) for x, y in points) + '"/>')
        x, y = at(*points[-1])
        out.append(f'<text x="{x + 6:.1f}" y="{y + 4:.1f}" fill="{colour}">{threads} thread{"s" * (threads > 1)}</text>')
    return "\n".join(out + ["</svg>\n"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=pathlib.Path, default=pathlib.Path.home() / ".cache" / "poststelle-bench")
    parser.add_argument("--python", help="an interpreter with torch, transformers, onnx and onnxruntime")
    parser.add_argument("--models", default="A,B")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sections", default="infer,lone,train,grow")
    parser.add_argument("--plot", type=pathlib.Path, help="write the curves of `grow` here")
    arguments = parser.parse_args()
    arguments.keep.mkdir(parents=True, exist_ok=True)
    bench = Bench(interpreter(arguments.python, arguments.keep), arguments.keep, arguments.rounds)
    limit = bench.run([bench.examples / "limit"])
    print("The machine's limit, GFLOP/s: " + ", ".join(f"{key} {value}" for key, value in limit.items()) + "\n")
    sections = arguments.sections.split(",")
    for name in arguments.models.split(","):
        if "infer" in sections:
            infer(bench, name, limit)
        if "lone" in sections:
            lone(bench, name)
        if "train" in sections:
            train(bench, name)
        if "grow" in sections:
            grow(bench, name, arguments.plot)


if __name__ == "__main__":
    main()
