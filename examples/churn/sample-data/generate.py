"""Generates the sample data of this example: customers, and whether they left. The truth behind it is known.

``truth`` is the probability with which each customer leaves, and the generator decides by it alone. No model can know
more than ``truth``, so its ROC AUC on the same rows is the best that a model can reach.

    python examples/churn/sample-data/generate.py          # writes both arrivals and the requests
    python examples/churn/sample-data/generate.py --truth  # the AUC of the truth on the hold-out
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROWS = 4000
FIELDS = ("customer", "tenure", "charge", "calls", "usage", "contract", "payment", "segment", "churned")
CONTRACTS, PAYMENTS = ("monthly", "yearly", "two-year"), ("card", "transfer", "invoice")
SEED = {"data1": 11, "data2": 22}
# Share of business customers: the first arrival has none.
BUSINESS = {"data1": 0.0, "data2": 0.5}
REQUESTS = {
    "stays.json": {"tenure": 60, "charge": 35.0, "calls": 0, "usage": 90, "contract": "two-year", "payment": "card"},
    "leaves.json": {"tenure": 2, "charge": 98.0, "calls": 7, "usage": 20, "contract": "monthly", "payment": "invoice"},
}


def truth(row: dict[str, Any]) -> float:
    """The probability that a customer leaves.

    Business customers behave differently: a high charge says that they depend on the service, and what makes them leave
    is that they hardly use it.

    Args:
        row: A customer.
    """
    score = {"monthly": 1.5, "yearly": -0.2, "two-year": -1.8}[row["contract"]] - 0.05 * (row["tenure"] - 24)
    score += 0.5 if row["payment"] == "invoice" else 0.0
    if row["segment"] == "business":
        score += -0.06 * (row["charge"] - 65) + 0.1 * (row["calls"] - 2) - 0.03 * (row["usage"] - 80)
    else:
        score += 0.05 * (row["charge"] - 65) + 0.6 * (row["calls"] - 2) - 0.005 * (row["usage"] - 80)
    return 1 / (1 + math.exp(-score))


def customers(arrival: str, rows: int = ROWS) -> Iterator[dict[str, Any]]:
    """The customers of an arrival, the same in every run.

    Args:
        arrival: ``data1`` or ``data2``.
        rows: Number of customers.
    """
    source = random.Random(SEED[arrival])
    for number in range(rows):
        row: dict[str, Any] = {
            "customer": f"{arrival[-1]}{number:05d}",
            "tenure": min(72, int(source.expovariate(1 / 26))),
            "charge": round(min(120.0, max(20.0, source.gauss(65, 20))), 2),
            "calls": min(10, int(source.expovariate(1 / 2))),
            "usage": round(min(200.0, max(0.0, source.gauss(80, 35))), 1),
            "contract": source.choices(CONTRACTS, (5, 3, 2))[0],
            "payment": source.choices(PAYMENTS, (4, 3, 3))[0],
            "segment": "business" if source.random() < BUSINESS[arrival] else "private",
        }
        row["churned"] = "yes" if source.random() < truth(row) else "no"
        yield row


def text(arrival: str, rows: int = ROWS) -> str:
    """The file of an arrival."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(customers(arrival, rows))
    return stream.getvalue()


def request(name: str) -> str:
    """The file of a prediction request."""
    return json.dumps({"instances": [{"data": {**REQUESTS[name], "segment": "private"}}]}) + "\n"


def auc(labels: list[int], scores: list[float]) -> float:
    """The area under the ROC curve: how often a customer who left has the higher score; ties count half.

    Args:
        labels: 1 for each customer who left, else 0.
        scores: A score for each.
    """
    ranked = sorted(range(len(scores)), key=lambda place: scores[place])
    ranks = [0.0] * len(scores)
    start = 0
    while start < len(ranked):
        end = start
        while end + 1 < len(ranked) and scores[ranked[end + 1]] == scores[ranked[start]]:
            end += 1
        for place in ranked[start : end + 1]:
            ranks[place] = (start + end) / 2 + 1
        start = end + 1
    positive = sum(labels)
    total = sum(rank for rank, label in zip(ranks, labels, strict=True) if label)
    return (total - positive * (positive + 1) / 2) / (positive * (len(labels) - positive))


def truth_on_the_hold_out(*arrivals: str) -> float:
    """The AUC of the truth on the rows that no model is trained with."""
    from pdk_nb.labels import split

    rows = {row["customer"]: row for arrival in arrivals for row in customers(arrival)}
    _, held = split((name, int(row["churned"] == "yes")) for name, row in rows.items())
    return auc([int(rows[name]["churned"] == "yes") for name in held], [truth(rows[name]) for name in held])


def main() -> None:
    """Write the files, or print the AUC of the truth."""
    parser = argparse.ArgumentParser(description="Generate the sample data of the example churn.")
    parser.add_argument("--truth", action="store_true", help="print the AUC of the truth on the hold-out")
    folder = Path(__file__).resolve().parent
    if parser.parse_args().truth:
        for arrivals in (("data1",), ("data1", "data2")):
            print(f"{' and '.join(arrivals)}: {truth_on_the_hold_out(*arrivals):.4f}")
        return
    for arrival in SEED:
        (folder / arrival).mkdir(exist_ok=True)
        (folder / arrival / "customers.csv").write_text(text(arrival), encoding="utf-8")
    for name in REQUESTS:
        (folder / name).write_text(request(name), encoding="utf-8")


if __name__ == "__main__":
    main()
