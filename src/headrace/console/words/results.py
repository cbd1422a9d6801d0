"""Words of the results of a release: what one may quote, and when."""

from __future__ import annotations

WORDS: dict[str, tuple[str, str]] = {
    "results.title": ("Result", "结果"),
    "results.copy": ("all sentences", "全部语句"),
    "results.copy_one": ("sentence", "语句"),
    "results.none": ("Nothing was measured yet.", "尚无测量结果。"),
    "results.fixed": ("at the horizon", "终点处"),
    "results.always": ("always valid", "随时有效"),
    "results.difference": ("{candidate} − {baseline}", "{candidate} − {baseline} 之差"),
    "finding.better": ("Better", "更好"),
    "finding.worse": ("Worse", "更差"),
    "finding.unclear": ("No clear difference", "无明显差异"),
    "finding.unknown": ("Too few users to say", "用户太少，无法判断"),
    "metric_role.guardrail": ("guardrail", "护栏指标"),
    "metric_role.success": ("success", "成功指标"),
    "metric_role.dry_run": ("dry run", "试运行"),
    "metric.success": ("meant to get better", "期望改善"),
    "metric.dry_run": ("decides nothing", "不参与决策"),
    "quote.before": (
        (
            "Until the horizon, {need} of each version, only the always-valid interval may be quoted: the "
            "other one holds only if it is read once, there."
        ),
        "在到达终点（每个版本 {need}）之前，只能引用随时有效的区间：另一个区间仅在终点处读取一次时成立。",
    ),
    "quote.at_horizon": (
        "The horizon of {need} of each version is reached: both intervals may be quoted.",
        "已到达每个版本 {need}的终点：两个区间都可以引用。",
    ),
    "quote.never": (
        "It ended before the horizon of {need} of each version: only the always-valid interval may be quoted.",
        "在每个版本达到 {need}之前已结束：只能引用随时有效的区间。",
    ),
    "quote.no_horizon": (
        "No horizon was fixed beforehand, so only the always-valid interval may be quoted.",
        "事先没有固定终点，因此只能引用随时有效的区间。",
    ),
    "quote.points": ("{value} points", "{value} 个百分点"),
    "quote.interval": ("{low} to {high}", "{low} 至 {high}"),
    "quote.joint": ("; ", "；"),
    "quote.whole": ("{levels} ({intervals}).", "{levels}（{intervals}）。"),
    "quote.levels": (
        (
            "{metric}: {of_candidate} with {candidate} ({on_candidate}), {of_baseline} with {baseline} "
            "({on_baseline}), a difference of {difference}"
        ),
        (
            "{metric}：{candidate} 为 {of_candidate}（{on_candidate}），{baseline} 为 {of_baseline}"
            "（{on_baseline}），相差 {difference}"
        ),
    ),
    "quote.fixed": (
        "{level} interval {interval}, read once at the horizon",
        "{level} 区间 {interval}，在终点处读取一次",
    ),
    "quote.always": (
        "{level} interval {interval}, valid at every look",
        "{level} 区间 {interval}，任何时刻查看都有效",
    ),
    "quote.always_asymptotic": (
        "{level} interval {interval}, valid at every look, for large numbers (asymptotic)",
        "{level} 区间 {interval}，任何时刻查看都有效（大样本渐近）",
    ),
    "quote.too_few": (
        "{metric}: {on_candidate} of {candidate} and {on_baseline} of {baseline} are too few for an interval.",
        "{metric}：{candidate} 的 {on_candidate}与 {baseline} 的 {on_baseline}太少，尚无法给出区间。",
    ),
    "quote.split": (
        (
            "The split is as asked for: {on_baseline} of {baseline} and {on_candidate} of {candidate}, "
            "{part} where {share} was asked for (Bayes factor {factor}, alarm at 1,000)."
        ),
        (
            "份额符合要求：{baseline} {on_baseline}，{candidate} {on_candidate}，实际 {part}，要求 {share}"
            "（贝叶斯因子 {factor}，1,000 时报警）。"
        ),
    ),
    "quote.split_alarm": (
        (
            "The split is not what was asked for: {on_baseline} of {baseline} and {on_candidate} of {candidate}, "
            "{part} where {share} was asked for (Bayes factor {factor}, alarm at 1,000). Nothing below can be trusted."
        ),
        (
            "份额与要求不符：{baseline} {on_baseline}，{candidate} {on_candidate}，实际 {part}，要求 {share}"
            "（贝叶斯因子 {factor}，1,000 时报警）。以下结果均不可信。"
        ),
    ),
    "course.steady": ("It lasts: {early} early, {late} late.", "差异持续：早期 {early}，后期 {late}。"),
    "course.fading": (
        "It wears off: {early} early, {late} late. It may be the novelty.",
        "差异在消退：早期 {early}，后期 {late}。可能是新奇效应。",
    ),
    "course.growing": ("It grows: {early} early, {late} late.", "差异在增大：早期 {early}，后期 {late}。"),
    "course.turned": (
        "It has turned: {early} early, {late} late. Do not rely on the mean of both.",
        "差异已反转：早期 {early}，后期 {late}。不要依赖两者的平均。",
    ),
}
