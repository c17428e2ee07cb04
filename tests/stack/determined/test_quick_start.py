"""Determined's own quick-start habits, all through the unmodified command line of the client."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.stack.determined.client import Det, det
from tests.stack.determined.conftest import EXPERIMENTS, connect, new_master, tiny, wait_for
from tests.support.processes import ServiceProcess

pytestmark = pytest.mark.slow
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture
def master(tmp_path: Path) -> Iterator[ServiceProcess]:
    """A new cluster: its first experiment is number 1."""
    process = new_master(tmp_path / "master").start()
    yield process
    process.stop()


def test_quick_start(master: ServiceProcess, tmp_path: Path) -> None:
    def said(line: str, *parts: str) -> str:
        code, output = det(master, *line.split())
        assert code == 0, f"det {line}:\n{output}"
        for part in parts:
            assert part in output, f"det {line}: {part!r} is not in\n{output}"
        return output

    code = tmp_path / "code"
    shutil.copytree(EXPERIMENTS / "core", code)
    goal = {"metric": "loss", "smaller_is_better": True}
    const = tiny(entrypoint="python3 steps.py 0.2", hyperparameters={"rate": 1.0}, searcher={"name": "single", **goal})
    (code / "const.yaml").write_text(yaml.safe_dump(const))
    search = {
        **const,
        "entrypoint": "python3 steps.py 0",
        "hyperparameters": {"rate": {"type": "log", "base": 10, "minval": -2, "maxval": 0}},
        "searcher": {"name": "random", "max_trials": 8, "max_concurrent_trials": 2, **goal},
    }
    (code / "search.yaml").write_text(yaml.safe_dump(search))

    # Create and follow; pause and activate in the middle.
    followed = Det(master, "e", "create", str(code / "const.yaml"), str(code), "-f")
    wait_for(lambda: "RUNNING" in said("e list"), what="the first experiment")
    first = connect(master).get_experiment(1)
    wait_for(lambda: list(first.list_trials()[0].iter_metrics("validation")), what="its first report")
    said("e pause 1", "Paused experiment 1")
    wait_for(lambda: "zero exit code" in said("t logs 1"), what="the end of the first run")
    said("e list", "PAUSED")
    said("e activate 1", "Activated experiment 1")
    exit_code, output = followed.wait()
    assert exit_code == 0 and "Created experiment 1" in output
    # One log over both runs, followed to its end.
    assert output.count("exited successfully with a zero exit code") == 2, output[-3000:]
    assert said("t logs -f 1").count("exited successfully with a zero exit code") == 2
    said("e list", "COMPLETED", "100.0%")
    said("e describe 1", "COMPLETED", "Workloads")

    # Eight trials over the rate; the smallest rate makes the smallest loss.
    said(f"e create {code / 'search.yaml'} {code}", "Created experiment 2")
    said("e wait 2")
    rates = [float(rate) for rate in re.findall(r'"rate": ([0-9.e-]+)', said("e list-trials 2"))]
    assert len(rates) == len(set(rates)) == 8 and all(0.01 <= rate <= 1 for rate in rates)
    best = UUID.findall(said("e list-checkpoints 2 --best 1"))[0]
    said(f"checkpoint describe {best}", "steps_completed")
    assert connect(master).get_checkpoint(best).training.hparams["rate"] == min(rates)
    said(f"checkpoint download {best} -o {tmp_path / 'best'}", "Local checkpoint path")
    assert (tmp_path / "best" / "state.json").read_text() == '{"done": 20}'
    said(f"checkpoint download {best} --mode master -o {tmp_path / 'same'}")
    assert (tmp_path / "same" / "state.json").read_text() == '{"done": 20}'

    # Register the best.
    said("m create dogs-and-cats")
    said(f"m register-version dogs-and-cats {best}", best)
    said("m list", "dogs-and-cats")
    said("m describe dogs-and-cats", best)
