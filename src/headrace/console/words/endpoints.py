"""Words of the list of endpoints and of one endpoint."""

from __future__ import annotations

WORDS: dict[str, tuple[str, str]] = {
    "endpoints.sentence.one": ("{n} name that applications can call.", "应用可调用 {n} 个名称。"),
    "endpoints.sentence.many": ("{n} names that applications can call.", "应用可调用 {n} 个名称。"),
    "endpoints.empty": ("No endpoint yet", "尚无端点"),
    "endpoints.will_1": (
        "Each name that applications call, which model version answers, and for what share of users",
        "应用调用的每个名称、由哪个模型版本回答、占多少用户",
    ),
    "endpoints.will_2": ("Rate, errors and latency, live", "实时速率、错误与延迟"),
    "endpoint.whole": ("{baseline} answers everyone.", "{baseline} 回答所有用户。"),
    "endpoint.split": (
        "{candidate} answers {share} of users, {baseline} the rest.",
        "{candidate} 回答 {share} 的用户，其余由 {baseline} 回答。",
    ),
    "endpoint.rate": ("{rate} calls a second, p99 {p99}.", "每秒 {rate} 次调用，p99 {p99}。"),
    "endpoint.silent": ("Nobody called it in the last 5 minutes.", "最近 5 分钟没有调用。"),
    "endpoint.open_release": ("Open the release", "查看发布"),
    "endpoint.split_title": ("Traffic", "流量"),
    "endpoint.variants": ("Variants", "变体"),
    "endpoint.parity.one": ("exact on {n} row", "{n} 行完全一致"),
    "endpoint.parity.many": ("exact on {n} rows", "{n} 行完全一致"),
    "endpoint.missing": ("There is no endpoint {name}", "没有端点 {name}"),
    "endpoint.missing_hint": ("There are: {known}", "现有端点：{known}"),
    "try.title": ("Try it", "试一试"),
    "try.row": ("A row that was sent to this endpoint", "一行真实发送过的输入"),
    "try.other_row": ("Another row", "换一行"),
    "try.user": ("User", "用户"),
    "try.user_hint": (
        "Who calls decides which variant answers: the same user always gets the same one.",
        "由调用者决定哪个变体回答：同一用户总是得到同一个变体。",
    ),
    "try.go": ("Predict", "预测"),
    "try.answer": ("Answer", "回答"),
    "try.no_answer": ("The answer appears here.", "回答将显示在这里。"),
    "try.no_rows": (
        "No call has been recorded yet. Send one with the curl line above, and its row can be tried again here.",
        "尚未记录任何调用。用上方的 curl 发送一次，即可在此重试该行。",
    ),
}
