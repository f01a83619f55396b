"""The peers of `run.py`: PyTorch with transformers, and ONNX Runtime. Each mode prints one JSON object.

    peer.py prepare FOLDER A|B                    a model of these dimensions, random weights, and its ONNX files
    peer.py ort FOLDER f32|int8 LENGTHS           mails/s in arrival order, sorted and one by one; a lone text
    peer.py torch FOLDER f32|bf16 LENGTHS         the same
    peer.py lone ort|torch FOLDER PRECISION SECONDS
    peer.py train FOLDER f32|bf16 LENGTHS BATCH random|grouped

Texts have the ids of `crates/train/examples/engine.rs`. ONNX: exported by PyTorch, fused by ONNX Runtime's optimizer for
transformers, int8 by its dynamic quantisation per channel.
"""

import json
import pathlib
import random
import resource
import sys
import time

LONE = 64


def token(position: int) -> int:
    return 1000 + position * 7919 % 20_000


def configuration(model: str):
    import transformers

    if model == "A":
        return transformers.DistilBertConfig(vocab_size=31_102)
    return transformers.BertConfig(
        vocab_size=250_037, hidden_size=384, num_hidden_layers=12, num_attention_heads=12, intermediate_size=1536
    )


def prepare(folder: pathlib.Path, model: str) -> None:
    import onnx
    import torch
    import transformers
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.transformers import optimizer

    torch.manual_seed(0)
    config = configuration(model)
    kind = transformers.DistilBertModel if model == "A" else transformers.BertModel
    extra = {} if model == "A" else {"add_pooling_layer": False}
    network = kind(config, **extra).eval()
    network.save_pretrained(folder)
    network = kind.from_pretrained(folder, attn_implementation="eager", **extra).eval()

    class Hidden(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, ids, mask):
            return self.network(input_ids=ids, attention_mask=mask).last_hidden_state

    ids = torch.ones(2, 8, dtype=torch.long)
    axes = {0: "texts", 1: "tokens"}
    torch.onnx.export(
        Hidden(), (ids, ids), folder / "plain.onnx", input_names=["input_ids", "attention_mask"], output_names=["hidden"],
        dynamic_axes={"input_ids": axes, "attention_mask": axes, "hidden": axes}, opset_version=17, dynamo=False,
    )
    heads, hidden = (config.n_heads, config.dim) if model == "A" else (config.num_attention_heads, config.hidden_size)
    fused = optimizer.optimize_model(str(folder / "plain.onnx"), model_type="bert", num_heads=heads, hidden_size=hidden, opt_level=1)
    fused.save_model_to_file(str(folder / "f32.onnx"))
    quantize_dynamic(
        folder / "f32.onnx", folder / "int8.onnx", per_channel=True, weight_type=QuantType.QInt8,
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
    )
    counts = {}
    for node in fused.model.graph.node:
        counts[node.op_type] = counts.get(node.op_type, 0) + 1
    print(json.dumps({"fused": counts}))


def padded(batch: list[int]):
    longest = max(batch)
    ids = [[token(i) if i < n else 1 for i in range(longest)] for n in batch]
    mask = [[int(i < n) for i in range(longest)] for n in batch]
    return ids, mask


def ort_embed(folder: pathlib.Path, precision: str):
    import numpy
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(str(folder / f"{precision}.onnx"), options, providers=["CPUExecutionProvider"])

    def embed(batch):
        ids, mask = (numpy.array(x, dtype=numpy.int64) for x in padded(batch))
        (hidden,) = session.run(["hidden"], {"input_ids": ids, "attention_mask": mask})
        return (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)

    return embed


def torch_model(folder: pathlib.Path):
    import torch
    import transformers

    torch.set_num_threads(2)
    extra = {} if "distilbert" in (folder / "config.json").read_text() else {"add_pooling_layer": False}
    return transformers.AutoModel.from_pretrained(folder, **extra)


def torch_embed(folder: pathlib.Path, precision: str):
    import torch

    model = torch_model(folder).eval()

    def embed(batch):
        ids, mask = (torch.tensor(x) for x in padded(batch))
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
            return (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)

    return embed


def lone(embed, seconds: float) -> dict[str, float]:
    embed([LONE])
    times, begun = [], time.perf_counter()
    while time.perf_counter() - begun < seconds:
        start = time.perf_counter()
        embed([LONE])
        times.append(1e3 * (time.perf_counter() - start))
    times.sort()
    return {"p50_ms": times[len(times) // 2], "p99_ms": times[len(times) * 99 // 100]}


def infer(embed, lengths: list[int]) -> dict[str, float]:
    embed(lengths[:2])
    result = {}
    for name, order, size in (("arrival", lengths, 32), ("sorted", sorted(lengths), 32), ("single", lengths, 1)):
        start = time.perf_counter()
        for at in range(0, len(order), size):
            embed(order[at : at + size])
        result[name] = len(order) / (time.perf_counter() - start)
    return result | lone(embed, 2)


def train(folder: pathlib.Path, precision: str, lengths: list[int], size: int, order: str) -> dict[str, float]:
    """One epoch with the settings transformers' Trainer has by default: AdamW over everything, clipped at 1, dropout 0.1."""
    import torch

    torch.manual_seed(0)
    model = torch_model(folder).train()
    head = torch.nn.Linear(next(model.parameters()).shape[1], 10)
    learning = [*model.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(learning, lr=5e-5)
    chance = random.Random(1)
    rows = list(range(len(lengths)))
    if order == "grouped":
        rows.sort(key=lambda row: lengths[row])
    else:
        chance.shuffle(rows)
    batches = [rows[at : at + size] for at in range(0, len(rows), size)]
    chance.shuffle(batches)
    samples, begun = 0, time.perf_counter()
    for n, batch in enumerate(batches):
        ids, mask = (torch.tensor(x) for x in padded([lengths[row] for row in batch]))
        gold = torch.tensor([row % 10 for row in batch])
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
            pooled = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
            loss = torch.nn.functional.cross_entropy(head(pooled), gold)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        if n == 0:
            begun = time.perf_counter()
        else:
            samples += len(batch)
    return {"samples_per_s": samples / (time.perf_counter() - begun)}


def main() -> None:
    match sys.argv[1:]:
        case ["prepare", folder, model]:
            return prepare(pathlib.Path(folder), model)
        case [("ort" | "torch") as engine, folder, precision, lengths]:
            embed = {"ort": ort_embed, "torch": torch_embed}[engine](pathlib.Path(folder), precision)
            result = infer(embed, [int(n) for n in open(lengths).read().split()])
        case ["lone", engine, folder, precision, seconds]:
            embed = {"ort": ort_embed, "torch": torch_embed}[engine](pathlib.Path(folder), precision)
            result = lone(embed, float(seconds))
        case ["train", folder, precision, lengths, size, order]:
            lengths = [int(n) for n in open(lengths).read().split()]
            result = train(pathlib.Path(folder), precision, lengths, int(size), order)
        case _:
            raise SystemExit(__doc__)
    result["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(result))


if __name__ == "__main__":
    main()
