"""Answers texts with a bundle's exports in onnxruntime and transformers and prints how far they are from ours, as JSON.

    peer.py TEXTS OURS ONNX HUGGINGFACE

`check.py` runs it; TEXTS and OURS are JSON Lines, the other two the folders of the exports.
"""

import json
import os
import pathlib
import sys

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import onnxruntime
import torch
import transformers
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer, pipeline

transformers.utils.logging.disable_progress_bar()

BATCH = 8


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def trust(folder: pathlib.Path) -> dict:
    return {"trust_remote_code": True} if (folder / "modeling_poststelle.py").exists() else {}


def batches(tokenizer, texts: list[str], kind: str):
    """Padded batches in the order of the texts, as the mails come."""
    for first in range(0, len(texts), BATCH):
        yield tokenizer(texts[first : first + BATCH], padding=True, truncation=True, return_tensors=kind)


def onnx(folder: pathlib.Path, texts: list[str]) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    names = [output.name for output in session.get_outputs()]
    parts = [session.run(names, dict(batch)) for batch in batches(tokenizer, texts, "np")]
    return {name: np.concatenate([part[n] for part in parts]) for n, name in enumerate(names)}


def main() -> None:
    texts_file, ours_file, onnx_folder, layout = map(pathlib.Path, sys.argv[1:])
    texts = [json.loads(line) for line in texts_file.open()]
    ours = [json.loads(line) for line in ours_file.open()]
    about = json.loads((layout / "poststelle.json").read_text())
    texts = [about["text"]["prefix"] + text for text in texts]
    found = {"ids": 0, "hidden": None, "tasks": {}}
    for folder in (onnx_folder, onnx_folder / about["tasks"][0]["folder"], layout / about["tasks"][0]["folder"]):
        ids = AutoTokenizer.from_pretrained(folder, **trust(folder))(texts, truncation=True)["input_ids"]
        found["ids"] = max(found["ids"], sum(a != b["ids"] for a, b in zip(ids, ours)))
    whole = onnx(onnx_folder, texts)
    encoder = None
    if (layout / "model.safetensors").exists():
        encoder, loading = AutoModel.from_pretrained(layout, output_loading_info=True)
        odd = [name for name in loading["missing_keys"] if "pooler" not in name]
        assert not odd and not loading["unexpected_keys"], loading
    for task in about["tasks"]:
        ours_of = lambda key: np.array([one["tasks"][task["name"]][key] for one in ours])
        expected, far = ours_of("probabilities"), lambda a, b: float(np.abs(a - b).max())
        report = found["tasks"][task["name"]] = {}
        logits = whole[task["output"]]
        report["onnx logits"] = far(logits, ours_of("logits"))
        report["onnx"] = far(softmax(logits / task["temperature"]), expected)
        report["onnx, one task"] = far(softmax(onnx(onnx_folder / task["folder"], texts)["logits"]), expected)

        folder = layout / task["folder"]
        model, loading = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True, **trust(folder))
        assert not loading["missing_keys"] and not loading["unexpected_keys"], loading
        tokenizer = AutoTokenizer.from_pretrained(folder, **trust(folder))
        probabilities = []
        with torch.inference_mode():
            for batch in batches(tokenizer, texts, "pt"):
                probabilities.append(model(**batch).logits.softmax(-1).numpy())
                if encoder is not None:
                    inner = getattr(model, encoder.base_model_prefix)(**batch).last_hidden_state
                    apart = far(encoder(**batch).last_hidden_state.numpy(), inner.numpy())
                    found["hidden"] = max(found["hidden"] or 0.0, apart)
        report["transformers"] = far(np.concatenate(probabilities), expected)
        names = [label["name"] for label in task["labels"]]
        pipe = pipeline("text-classification", model=model, tokenizer=tokenizer, top_k=None)
        scores = [{one["label"]: one["score"] for one in answer} for answer in pipe(texts[:BATCH], truncation=True)]
        report["pipeline"] = far(np.array([[score[name] for name in names] for score in scores]), expected[:BATCH])
    print(json.dumps(found))


if __name__ == "__main__":
    main()
