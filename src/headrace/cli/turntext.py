"""What `headrace turn init` writes: a flywheel.yaml with every part, and a training that runs. Called by turn.py."""

from __future__ import annotations

from typing import Final

SPEC: Final = """\
# The flywheel of ENDPOINT: docs/flywheel.md has every part.
train:
  function: train.py:train     # decorated with @trainer; or instead: command: python code/train.py
  params: {}
  executor: process            # process, ray, kubernetes
  timeout_seconds: 3600
  memory_mb: 8192
data:
  # base: base.jsonl           # what the first version learned from
  golden: golden.jsonl         # frozen, never learned from: {"inputs": ..., "label": ...} on each line
  window_days: 90
  fresh_share: 0.3             # of users, whose words examine and never teach
  min_rows: 20
metric: exact                  # exact, absolute, squared
alpha: 0.05
gates:
  margin: 0.02                 # by which golden rows may be answered worse
  fresh: better                # better: proven on fresh rows; not_worse: within the margin is enough
triggers:
  # cron: "30 2 * * *"         # minute hour day month weekday, UTC
  feedback: 200                # new usable words since the last turn; 0: none begins one
  drift: true                  # POST /api/v1/flywheels/ENDPOINT/drift begins one
  rest_seconds: 3600
release: {}                    # a release plan (docs/release.md); null: register only
"""

TRAIN: Final = '''\
"""The training of ENDPOINT. Any framework; leave a model in task.model as MLflow saves one."""

import mlflow
import numpy as np
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression

from headrace.client.training import Task, trainer


@trainer
def train(task: Task) -> None:
    rows = list(task.rows("train"))
    inputs, labels = np.array([row["inputs"] for row in rows]), np.array([row["label"] for row in rows])
    task.progress(0.2, f"{len(rows)} rows")
    model = LogisticRegression(max_iter=1000, **task.params).fit(inputs, labels)
    task.report(train_accuracy=float(model.score(inputs, labels)))
    mlflow.sklearn.save_model(
        model, task.model, signature=infer_signature(inputs, model.predict(inputs)), input_example=inputs[:20]
    )
'''

README: Final = """\
# The flywheel of ENDPOINT

`flywheel.yaml` says when a turn begins and what it may do, `train.py` makes a model out of `train.jsonl`, and
`golden.jsonl` is the examination that nothing is learned from. The folder is copied when a turn begins.
"""
