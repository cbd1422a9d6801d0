"""Words of the steps of a release: what each kind is called, what it means, what it waits for and what it asks."""

from __future__ import annotations

WORDS: dict[str, tuple[str, str]] = {
    "kind.share": ("{share}", "{share}"),
    "kind.shadow": ("Shadow {mirror}", "影子 {mirror}"),
    "kind.preview": ("Preview", "预览"),
    "kind.approval": ("Approval", "审批"),
    "kind.switch": ("All users", "全部用户"),
    "kind.horizon": ("A/B {share}", "A/B 测试 {share}"),
    "place_of.share": ("at {share}", "{share}"),
    "place_of.shadow": ("in the shadow of {mirror} of calls", "{mirror} 调用的影子中"),
    "place_of.preview": ("in the preview", "预览中"),
    "place_of.approval": ("at {share}", "{share}"),
    "place_of.switch": ("with all users", "全部用户"),
    "place_of.horizon": ("in the A/B test at {share}", "{share} 的 A/B 测试中"),
    "kind_means.share": (
        "{candidate} answers {share} of users; they are compared with those of {baseline}.",
        "{candidate} 回答 {share} 的用户，并与 {baseline} 的用户比较。",
    ),
    "kind_means.shadow": (
        (
            "{candidate} gets copies of {mirror} of calls. Nobody sees its answers; each is compared with the one "
            "that {baseline} gave."
        ),
        "{candidate} 收到 {mirror} 调用的副本。无人看到它的回答；每个回答都与 {baseline} 给出的回答比较。",
    ),
    "kind_means.preview": (
        "{candidate} answers only calls that ask for it by header; everybody else has {baseline}.",
        "{candidate} 只回答用请求头指定它的调用；其他人仍由 {baseline} 回答。",
    ),
    "kind_means.approval": (
        "Everything stays as it is until a person says go. Harm still rolls back by itself.",
        "在有人批准之前保持不变。若出现损害仍会自动回滚。",
    ),
    "kind_means.switch": (
        "{candidate} answers everyone. {baseline} stays loaded and takes over again at the first sign of harm.",
        "{candidate} 回答所有用户。{baseline} 保持加载，一旦出现损害迹象立即接回。",
    ),
    "kind_means.horizon": (
        (
            "{candidate} answers {share} of users, {baseline} the others, until the horizon; only harm to a guardrail "
            "ends it earlier."
        ),
        "{candidate} 回答 {share} 的用户，其余由 {baseline} 回答，直到终点；只有护栏指标受损才会提前结束。",
    ),
    "stands.share": ("{candidate} answers {share} of users.", "{candidate} 回答 {share} 的用户。"),
    "stands.shadow": (
        (
            "{candidate} answers copies of {mirror} of calls, and {differ} of its answers differ; users get those of "
            "{baseline}."
        ),
        "{candidate} 回答 {mirror} 调用的副本，其中 {differ} 的回答不同；用户得到的是 {baseline} 的回答。",
    ),
    "stands.preview": (
        "{candidate} answers only who asks for it by header; {baseline} answers everyone else.",
        "{candidate} 只回答用请求头指定它的人；其他人由 {baseline} 回答。",
    ),
    "stands.switch": (
        "{candidate} answers everyone, {baseline} stands by.",
        "{candidate} 回答所有用户，{baseline} 待命。",
    ),
    "stands.horizon": (
        "{candidate} and {baseline} are compared side by side at {share}.",
        "{candidate} 与 {baseline} 以 {share} 并行比较。",
    ),
    "release.held": ("Held: {missing}.", "停留：{missing}。"),
    "release.and": (" and ", "，"),
    "release.calm": ("No sign of harm; it goes on.", "没有损害迹象，继续推进。"),
    "wait.users": ("Users", "用户"),
    "wait.users_words": ("{have} so far, {need} needed", "目前 {have}，需要 {need} 个"),
    "wait.pairs": ("Answers compared", "已比较的回答"),
    "wait.pairs_words": ("{have} of {need} compared", "已比较 {have}/{need}"),
    "wait.pairs_met": ("{have} compared", "已比较 {have}"),
    "wait.arm_met": ("{have} of {variant}", "{variant} 有 {have}"),
    "wait.arm": ("Users of {variant}", "{variant} 的用户"),
    "wait.arm_words": (
        "{have} of {need} of {variant}",
        "{variant} 已有 {have}/{need}",
    ),
    "wait.time": ("Time", "时间"),
    "wait.proof": ("Proof: {metric}", "证明：{metric}"),
    "wait.proof_early": (
        "too few users to say when {metric} is proven",
        "用户太少，尚无法估计 {metric} 何时得证",
    ),
    "wait.proof_users": (
        "{have} so far, about {need} needed to prove {metric} no worse",
        "目前 {have}，约需 {need} 个才能证明 {metric} 不变差",
    ),
    "wait.proof_pairs": (
        "{have} compared so far, about {need} needed to prove that few enough answers differ",
        "目前比较了 {have}，约需 {need} 个才能证明差异足够少",
    ),
    "wait.data_words": (
        "{have} of {need} of {metric}, which must have data",
        "{metric} 必须有数据：{have}/{need}",
    ),
    "asked.approval": (
        "{candidate} waits for approval {place}: {reason}?",
        "{candidate} 在{place}等待审批：{reason}？",
    ),
    "asked.horizon": (
        (
            "The A/B test has reached its horizon: {on_candidate} of {candidate}, {on_baseline} of {baseline}. "
            "Read the result, then promote or abort."
        ),
        ("A/B 测试已到终点：{candidate} 有 {on_candidate}，{baseline} 有 {on_baseline}。请阅读结果，然后晋升或中止。"),
    ),
    "asked.split": (
        (
            "{candidate} is paused {place}: users do not come in the share that was asked for "
            "({on_baseline} of {baseline}, "
            "{on_candidate} of {candidate}), so no comparison can be trusted. Find out why before you go on."
        ),
        (
            "{candidate} 在{place}暂停：用户没有按要求的份额到来"
            "（{baseline} {on_baseline}，{candidate} {on_candidate}），"
            "任何比较都不可信。继续之前请查明原因。"
        ),
    ),
    "asked_short.approval": ("a person has to approve", "需要有人审批"),
    "asked_short.horizon": ("the horizon is reached", "已到终点"),
    "asked_short.split": ("the split is not as asked for", "份额与要求不符"),
    "asked_short.undecided": ("time is up, nothing proven", "时间已到，未能证明"),
    "overview_asked.approval": (
        "The release of {endpoint} {candidate} waits for approval.",
        "{endpoint} {candidate} 的发布正等待审批。",
    ),
    "overview_asked.horizon": (
        "The A/B test of {endpoint} {candidate} is over and waits to be read.",
        "{endpoint} {candidate} 的 A/B 测试已结束，等待阅读结果。",
    ),
    "overview_asked.split": (
        "The release of {endpoint} {candidate} is paused: its users do not come in the share that was asked for.",
        "{endpoint} {candidate} 的发布已暂停：用户没有按要求的份额到来。",
    ),
    "overview_asked.undecided": (
        "The release of {endpoint} {candidate} waits for a decision.",
        "{endpoint} {candidate} 的发布正等待决定。",
    ),
    "overview.waiting_for.one": ("{n} release waits for a person: {names}.", "{n} 个发布等待处理：{names}。"),
    "overview.waiting_for.many": ("{n} releases wait for a person: {names}.", "{n} 个发布等待处理：{names}。"),
    "approval.next": ("may {candidate} go on to {step}?", "{candidate} 可以进入 {step} 吗？"),
    "approval.all": ("may {candidate} have all traffic?", "{candidate} 可以获得全部流量吗？"),
    "step.over": ("about to go on", "即将继续"),
    "step_last.proof": ("all traffic, once proven", "证明后全部流量"),
    "step_last.calm": ("all traffic, without a sign of harm", "无损害迹象后全部流量"),
    "step_last.switch": ("for good, after the watch", "观察后正式生效"),
    "step_last.ask": ("all traffic, when a person says so", "由人决定后全部流量"),
    "now.title": ("Now: {step}", "当前：{step}"),
    "now.tolerated": (
        "{n} compared, {part} differ, {limit} tolerated",
        "已比较 {n}，{part} 不同，容许 {limit}",
    ),
    "now.lost": (
        "{lost} without an answer, {dropped} of them dropped for lack of room",
        "{lost}没有返回，其中 {dropped} 个因容量不足被丢弃",
    ),
    "now.speed": (
        "half of the answers within {candidate_ms} from {candidate}, {baseline_ms} from {baseline}",
        "一半回答的用时：{candidate} 不超过 {candidate_ms}，{baseline} 不超过 {baseline_ms}",
    ),
    "now.limit": (
        "back at once if {metric} is above {limit} in an interval",
        "若某区间 {metric} 高于 {limit} 则立即切回",
    ),
    "action.approve": ("Approve", "批准"),
    "ask.approve": ("Let the release of {endpoint} {candidate} go on?", "让 {endpoint} {candidate} 的发布继续？"),
    "ask.approve_means": (
        (
            "This is the approval that the plan asks for. {candidate} moves to the next step; evidence still rolls "
            "back to {baseline} by itself."
        ),
        "这是计划要求的审批。{candidate} 进入下一步；证据仍会自动触发回滚到 {baseline}。",
    ),
    "did.approve": ("Approved {candidate}", "已批准 {candidate}"),
    "change.step": ("The step", "步骤"),
    "members.title": ("Endpoints that move together", "一起移动的端点"),
    "members.more.one": ("and {n} more endpoint", "以及另外 {n} 个端点"),
    "members.more.many": ("and {n} more endpoints", "以及另外 {n} 个端点"),
    "undo.button": ("Undo", "撤销"),
    "undo.ask": ("Take back the last move of {endpoint}?", "撤回 {endpoint} 的上一次变更？"),
    "undo.means": (
        "The last move is {action} by {actor}. Taken back, {to} answers everyone again.",
        "上一次变更是 {actor} 的 {action}。撤回后，{to} 重新回答所有用户。",
    ),
    "undo.yes": ("Give it back", "退回流量"),
    "undo.did": ("{to} answers everyone of {endpoint} again", "{to} 重新回答 {endpoint} 的所有用户"),
    "sides.title": ("Versions side by side", "版本并排对比"),
    "sides.change": ("Change", "变化"),
    "sides.calls": ("Calls, 5 min, and failed", "调用（5 分钟）及失败率"),
}
