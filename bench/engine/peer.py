"""The same work as `crates/train/examples/engine.rs` in PyTorch and transformers. Prints one JSON object."""

import json
import sys
import time

import torch
from transformers import BertModel

TEXTS, TOKENS = 16, 128


def main() -> None:
    folder, precision, mix = sys.argv[1:]
    torch.manual_seed(0)
    bf16 = precision == "bf16"
    autocast = lambda: torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16)
    model = BertModel.from_pretrained(folder, add_pooling_layer=False)
    model.embeddings.word_embeddings.weight.requires_grad_(False)
    head = torch.nn.Linear(model.config.hidden_size, 10)
    learning = [p for p in list(model.parameters()) + list(head.parameters()) if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=1e-4)
    token = lambda i: 1000 + i * 7919 % 20_000
    ids = torch.tensor([[token(t * TOKENS + i) for i in range(TOKENS)] for t in range(TEXTS)])
    gold = torch.arange(TEXTS) % 10
    model.train()
    steps = []
    for _ in range(8):
        start = time.perf_counter()
        with autocast():
            loss = torch.nn.functional.cross_entropy(head(model(ids).last_hidden_state.mean(1)), gold)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        steps.append(time.perf_counter() - start)
    steps = sorted(steps[1:])

    model.eval()
    lengths = [int(n) for n in open(mix).read().split()]

    def embed(batch):
        longest = max(batch)
        padded = torch.full((len(batch), longest), 1)
        mask = torch.zeros(len(batch), longest, dtype=torch.long)
        for row, n in enumerate(batch):
            padded[row, :n] = torch.tensor([token(i) for i in range(n)])
            mask[row, :n] = 1
        with torch.no_grad(), autocast():
            hidden = model(input_ids=padded, attention_mask=mask).last_hidden_state
            return (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)

    embed([64])
    best = 0.0
    # Its best way: batches of 32 sorted by length, or one by one.
    for size in (32, 1):
        ordered = sorted(lengths)
        start = time.perf_counter()
        for at in range(0, len(ordered), size):
            embed(ordered[at : at + size])
        best = max(best, len(ordered) / (time.perf_counter() - start))
    lone = []
    for _ in range(20):
        start = time.perf_counter()
        embed([64])
        lone.append(time.perf_counter() - start)
    print(json.dumps({
        "train_samples_per_s": TEXTS / steps[len(steps) // 2],
        "mails_per_s": best,
        "p50_ms": 1e3 * sorted(lone)[10],
    }))


if __name__ == "__main__":
    main()
