"""The flywheel of an endpoint, and one turn of it: from what people said to a release."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from headrace.types.dataset import CurationRule, DatasetVersion
from headrace.types.program import Compilation, Score


class StepName(StrEnum):
    """The stations of a turn, in order."""

    EXPORT = "export"  # calls and what people said of them, out of the journal
    CURATE = "curate"  # which of it may teach, which of it may examine
    VALIDATE = "validate"  # whether that is fit to learn from
    TRAIN = "train"  # the user's own program makes a candidate
    EVALUATE = "evaluate"  # candidate and baseline answer the same rows
    GATE = "gate"  # whether the candidate may go on
    REGISTER = "register"  # a version in MLflow's registry, with its lineage
    RELEASE = "release"  # traffic moves on evidence


class StepState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    CACHED = "cached"  # the same code on the same input: an earlier turn has done it
    REFUSED = "refused"  # the turn ends here, and that is no fault
    FAILED = "failed"
    SKIPPED = "skipped"


class TurnState(StrEnum):
    QUEUED = "queued"  # waits for its turn
    RUNNING = "running"
    DONE = "done"  # a release has begun, or a version is registered where no release is wanted
    REFUSED = "refused"  # the data or a gate spoke against it: nothing has changed
    FAILED = "failed"  # `error` says why
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self not in (TurnState.QUEUED, TurnState.RUNNING)


class Cause(StrEnum):
    """What began a turn."""

    BUTTON = "button"
    SCHEDULE = "schedule"
    FEEDBACK = "feedback"  # so many new usable words
    DRIFT = "drift"


class ExecutorName(StrEnum):
    """Where the user's program runs."""

    PROCESS = "process"  # a child process, under limits
    RAY = "ray"
    KUBERNETES = "kubernetes"


class Metric(StrEnum):
    """What an answer costs when the label is known; less is better."""

    EXACT = "exact"  # 1 for a wrong answer, 0 for the right one
    ABSOLUTE = "absolute"  # the distance
    SQUARED = "squared"


class Proof(StrEnum):
    """What a candidate has to show on rows that it has not seen."""

    BETTER = "better"  # an e-value of at least 1/alpha that it is right more often, on golden and fresh rows together
    NOT_WORSE = "not_worse"  # the interval of the difference lies above the margin


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One of three: `function`, FILE.py:NAME, decorated with @trainer; `command`, any program that reads the folder it
    gets; or `compile`, how the program in the file `program` is compiled."""

    function: str = ""
    command: tuple[str, ...] = ()
    compile: Compilation | None = None
    program: str = "program.yaml"
    params: dict[str, Any] = field(default_factory=dict)
    executor: ExecutorName = ExecutorName.PROCESS
    options: dict[str, Any] = field(default_factory=dict)  # of the executor
    timeout_seconds: float = 3600.0
    memory_mb: int = 8192
    cpus: int = 1
    gpus: int = 0
    network: bool = False
    env: tuple[str, ...] = ()  # names of variables of the platform that the program may see


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRules:
    """Files are in the flywheel's folder, JSON lines with `inputs` and `label`."""

    base: str = ""  # what the first version learned from
    golden: str = ""  # frozen, never trained on
    must: str = ""  # every one of these has to be answered rightly, whatever else is better
    window_days: float = 90.0
    fresh_share: float = 0.3  # of users, whose words examine and never teach
    salt: str = "headrace"  # of who they are
    drawn: bool = False  # only rows that were drawn for review examine: who speaks unasked is no fair sample
    min_rows: int = 20  # new ones to learn from
    max_distrusted: float = 0.5  # of the people who spoke
    rules: tuple[CurationRule, ...] = ()  # of curation, those that shall not be as by default


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnGates:
    margin: float = 0.02  # by which golden rows may be answered worse
    fresh: Proof = Proof.BETTER
    slice_margin: float = 0.1  # by which the rows of one label may be answered worse, as far as the interval knows
    max_latency: float = 3.0  # times the baseline's
    max_train_seconds: float = 0.0  # 0: no bound
    max_cost: float = 0.0  # of training, in the currency of the prices; 0: no bound
    min_golden: int = 30  # rows; fewer say too little


@dataclass(frozen=True, slots=True, kw_only=True)
class Triggers:
    cron: str = ""  # minute hour day month weekday, UTC
    feedback: int = 0  # new usable words since the last turn; 0: none begins one
    drift: bool = True  # POST …/drift begins one
    rest_seconds: float = 3600.0  # between the beginnings of two turns that no person asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Flywheel:
    """As it stands in flywheel.yaml."""

    endpoint: str
    train: Training
    data: DataRules = DataRules()
    metric: Metric = Metric.EXACT
    alpha: float = 0.05
    gates: TurnGates = TurnGates()
    triggers: Triggers = Triggers()
    release: dict[str, Any] | None = field(default_factory=dict)  # a release plan; None: register only


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnStep:
    name: StepName
    state: StepState = StepState.WAITING
    begun: float = 0.0
    ended: float = 0.0
    tries: int = 0
    key: str = ""  # of its content: code, parameters, digests of what it read
    progress: float = 0.0  # 0 to 1
    says: str = ""  # for people: how far it is, or what came out
    counts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """Candidate against baseline on the same rows, in what an answer costs on average: less is better.

    `difference` is candidate minus baseline; it lies between `low` and `high` with probability 1 - alpha.
    """

    on: str  # golden, fresh, must, drawn (fresh, weighed by how it was drawn), or a slice such as label=3
    metric: Metric
    rows: int
    baseline: float
    candidate: float
    difference: float
    low: float
    high: float
    better: int = 0  # rows where the candidate does better
    worse: int = 0
    p: float = 1.0  # McNemar's, exact and two-sided; of the signs for metrics that are not exact
    evidence: float = 1.0  # e-value that the candidate is better; may be looked at as often as one likes


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """Which share of the live version's answers is right, in the window of a turn. `plain`: from the drawn calls that
    reviewers labelled; `powered`: also from what users said unasked, which counts as a cheap judge of all `calls`.
    `worth`: how many reviewed calls would say as much without it."""

    plain: Score
    powered: Score
    calls: int
    worth: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One gate and what it said: in words, and as the name of the sentence with what is filled in, for other languages
    (absent in turns of older versions)."""

    gate: str
    passed: bool
    says: str
    form: str = ""
    given: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Of the endpoint's latest calls, by the day. `down` is the share of ratings that are thumbs down."""

    calls: float = 0.0
    corrections: float = 0.0
    ratings: float = 0.0
    down: float = 0.1
    seen: int = 0  # calls that this was learned from


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """`days` from now; None: not at this pace. `needed` is None where nothing is known to tell by."""

    name: str
    needed: float | None
    per_day: float
    days: float | None
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """Days to decision, told before anything is begun: what each decision needs, and how long that takes."""

    pace: Pace
    differ: float
    win: float
    needs: tuple[Need, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    id: str
    endpoint: str
    flywheel: Flywheel
    created: float
    cause: Cause = Cause.BUTTON
    why: str = ""
    actor: str = ""
    code: str = ""  # digest of the flywheel's folder, which is copied: what changes there meanwhile is for the next one
    state: TurnState = TurnState.QUEUED
    started: float = 0.0
    ended: float = 0.0
    tries: int = 0  # processes that were started for it
    steps: tuple[TurnStep, ...] = tuple(TurnStep(name=name) for name in StepName)
    gains: tuple[Gain, ...] = ()
    gates: tuple[Judged, ...] = ()
    outlook: Outlook | None = None  # as it was when the turn began
    right: Right | None = None  # None: reviewers have not labelled two drawn calls
    baseline: str = ""  # models:/… that it was measured against
    dataset: str = ""  # ds_… that it learned from
    version: str = ""  # models:/… that came out
    release: str = ""
    seconds: float = 0.0  # of training
    cost: float = 0.0
    error: str = ""

    def step(self, name: StepName) -> TurnStep:
        return next(step for step in self.steps if step.name is name)

    @property
    def at(self) -> TurnStep | None:
        """The step that is under way, or the last that was."""
        begun = [step for step in self.steps if step.state not in (StepState.WAITING, StepState.SKIPPED)]
        return begun[-1] if begun else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """A trained model on its way into the registry. `mark`: whose it is; asked again with the same, nothing is new."""

    mark: str
    experiment: str
    model: str
    folder: str  # as MLflow saves models
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    dataset: DatasetVersion  # that it learned from and was examined by
    tags: Mapping[str, str]
    description: str
