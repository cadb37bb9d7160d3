"""What ville, a library of confidence sequences, makes of the same streams; run by `verdict_tables` in its own venv.

Reads an .npz with `kind`, `streams` (a row for each run), `ends` (values seen by each look) and more by kind; writes
the look of the first pass in each run, 0 for none. Knows nothing of dispatcher.
"""

from __future__ import annotations

import sys

import numpy as np
import ville

ALPHA, P0 = 0.05, 0.05


def betting(values: np.ndarray) -> np.ndarray:
    """At each value: whether the mean is shown to be below 5 %, by betting."""
    test = ville.BettingTest(m0=P0, alternative="less", alpha=ALPHA)
    test.update(values)
    return np.asarray(test.log_e_values_) >= -np.log(ALPHA)


def upper_quantile(values: np.ndarray, alpha: float) -> np.ndarray:
    sequence = ville.QuantileCS(q=1 - P0, alpha=alpha, t_opt=100)
    sequence.update(values)
    return np.asarray(sequence.upper_)


def lower_quantile(values: np.ndarray, alpha: float) -> np.ndarray:
    sequence = ville.QuantileCS(q=1 - P0, alpha=alpha, t_opt=100)
    sequence.update(values)
    return np.asarray(sequence.lower_)


def upper_mean(values: np.ndarray, t_opt: float) -> np.ndarray:
    """An asymptotic sequence, two-sided at twice alpha."""
    sequence = ville.AsymptoticCS(alpha=2 * ALPHA, t_opt=t_opt, min_samples=100)
    sequence.update(values)
    return np.asarray(sequence.upper_)


def first(crossed: np.ndarray, ends: np.ndarray) -> int:
    seen = crossed[np.maximum(ends, 1) - 1] & (ends > 0)
    return int(seen.argmax()) + 1 if seen.any() else 0


def main(source: str, target: str) -> None:
    given = np.load(source)
    kind, ends = str(given["kind"]), given["ends"]
    firsts = []
    for run, stream in enumerate(given["streams"]):
        if kind == "betting":
            crossed = betting(stream)
        elif kind == "quantile":
            crossed = upper_quantile(stream, 2 * ALPHA) <= float(given["limit"])
        elif kind == "ratio":
            control = given["controls"][run]
            of_control = lower_quantile(control, ALPHA)
            upper = upper_quantile(stream, ALPHA)
            seen = given["control_ends"]
            lower = np.array([of_control[n - 1] if n else -np.inf for n in seen])
            at = np.array([upper[n - 1] if n else np.inf for n in ends])
            hits = at <= float(given["ratio"]) * lower
            firsts.append(int(hits.argmax()) + 1 if hits.any() else 0)
            continue
        elif kind == "pairs":
            test = ville.BettingTest(m0=float(given["margin"]), bounds=(-1, 1), alternative="less", alpha=ALPHA)
            test.update(stream)
            crossed = np.asarray(test.log_e_values_) >= -np.log(ALPHA)
        elif kind == "mean":
            crossed = upper_mean(stream, float(given["t_opt"])) <= 0
        else:
            raise SystemExit(f"verdict_peers: no such kind: {kind}")
        firsts.append(first(crossed, ends))
    np.savez(target, firsts=np.array(firsts))


if __name__ == "__main__":
    main(*sys.argv[1:])
