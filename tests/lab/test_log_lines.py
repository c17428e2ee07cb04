"""A trial's log for readers."""

from __future__ import annotations

import pytest

from pdk_nb.journey.log_lines import cut, short, without_reports

HEAD = "[2026-11-29T06:39:43.513664Z] c871d8c1 || INFO: [2236] "
TRAINING = (
    f"{HEAD}determined.core: report_training_metrics(steps_completed=170, metrics={{'loss': 0.1532, 'batches': 170}})"
)
VALIDATION = (
    f"{HEAD}determined.core: report_validation_metrics(steps_completed=200, "
    "metrics={'loss': 0.037, 'recall_dog': 1.0, 'accuracy': 0.98})"
)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (TRAINING, "06:39:43 training after 170 batches: loss 0.153"),
        (VALIDATION, "06:39:43 validation after 200 batches: accuracy 0.980, loss 0.037"),
        (f"{HEAD}pdk.data: learning from 310 pictures", "06:39:43 pdk.data: learning from 310 pictures"),
        ("[2026-11-29T06:39:43.5Z] || resources exited", "06:39:43 resources exited"),
        (TRAINING.replace("0.1532", "nan"), TRAINING.replace("0.1532", "nan").replace(HEAD, "06:39:43 ")),
        (TRAINING.replace("'loss': 0.1532, ", ""), "06:39:43 training after 170 batches: reported"),
        ("plain text", "plain text"),
    ],
)
def test_a_line_is_shortened_to_what_it_says(line: str, said: str) -> None:
    assert short(line) == said


def test_reports_are_left_out() -> None:
    assert without_reports([TRAINING, "kept", VALIDATION]) == ["kept"]


def test_a_line_is_cut_where_a_page_ends() -> None:
    assert cut("x" * 200) == "x" * 200
    assert cut("x" * 5000) == "x" * 199 + "…"
