"""The peers of `run.py`: two servers of FastAPI, and what is prepared for them from a bundle's exports.

    peer.py serve transformers HUGGINGFACE --port N [--bf16] [--pool]
    peer.py serve onnxruntime HUGGINGFACE --port N [--pool]
    peer.py int8 HUGGINGFACE                   writes int8.onnx there, for the second
    peer.py tei HUGGINGFACE OUT                a folder of the first task for text-embeddings-inference

`POST /invocations` takes `{"subject": …, "body": …}`, already cleaned, and answers every task's label and confidence. The event loop
itself computes, one mail after the other with THREADS threads; with --pool as many mails are computed at once, each by one thread.
"""

import argparse
import contextlib
import json
import os
import pathlib
import shutil

THREADS = 2

os.environ["HF_HUB_OFFLINE"] = "1"


def classifier(folder: pathlib.Path, about: dict, **options):
    """The exported encoder and all tasks' heads, as one module of PyTorch from tokens to logits."""
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModel

    class Classifier(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = AutoModel.from_pretrained(folder, dtype=torch.float32, add_pooling_layer=False, **options)
            heads = [load_file(folder / task["folder"] / "model-00002-of-00002.safetensors") for task in about["tasks"]]
            self.heads = torch.nn.ModuleList(torch.nn.Linear(*reversed(head["classifier.weight"].shape)) for head in heads)
            for linear, head in zip(self.heads, heads):
                linear.load_state_dict({name.removeprefix("classifier."): values for name, values in head.items()})

        def forward(self, input_ids, attention_mask):
            hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            mask = attention_mask.unsqueeze(-1)
            pooled = (hidden * mask).sum(1) / mask.sum(1)
            # The exported heads are divided by their temperatures already.
            return tuple(head(pooled) for head in self.heads)

    return Classifier().eval()


def transformers_model(folder: pathlib.Path, about: dict, threads: int, bf16: bool):
    """Text to each task's probabilities, by PyTorch."""
    import torch
    from transformers import AutoTokenizer

    torch.set_num_threads(threads)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = classifier(folder, about)

    def probabilities(text: str):
        tokens = tokenizer(text, truncation=True, return_tensors="pt")
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            logits = model(tokens["input_ids"], tokens["attention_mask"])
        return [row[0].float().softmax(-1).numpy() for row in logits]

    return probabilities


def onnxruntime_model(folder: pathlib.Path, about: dict, threads: int):
    """The same by ONNX Runtime in int8."""
    import numpy
    import onnxruntime
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(about["text"]["max_tokens"])
    tokenizer.encode_special_tokens = True
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(folder / "int8.onnx", options, providers=["CPUExecutionProvider"])
    outputs = [task["output"] for task in about["tasks"]]

    def probabilities(text: str):
        ids = numpy.array([tokenizer.encode(text).ids], dtype=numpy.int64)
        found = []
        for logits in session.run(outputs, {"input_ids": ids, "attention_mask": numpy.ones_like(ids)}):
            weights = numpy.exp(logits[0] - logits[0].max())
            found.append(weights / weights.sum())
        return found

    return probabilities


def serve(arguments: argparse.Namespace) -> None:
    import anyio.to_thread
    import fastapi
    import orjson
    import pydantic
    import uvicorn

    folder = arguments.export
    about = json.loads((folder / "poststelle.json").read_text())
    prefix = about["text"]["prefix"]
    tasks = [(task["name"], task["name"] + "_confidence", [label["name"] for label in task["labels"]]) for task in about["tasks"]]
    threads = 1 if arguments.pool else THREADS
    if arguments.engine == "transformers":
        probabilities = transformers_model(folder, about, threads, arguments.bf16)
    else:
        probabilities = onnxruntime_model(folder, about, threads)

    class Mail(pydantic.BaseModel):
        subject: str
        body: str

    def answer(mail: Mail) -> fastapi.Response:
        text = "\n".join(part for part in (mail.subject, mail.body) if part)
        record = {}
        for (task, confidence, labels), row in zip(tasks, probabilities(prefix + text)):
            best = int(row.argmax())
            record[task] = labels[best]
            record[confidence] = float(row[best])
        return fastapi.Response(orjson.dumps(record), media_type="application/json")

    async def direct(mail: Mail) -> fastapi.Response:
        return answer(mail)

    @contextlib.asynccontextmanager
    async def lifespan(_):
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        yield

    app = fastapi.FastAPI(lifespan=lifespan)
    # FastAPI calls what is not async in its pool of threads.
    app.post("/invocations")(answer if arguments.pool else direct)
    uvicorn.run(app, port=arguments.port, http="httptools", loop="uvloop", access_log=False, log_level="warning")


def int8(folder: pathlib.Path) -> None:
    """Exported by PyTorch, since the optimizer fuses attention in its graphs, then as bench/engine/peer.py does it."""
    import onnx
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.transformers import optimizer

    about = json.loads((folder / "poststelle.json").read_text())
    config = json.loads((folder / "config.json").read_text())
    heads, hidden = config["num_attention_heads"], config["hidden_size"]
    plain, f32, part = (folder / f"{name}.part" for name in ("plain", "f32", "int8"))
    outputs = [task["output"] for task in about["tasks"]]
    ids, axes = torch.ones(2, 8, dtype=torch.long), {0: "texts", 1: "tokens"}
    torch.onnx.export(
        classifier(folder, about, attn_implementation="eager"), (ids, ids), plain,
        input_names=["input_ids", "attention_mask"], output_names=outputs,
        dynamic_axes={"input_ids": axes, "attention_mask": axes} | {name: {0: "texts"} for name in outputs},
        opset_version=17, dynamo=False,
    )
    fused = optimizer.optimize_model(str(plain), model_type="bert", num_heads=heads, hidden_size=hidden, opt_level=1)
    attention = sum(node.op_type == "Attention" for node in fused.model.graph.node)
    assert attention == config["num_hidden_layers"], f"attention of {attention} layers was fused"
    fused.save_model_to_file(str(f32))
    quantize_dynamic(
        f32, part, per_channel=True, weight_type=QuantType.QInt8, extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
    )
    part.rename(folder / "int8.onnx")
    plain.unlink()
    f32.unlink()


def tei(layout: pathlib.Path, out: pathlib.Path) -> None:
    """The first task as BertForSequenceClassification. There that reads the first token, where ours reads the mean of all: the same work,
    other answers."""
    from safetensors.torch import load_file, save_file

    task = json.loads((layout / "poststelle.json").read_text())["tasks"][0]
    names = [label["name"] for label in task["labels"]]
    config = json.loads((layout / "config.json").read_text()) | {
        "architectures": ["BertForSequenceClassification"],
        "initializer_range": 0.02,
        "id2label": {n: name for n, name in enumerate(names)},
        "label2id": {name: n for n, name in enumerate(names)},
    }
    weights = load_file(layout / "model.safetensors") | load_file(layout / task["folder"] / "model-00002-of-00002.safetensors")
    out.mkdir(exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(layout / name, out)
    (out / "config.json").write_text(json.dumps(config))
    save_file(weights, out / "model.safetensors", {"format": "pt"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = parser.add_subparsers(dest="mode", required=True)
    one = modes.add_parser("serve")
    one.add_argument("engine", choices=["transformers", "onnxruntime"])
    one.add_argument("export", type=pathlib.Path)
    one.add_argument("--port", type=int, required=True)
    one.add_argument("--bf16", action="store_true")
    one.add_argument("--pool", action="store_true")
    modes.add_parser("int8").add_argument("export", type=pathlib.Path)
    one = modes.add_parser("tei")
    for name in ("layout", "out"):
        one.add_argument(name, type=pathlib.Path)
    arguments = parser.parse_args()
    if arguments.mode == "serve":
        serve(arguments)
    elif arguments.mode == "int8":
        int8(arguments.export)
    else:
        tei(arguments.layout, arguments.out)


if __name__ == "__main__":
    main()
