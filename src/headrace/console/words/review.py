"""Words of the review queue."""

from __future__ import annotations

WORDS: dict[str, tuple[str, str]] = {
    "review.waiting.one": ("{n} answer waits for review.", "{n} 个回答待审核。"),
    "review.waiting.many": ("{n} answers wait for review.", "{n} 个回答待审核。"),
    "review.right": (
        "Of all answers of the drawn times {share} are right, between {low} and {high}.",
        "抽样时段的全部回答中 {share} 正确，区间为 {low} 至 {high}。",
    ),
    "review.draw": ("Draw {n} calls", "抽取 {n} 次调用"),
    "review.drawn": (
        "Drew {n} of {calls} calls: each had the same chance.",
        "从 {calls} 次调用中抽取了 {n} 次：每次机会相同。",
    ),
    "review.case": ("Is this answer right?", "这个回答正确吗？"),
    "review.place": ("{n} of {all}", "第 {n} / {all} 个"),
    "review_why.sampled": ("drawn at random", "随机抽取"),
    "review_why.disputed": ("people contradict each other", "用户意见相左"),
    "review.answer": ("Answer", "回答"),
    "review.is_right": ("The answer is right", "回答正确"),
    "review.users_said": ("Users said", "用户反馈"),
    "review.correct": ("Another answer", "其他答案"),
    "review.correct_hint": ("JSON, or text as it is", "JSON 或纯文本"),
    "review.skip": ("Cannot tell", "无法判断"),
    "review.undo": ("Undo", "撤销"),
    "review.next": ("Next", "下一个"),
    "review.before": ("Before", "上一个"),
    "review.labelled": ("Kept: {value}.", "已保存：{value}。"),
    "review.skipped": ("Skipped.", "已跳过。"),
    "review.undone": ("Taken back.", "已撤销。"),
    "review.agreement": ("How far reviewers agree", "审核者的一致程度"),
    "review_column.raters": ("Reviewers", "审核者"),
    "review_column.cases": ("Cases", "案例数"),
    "review_column.share": ("Agree", "一致率"),
    "review_column.kappa": ("Cohen's kappa", "Cohen κ"),
    "review_column.ac1": ("Gwet's AC1", "Gwet AC1"),
    "review_column.note": ("Mind", "注意"),
    "review_mind.few": ("fewer than 100 cases: do not decide by it", "少于 100 例：不应据此决策"),
    "review_mind.skewed": ("one label is frequent: kappa misleads, read AC1", "某一标签过于频繁：κ 会误导，请看 AC1"),
    "review.nobody": (
        "No answer was labelled by two reviewers yet. A fifth of what is drawn waits for a second one.",
        "尚无回答经两位审核者标注。抽取的五分之一会等待第二位审核者。",
    ),
    "review.empty": ("Nothing waits for review", "没有待审核的回答"),
    "review.will_1": (
        "Calls drawn at random, so that what you find is true of all calls",
        "随机抽取的调用，因此结论适用于全部调用",
    ),
    "review.will_2": ("Answers about which people contradict each other", "用户意见相左的回答"),
    "review.will_3": ("One key a label: 1 to 9, c, s, u, j and k", "一键标注：1–9、c、s、u、j、k"),
}
