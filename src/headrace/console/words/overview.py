"""Words of the overview."""

from __future__ import annotations

WORDS: dict[str, tuple[str, str]] = {
    "overview.title": ("Overview", "总览"),
    "overview.nothing": ("Nothing is served yet.", "尚未提供任何服务。"),
    "overview.serving.one": ("{n} endpoint answers {rate} calls a second.", "{n} 个端点每秒回答 {rate} 次调用。"),
    "overview.serving.many": ("{n} endpoints answer {rate} calls a second.", "{n} 个端点每秒回答 {rate} 次调用。"),
    "overview.no_errors": ("Nothing failed in the last 5 minutes.", "最近 5 分钟没有失败。"),
    "overview.errors": (
        "{errors} of {calls} failed in the last 5 minutes ({percent}).",
        "最近 5 分钟 {calls}中有 {errors} 次失败（{percent}）。",
    ),
    "overview.releasing.one": ("{n} release is in flight.", "{n} 个发布正在进行。"),
    "overview.releasing.many": ("{n} releases are in flight.", "{n} 个发布正在进行。"),
    "overview.last": (
        "The last release, {endpoint} {candidate}, was {phase}.",
        "上一次发布 {endpoint} {candidate} {phase}。",
    ),
    "ended.promoted": ("promoted", "已晋升"),
    "ended.rolled_back": ("rolled back", "已回滚"),
    "ended.aborted": ("aborted", "已中止"),
    "ended.failed": ("refused before it got traffic", "在获得流量前失败"),
    "overview.open_endpoints": ("Open endpoints", "查看端点"),
    "overview.in_flight": ("Releases in flight", "进行中的发布"),
    "overview.calls": ("Calls", "调用"),
    "overview.evidence": ("Evidence", "证据"),
    "overview.calm": ("no traffic is moving", "没有流量变更"),
    "overview.releases": ("Latest releases", "最近的发布"),
    "overview.no_release": (
        "No release yet. A release moves traffic from one variant to another on evidence.",
        "尚无发布。发布会依据证据把流量从一个变体移到另一个。",
    ),
    "status.plane": ("The data plane at {url} is not ready: {error}.", "数据平面 {url} 未就绪：{error}。"),
    "status.starting": ("it starts or stops", "正在启动或停止"),
    "status.refused": (
        "The data plane keeps the plan before the latest one: {error}.",
        "数据平面仍在使用上一个计划：{error}。",
    ),
    "status.lost.one": ("{n} call could not be recorded.", "{n} 次调用未能记录。"),
    "status.lost.many": ("{n} calls could not be recorded.", "{n} 次调用未能记录。"),
    "status.mlflow": (
        "MLflow does not answer: {error}. Serving goes on; what is to be recorded waits.",
        "MLflow 无响应：{error}。服务继续，待记录的内容会稍后补记。",
    ),
    "status.loops": ("These parts of the control plane fail: {names}.", "控制平面的以下部分出现故障：{names}。"),
    "overview.empty": ("Deploy a model version and it answers here", "部署一个模型版本，即可在此查看"),
    "overview.will_1": (
        "Every endpoint with its rate, errors and latency, live",
        "每个端点的实时速率、错误与延迟",
    ),
    "overview.will_2": (
        "Releases in flight: how far they are, and what the evidence says",
        "进行中的发布：进度以及证据结论",
    ),
    "overview.will_3": (
        "What needs a decision, in one sentence on top",
        "顶部一句话说明哪些事需要决定",
    ),
    "overview.empty_hint": (
        "Register a model with the stock MLflow client, then deploy it. The demo does all of it: headrace demo",
        "用标准 MLflow 客户端注册模型，然后部署。演示会完成全部步骤：headrace demo",
    ),
}
