"""Trains and evaluates the Trainer's example; started by torchrun, in one process or in two."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main() -> None:
    # Beside the examples, whose folder the test puts on the path.
    import text_trainer
    from tiny_text import MICRO_BATCHES

    folder, processes = Path(sys.argv[1]), int(sys.argv[2])
    trainer = text_trainer.trainer(
        text_trainer.Text(),
        str(folder),
        ddp_backend="gloo" if processes > 1 else None,
        gradient_accumulation_steps=MICRO_BATCHES // processes,
    )
    trainer.train()
    metrics = trainer.evaluate()
    trainer.save_model(str(folder / "saved"))
    if trainer.args.process_index == 0:
        found = {name: value for name, value in metrics.items() if name in ("eval_loss", "eval_soft", "eval_accuracy")}
        (folder / "metrics.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
