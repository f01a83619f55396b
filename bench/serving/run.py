"""Compares `poststelle serve` with servers of the same model in Python, on this machine, and prints the ratios.

    python3 bench/serving/run.py [--keep FOLDER] [--binary BINARY] [--python PYTHON] [--tei ROUTER] [--rounds 3] [--seconds 20]
                                 [--connections 1,8,64] [--mails 4000] [--servers poststelle,transformers,onnxruntime]

transformers    FastAPI and PyTorch in f32, as most people write it; `transformers-bf16` the same under autocast
onnxruntime     FastAPI and ONNX Runtime: exported by PyTorch, fused, int8 per channel
…-pool          the same computing two mails at once, each on one thread, where the others take one after the other on two
tei             text-embeddings-inference in f32, given its router with --tei

All answer from the same weights: an encoder bundle with multilingual-e5-small, trained in --keep, and its export. Only one runs at a
time; rounds alternate between them and figures are medians. wrk (Debian's package) sends one cleaned mail per request over kept-alive
connections. Without --python a virtual environment is made in --keep (over 4 GB); an old one there gets what it lacks.

labels   which share of mails each server labels as PyTorch in f32 does, before anything is measured
start    from spawning the process to its first answered mail; medians of five, files cached
load     requests/s, waiting times, processor time of the server per request, and its memory after it all
"""

import argparse
import http.client
import json
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
PACKAGES = [
    "torch==2.15.0", "transformers==5.24.0", "onnx==1.23.2", "onnxruntime==1.32.0", "sympy==1.14.0",
    "fastapi==0.165.0", "uvicorn==0.54.0", "httptools==0.9.0", "uvloop==0.23.0", "orjson==3.13.0",
]
RECIPE = """schema = "labels.toml"
[data]
train = ["mails.mbox"]
labels = "labels.csv"
split = { validation = 0.2, test = 0.1 }
[model]
kind = "encoder"
base = "multilingual-e5-small"
[train]
epochs = 4
freeze_layers = 11
"""
SERVERS = (
    "poststelle", "poststelle-f32", "transformers", "transformers-bf16", "transformers-pool", "onnxruntime", "onnxruntime-pool", "tei",
)
# No server writes a line per request.
QUIET = {"POSTSTELLE_LOG": "warn", "RUST_LOG": "warn"}
STARTS = 5
CHECKED = 200
# Mails of a block have the lengths of all mails.
BLOCK = 100
WARM_SECONDS = 3
# What was promised: at least so many times the requests/s, at most these shares of memory and start; p99 lower than any.
FASTER = {"transformers": 5, "onnxruntime": 2}
MEMORY, START = 1 / 5, 1 / 10
# Share of all cores that other programs may take. Threads that spin while they wait, as the peers' do, suffer most from company: above
# this, ratios flatter ours and nothing is called met.
OTHERS = 0.05
# How often a load is measured at most until it was left alone.
TRIES = 3


def run(*command) -> str:
    return subprocess.run([str(one) for one in command], check=True, stdout=subprocess.PIPE, text=True).stdout


def interpreter(given: str | None, keep: pathlib.Path) -> str:
    if given:
        return given
    python = keep / "venv" / "bin" / "python"
    if not python.exists():
        run(sys.executable, "-m", "venv", keep / "venv")
    have = {line.lower() for line in run(python, "-m", "pip", "freeze").splitlines()}
    if missing := [package for package in PACKAGES if package not in have]:
        run(python, "-m", "pip", "install", "-q", *missing)
    return str(python)


def built() -> pathlib.Path:
    run("cargo", "build", "--release", "--locked", "--manifest-path", ROOT / "Cargo.toml", "-p", "poststelle-cli")
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "poststelle"


def trained(binary: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """A bundle whose tasks have no hierarchy: choosing labels that agree is no part of an export, so of no peer."""
    if not (folder / "bundle").exists():
        run(binary, "sample", "--count", 2000, "--seed", 3, "--out", folder)
        schema = (folder / "labels.toml").read_text()
        (folder / "labels.toml").write_text(re.sub(r'(?m), parent = "[^"]*"|^parent = .*\n', "", schema))
        (folder / "recipe.toml").write_text(RECIPE)
        run(binary, "train", "--recipe", folder / "recipe.toml", "--out", folder / "bundle", "--accept-findings")
    return folder / "bundle"


def sampled(binary: pathlib.Path, folder: pathlib.Path, count: int) -> list[dict[str, str]]:
    """Subjects and bodies of different mails, cleaned, in blocks of like lengths. Those that cleaning would still change are left out,
    so that the peers read what ours reads."""
    if not (folder / "mails.mbox").exists():
        run(binary, "sample", "--count", count, "--seed", 11, "--out", folder)
    clean = lambda file: [json.loads(line) for line in run(binary, "clean", file, "--to", "jsonl").splitlines()]
    once = folder / "cleaned.jsonl"
    mails = [{"id": n, "subject": mail["subject"], "body": mail["text"]} for n, mail in enumerate(clean(folder / "mails.mbox"))]
    once.write_text("".join(json.dumps(mail) + "\n" for mail in mails))
    same = lambda mail, again: (mail["subject"], mail["body"]) == (again["subject"], again["text"])
    kept = [{"subject": mail["subject"], "body": mail["body"]} for mail, again in zip(mails, clean(once), strict=True) if same(mail, again)]
    print(f"{len(kept)} of {count} mails stay as they are when cleaned again\n")
    kept.sort(key=lambda mail: len(mail["body"]))
    blocks = max(1, len(kept) // BLOCK)
    chance, mixed = random.Random(13), []
    for at in range(blocks):
        block = kept[at::blocks]
        chance.shuffle(block)
        mixed += block
    return mixed


class Company:
    """What other programs take of all cores while a block runs: all that was taken, less ours and our children's."""

    def __init__(self, server: "Server | None" = None) -> None:
        self.server = server

    def taken(self) -> tuple[float, float]:
        ours = sum(one.ru_utime + one.ru_stime for one in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))
        ours += self.server.processor() / 1e3 if self.server else 0
        user, nice, system, _, _, irq, softirq, steal, *_ = map(int, pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:])
        return time.perf_counter(), (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK") - ours

    def __enter__(self) -> "Company":
        self.begun, self.before = self.taken()
        return self

    def __exit__(self, *_) -> None:
        ended, after = self.taken()
        self.share = max(0.0, after - self.before) / (ended - self.begun) / (os.cpu_count() or 1)


class Service:
    """How a server is started and asked."""

    def __init__(self, command: list, path: str, mails: list[dict], bodies: pathlib.Path, of_answer) -> None:
        self.command, self.path, self.mails, self.bodies, self.of_answer = command, path, mails, bodies, of_answer
        bodies.write_text("".join(json.dumps(mail, ensure_ascii=False) + "\n" for mail in mails))

    def body(self, n: int) -> bytes:
        return json.dumps(self.mails[n], ensure_ascii=False).encode()


class Server:
    """A running server; leaving the block ends it."""

    def __init__(self, service: Service) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.service = service
        command = [str(one).replace("PORT", str(self.port)) for one in service.command]
        self.log = service.bodies.with_suffix(".log").open("wb")
        self.spawned = time.perf_counter()
        # A session of its own, so that all of it can be ended.
        self.process = subprocess.Popen(
            command, stdout=self.log, stderr=self.log, env=os.environ | QUIET, start_new_session=True
        )

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.log.close()

    def first(self) -> float:
        """Seconds from spawning to the first answered mail."""
        while time.perf_counter() - self.spawned < 120:
            if self.process.poll() is not None:
                raise SystemExit(f"{self.service.command} ended with {self.process.returncode}; see {self.log.name}")
            try:
                self.ask([0])
                return time.perf_counter() - self.spawned
            except ConnectionError:
                time.sleep(0.001)
        raise SystemExit(f"{self.service.command} did not answer within 120 s; see {self.log.name}")

    def ask(self, which) -> list:
        """The answers to these mails, one by one over one connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        answers = []
        for n in which:
            connection.request("POST", self.service.path, self.service.body(n), {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = response.read()
            if response.status != 200:
                raise SystemExit(f"{self.service.command} answered {response.status}: {answer[:500]!r}")
            answers.append(self.service.of_answer(json.loads(answer)))
        connection.close()
        return answers

    def processes(self) -> list[int]:
        """This process and all below it."""
        below: dict[int, list[int]] = {}
        for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(stat.read_text().rsplit(")", 1)[1].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            below.setdefault(parent, []).append(int(stat.parent.name))
        all = [self.process.pid]
        for pid in all:
            all += below.get(pid, [])
        return all

    def memory(self) -> dict[str, float]:
        """Megabytes, over all its processes."""
        found = {"RSS": 0.0, "PSS": 0.0}
        for pid in self.processes():
            text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
            for name in found:
                found[name] += int(re.search(rf"(?mi)^{name}:\s+(\d+)", text)[1]) / 1024
        return found

    def processor(self) -> float:
        """Milliseconds of processor time taken so far."""
        ticks = 0
        for pid in self.processes():
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks * 1e3 / os.sysconf("SC_CLK_TCK")

    def load(self, connections: int, seconds: int, start: int) -> dict[str, float]:
        # What an earlier load left behind is done when this is answered.
        self.ask([0])
        before = self.processor()
        url = f"http://127.0.0.1:{self.port}{self.service.path}"
        # wrk counts waiting times above its timeout as failures.
        flags = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "60s"]
        with Company(self) as company:
            output = run("wrk", *flags, "-s", HERE / "load.lua", url, "--", self.service.bodies, start)
        took = self.processor() - before
        found = json.loads(output.splitlines()[-1])
        if not found["answers"]:
            raise SystemExit(f"{self.service.command} answered nothing in {seconds} s")
        wrong = found.pop("not 2xx") + found.pop("broken")
        answers = found.pop("answers")
        return {"requests/s": answers / found.pop("seconds")} | found | {
            "processor ms": took / answers, "failed": wrong, "others": company.share,
        }


def medians(results: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(one[key] for one in results) for key in results[0]}


def table(header: list[str], rows: list[list[str]]) -> None:
    print("| " + " | ".join(header) + " |\n" + "|---" * len(header) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print(flush=True)


class Bench:
    def __init__(self, arguments: argparse.Namespace) -> None:
        keep = arguments.keep / "serving"
        keep.mkdir(parents=True, exist_ok=True)
        self.arguments, self.names = arguments, arguments.servers.split(",")
        self.binary, self.python = arguments.binary or built(), interpreter(arguments.python, arguments.keep)
        self.bundle = trained(self.binary, keep / "model")
        self.layout = keep / "huggingface"
        if not self.layout.exists():
            run(self.binary, "bundle", "export", self.bundle, "--to", "huggingface", "--out", self.layout)
        if not (self.layout / "int8.onnx").exists():
            self.peer("int8", self.layout)
        self.about = json.loads((self.layout / "poststelle.json").read_text())
        self.tasks = [task["name"] for task in self.about["tasks"]]
        self.mails = sampled(self.binary, keep / f"mails-{arguments.mails}", arguments.mails)
        self.company: list[float] = []
        self.failed: dict[int, int] = {}
        self.services = {name: self.service(name, keep) for name in dict.fromkeys([*self.names, "transformers", "poststelle-f32"])}

    def peer(self, *arguments) -> None:
        run(self.python, HERE / "peer.py", *arguments)

    def service(self, name: str, keep: pathlib.Path) -> Service:
        bodies = keep / f"{name}.jsonl"
        if name == "tei":
            if not (keep / "tei" / "model.safetensors").exists():
                self.peer("tei", self.layout, keep / "tei")
            command = [self.arguments.tei, "--model-id", keep / "tei", "--hostname", "127.0.0.1", "--port", "PORT", "--dtype", "float32"]
            best = lambda answer: max(answer, key=lambda one: one["score"])["label"]
            prefix = self.about["text"]["prefix"]
            texts = ["\n".join(part for part in (mail["subject"], mail["body"]) if part) for mail in self.mails]
            mails = [{"inputs": prefix + text, "truncate": True} for text in texts]
            return Service(command, "/predict", mails, bodies, lambda answer: {self.tasks[0]: best(answer)})
        if name.startswith("poststelle"):
            command = [self.binary, "serve", self.bundle, "--port", "PORT", "--precision", "f32" if name.endswith("f32") else "int8"]
            return Service(command, "/invocations", self.mails, bodies, lambda answer: answer[0])
        engine, *flags = name.split("-")
        command = [self.python, HERE / "peer.py", "serve", engine, self.layout, "--port", "PORT", *(f"--{flag}" for flag in flags)]
        return Service(command, "/invocations", self.mails, bodies, lambda answer: answer)

    def labels(self) -> None:
        """Fails if ours in f32 is not PyTorch in f32."""
        answers = {}
        for name, service in self.services.items():
            with Server(service) as server:
                server.first()
                answers[name] = server.ask(range(min(CHECKED, len(self.mails))))
        gold = answers.pop("transformers")
        share = lambda name, task: sum(a[task] == b[task] for a, b in zip(answers[name], gold)) / len(gold)
        apart = lambda name: max(abs(a[f"{task}_confidence"] - b[f"{task}_confidence"])
                                 for a, b in zip(answers[name], gold) for task in self.tasks)
        print(f"## Labels equal to those of transformers in f32, {len(gold)} mails\n")
        rows = []
        for name in answers:
            known = [f"{100 * share(name, task):.1f} %" if task in answers[name][0] else "" for task in self.tasks]
            rows.append([name, *known, f"{apart(name):.1g}" if all(known) else ""])
        table(["server", *self.tasks, "confidences apart, at most"], rows)
        if min(share("poststelle-f32", task) for task in self.tasks) < 0.99 or apart("poststelle-f32") > 1e-2:
            raise SystemExit("ours in f32 and transformers in f32 do not answer from the same text and weights")
        whole = [name for name in answers if name != "tei"]
        if poor := [name for name in whole if min(share(name, task) for task in self.tasks) < 0.8]:
            raise SystemExit(f"{', '.join(poor)}: too many other labels")

    def start(self) -> dict[str, float]:
        found = {name: [] for name in self.names}
        with Company() as company:
            for _ in range(STARTS):
                for name in self.names:
                    with Server(self.services[name]) as server:
                        found[name].append(server.first())
        self.company.append(company.share)
        return {name: statistics.median(seconds) for name, seconds in found.items()}

    def load(self) -> tuple[dict, dict]:
        """Per number of connections and server the figures, and per server its memory."""
        counts = [int(count) for count in self.arguments.connections.split(",")]
        loads = {count: {name: [] for name in self.names} for count in counts}
        memory = {name: [] for name in self.names}
        for round in range(self.arguments.rounds):
            for name in self.names:
                with Server(self.services[name]) as server:
                    server.first()
                    server.load(8, WARM_SECONDS, 0)
                    for n, count in enumerate(counts):
                        # Each begins elsewhere in the mails, at the border of a block, and all servers at the same.
                        blocks = max(1, len(self.mails) // BLOCK)
                        part = (round * len(counts) + n) * blocks // (self.arguments.rounds * len(counts))
                        for _ in range(TRIES):
                            found = server.load(count, self.arguments.seconds, part * BLOCK)
                            self.failed[count] = self.failed.get(count, 0) + found.pop("failed")
                            if found["others"] <= OTHERS:
                                break
                        loads[count][name].append(found)
                        self.company.append(found["others"])
                    memory[name].append(server.memory())
        in_middle = lambda by_name: {name: medians(results) for name, results in by_name.items()}
        return {count: in_middle(by_name) for count, by_name in loads.items()}, in_middle(memory)

    def report(self, start: dict, loads: dict, memory: dict) -> None:
        figures = ["requests/s", "p50 ms", "p99 ms", "processor ms"]
        print(f"Other programs took {100 * statistics.median(self.company):.1f} % of all cores in the median of measurements, "
              f"{100 * max(self.company):.1f} % at most; {100 * OTHERS:.0f} % may be")
        failed = ", ".join(f"{count} at {connections} connections" for connections, count in self.failed.items())
        print(f"Requests that failed or were not answered 2xx: {failed}\n")
        print(f"## Load, {self.arguments.seconds} s each, medians of {self.arguments.rounds}\n")
        rows = []
        for count, by_name in loads.items():
            for name, one in by_name.items():
                rows.append([str(count), name, *(f"{one[key]:.1f}" for key in figures), f"{100 * one['others']:.1f} %"])
        table(["connections", "server", *figures, "others' share"], rows)
        print(f"## Memory after it, and start (median of {STARTS})\n")
        table(["server", "RSS MB", "PSS MB", "spawned to first answer, ms"],
              [[name, f"{memory[name]['RSS']:.0f}", f"{memory[name]['PSS']:.0f}", f"{1e3 * start[name]:.0f}"] for name in self.names])
        if "poststelle" not in self.names:
            return
        print("## Ours to theirs\n")
        disturbed = "disturbed" if max(self.company) > OTHERS else ""
        met = lambda yes: disturbed or ("met" if yes else "**not met**")
        rows = []
        for name in self.names:
            if name.startswith("poststelle"):
                continue
            # What was promised was promised against two servers; the others are shown.
            goal = lambda text, yes: [text, met(yes)] if name in FASTER else ["", disturbed]
            for count, by_name in loads.items():
                ratio = {key: by_name["poststelle"][key] / by_name[name][key] for key in figures}
                least = FASTER.get(name, 1)
                goals = {
                    "requests/s": goal(f"at least {least} ×", ratio["requests/s"] >= least),
                    "p99 ms": goal("lower", ratio["p99 ms"] < 1),
                    "processor ms": ["", disturbed],
                }
                rows += [[name, f"{key}, {count} connections", f"{ratio[key]:.2f} ×", *goals[key]] for key in goals]
            for kind in ("RSS", "PSS"):
                ratio = memory["poststelle"][kind] / memory[name][kind]
                rows.append([name, f"memory, {kind}", f"1/{1 / ratio:.1f}", *goal(f"at most 1/{1 / MEMORY:.0f}", ratio <= MEMORY)])
            ratio = start["poststelle"] / start[name]
            rows.append([name, "start", f"1/{1 / ratio:.1f}", *goal(f"at most 1/{1 / START:.0f}", ratio <= START)])
        table(["server", "figure", "ours is", "promised", ""], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=pathlib.Path, default=pathlib.Path.home() / ".cache" / "poststelle-bench")
    parser.add_argument("--binary", type=pathlib.Path, help="default: built here")
    parser.add_argument("--python", help="an interpreter with the packages listed in this file")
    parser.add_argument("--tei", type=pathlib.Path, help="text-embeddings-router; joins the others")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--connections", default="1,8,64")
    parser.add_argument("--mails", type=int, default=4000)
    parser.add_argument("--servers", default="poststelle,transformers,onnxruntime", help="of " + ", ".join(SERVERS))
    arguments = parser.parse_args()
    if arguments.tei and "tei" not in arguments.servers.split(","):
        arguments.servers += ",tei"
    if unknown := set(arguments.servers.split(",")) - set(SERVERS):
        parser.error(f"servers are {', '.join(SERVERS)}, not {', '.join(sorted(unknown))}")
    if "tei" in arguments.servers.split(",") and not arguments.tei:
        parser.error("tei needs --tei ROUTER")
    if not shutil.which("wrk"):
        parser.error("wrk is not here: apt-get install wrk")
    model = re.search(r"(?m)^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text())
    print(f"{os.cpu_count()} cores of {model[1] if model else 'a processor'}; load before: {os.getloadavg()[0]:.2f}\n", flush=True)
    bench = Bench(arguments)
    bench.labels()
    start = bench.start()
    loads, memory = bench.load()
    bench.report(start, loads, memory)
    if any(bench.failed.values()):
        raise SystemExit("requests failed; the figures mean nothing")
    if max(bench.company) > OTHERS:
        raise SystemExit("other programs were busy; measure again")


if __name__ == "__main__":
    main()
