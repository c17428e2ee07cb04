"""The Trainer API: one script for one slot and, under torch_distributed, for two."""

import pathlib
import sys

import determined as det
from determined import pytorch

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import model_def


def main() -> None:
    info = det.get_cluster_info()
    assert info is not None
    with pytorch.init(hparams=info.trial.hparams) as context:
        print("size", context.distributed.get_size())
        trainer = pytorch.Trainer(model_def.LineTrial(context), context)
        trainer.fit(max_length=pytorch.Batch(10), latest_checkpoint=info.latest_checkpoint, profiling_enabled=True)


if __name__ == "__main__":
    main()
