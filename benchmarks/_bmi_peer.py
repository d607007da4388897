"""Estimates of the package `benchmark-mi` for samples in a file, run by a Python that has it.

    python _bmi_peer.py SAMPLES.npz ESTIMATOR,ESTIMATOR

`benchmark-mi` 0.1.3 needs JAX before 0.4.34 and pydantic before 2, so it lives in an environment
of its own. Its defaults throughout. Prints JSON: estimator to sample to [value, seconds]; a value
that could not be had is a text.
"""

from __future__ import annotations

import inspect
import json
import sys
import time

import bmi
import numpy as np


def main() -> None:
    samples = np.load(sys.argv[1])
    names = sorted({key.rsplit("/", 1)[0] for key in samples.files})
    found: dict[str, dict[str, list[object]]] = {}
    for estimator in sys.argv[2].split(","):
        made = getattr(bmi.estimators, estimator)
        quiet = {"verbose": False} if "verbose" in inspect.signature(made).parameters else {}
        found[estimator] = {}
        for name in names:
            start = time.perf_counter()
            try:
                value: object = float(
                    made(**quiet).estimate(samples[f"{name}/x"], samples[f"{name}/y"])
                )
            except Exception as error:  # a peer may fail in any way: it is noted
                value = repr(error)[:200]
            found[estimator][name] = [value, time.perf_counter() - start]
            print(estimator, name, value, file=sys.stderr, flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
