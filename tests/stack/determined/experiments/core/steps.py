"""The Core API without torch: reports a made-up loss, writes checkpoints, stops when asked to."""

import json
import sys
import time

import determined as det


def main() -> None:
    info = det.get_cluster_info()
    assert info is not None
    rate = info.trial.hparams["rate"]
    if rate < 0:
        with det.core.init() as context:
            raise det.InvalidHP("the rate must not be negative")
    with det.core.init() as context:
        done = 0
        if info.latest_checkpoint:
            with context.checkpoint.restore_path(info.latest_checkpoint) as path:
                done = json.loads((path / "state.json").read_text())["done"]
        for step in range(done + 1, 21):
            time.sleep(float(sys.argv[1]) if len(sys.argv) > 1 else 0.1)
            context.train.report_training_metrics(steps_completed=step, metrics={"loss": rate / step})
            context.train.report_progress(step / 20)
            context.train.report_validation_metrics(
                steps_completed=step, metrics={"loss": rate / step, "batches": step}
            )
            if step % 10 == 0 or context.preempt.should_preempt():
                with context.checkpoint.store_path({"steps_completed": step}) as (path, _):
                    (path / "state.json").write_text(json.dumps({"done": step}))
                if context.preempt.should_preempt():
                    return


if __name__ == "__main__":
    main()
