"""Words of the pages that have nothing to show yet: a sentence, what each will show, and what there is today."""

from __future__ import annotations

WORDS: dict[str, tuple[str, str]] = {
    "teach.title": ("This page is not built yet. It will show:", "此页面尚未完成。它将展示："),
    "teach.features.sentence": ("Features that training and serving share.", "训练与推理共享的特征。"),
    "teach.features.will_1": ("Feature views with their freshness", "特征视图及其新鲜度"),
    "teach.features.will_2": ("Training sets that are correct at each point in time", "时间点正确的训练集"),
    "teach.features.will_3": ("Where training and serving differ", "训练与推理的差异"),
    "teach.features.today": ("Today: nothing starts this yet.", "目前：尚无可启动的命令。"),
    "teach.lineage.sentence": ("What came from what.", "来龙去脉。"),
    "teach.lineage.will_1": (
        "Dataset, run, model version, endpoint, trace, feedback, next dataset, as one graph",
        "数据集、训练、模型版本、端点、追踪、反馈、下一个数据集，一张图",
    ),
    "teach.lineage.will_2": ("From a bad answer back to the rows it was trained on", "从一个错误回答追溯到训练数据"),
    "teach.lineage.will_3": ("From a dataset forward to all that depends on it", "从一个数据集找到所有依赖它的对象"),
    "teach.lineage.today": (
        "Today: a model version names its run and its training dataset, see Models.",
        "目前：模型版本会标明其训练与数据集，见“模型”。",
    ),
    "teach.monitor.sentence": ("What changes slowly.", "缓慢变化的事物。"),
    "teach.monitor.will_1": ("Drift of each feature and of the answers", "每个特征与回答的漂移"),
    "teach.monitor.will_2": ("Quality by labelled feedback over weeks", "数周内基于标注反馈的质量"),
    "teach.monitor.will_3": ("Reports, as a page and as a file", "页面与文件形式的报告"),
    "teach.monitor.today": (
        "Today: live figures are on each endpoint's page, and the data plane gives them to Prometheus.",
        "目前：端点页面有实时指标，数据平面也向 Prometheus 提供。",
    ),
    "teach.alerts.sentence": ("What somebody must look at.", "需要有人查看的事项。"),
    "teach.alerts.will_1": ("Rules on rate, errors, latency, drift and cost", "针对速率、错误、延迟、漂移和成本的规则"),
    "teach.alerts.will_2": ("What fires now, since when, and who was told", "当前触发的告警、起始时间与通知对象"),
    "teach.alerts.will_3": ("Marks on every chart where an alert began", "在图表上标出告警起点"),
    "teach.alerts.today": (
        "Today: a release that needs a decision is named on the overview.",
        "目前：需要决定的发布会显示在总览中。",
    ),
    "teach.judges.sentence": ("Judges that agree with people.", "与人判断一致的评审。"),
    "teach.judges.will_1": ("Write a judge and try it on real traces", "编写评审并在真实追踪上试用"),
    "teach.judges.will_2": ("How well it agrees with people's feedback", "它与用户反馈的一致程度"),
    "teach.judges.will_3": ("What it says about live traffic", "它对实时流量的评价"),
    "teach.judges.today": ("Today: nothing starts this yet.", "目前：尚无可启动的命令。"),
    "teach.jobs.sentence": ("Work that takes longer than a request.", "耗时超过一次请求的工作。"),
    "teach.jobs.will_1": ("Training, conversion and batch prediction, with progress", "训练、转换与批量预测及其进度"),
    "teach.jobs.will_2": ("Queue, priority and quota", "队列、优先级与配额"),
    "teach.jobs.will_3": ("Logs, and a button to cancel", "日志与取消按钮"),
    "teach.jobs.today": (
        "Today: the conversion of a model shows its progress where you deploy it, on the command line.",
        "目前：模型转换的进度显示在执行部署的命令行中。",
    ),
    "teach.access.sentence": ("Who may do what.", "谁可以做什么。"),
    "teach.access.will_1": ("People, roles and workspaces", "人员、角色与工作区"),
    "teach.access.will_2": ("Keys, when they were last used", "密钥及其最近使用时间"),
    "teach.access.will_3": ("Sign-in with your identity provider", "通过身份提供商登录"),
    "teach.access.today": (
        "Today: keys and the admin token are settings: api_keys and admin_token.",
        "目前：密钥与管理令牌是设置项：api_keys 与 admin_token。",
    ),
    "teach.policies.sentence": (
        "What a model version must meet before it gets traffic.",
        "模型版本获得流量前必须满足的条件。",
    ),
    "teach.policies.will_1": (
        "Rules on quality, documentation, fairness and licence",
        "关于质量、文档、公平性与许可的规则",
    ),
    "teach.policies.will_2": ("Which versions meet them", "哪些版本满足"),
    "teach.policies.will_3": ("Who made an exception, and why", "谁批准了例外以及原因"),
    "teach.policies.today": (
        "Today: a version must match its checksum and answer exactly like its original before it gets traffic.",
        "目前：版本必须校验和一致，且回答与原模型完全一致，才能获得流量。",
    ),
    "teach.compute.sentence": ("The machines under it.", "底层机器。"),
    "teach.compute.will_1": ("Processors, memory and GPUs, with their load", "处理器、内存与 GPU 的负载"),
    "teach.compute.will_2": ("Which model runs where", "哪个模型运行在哪里"),
    "teach.compute.will_3": (
        "Ray and Kubernetes, when there is more than one machine",
        "多台机器时的 Ray 与 Kubernetes",
    ),
    "teach.compute.today": (
        "Today: the state of each process is on the command line.",
        "目前：各进程状态可在命令行查看。",
    ),
    "teach.assistant.sentence": ("Ask why, and get an answer with its evidence.", "询问原因，得到附证据的回答。"),
    "teach.assistant.will_1": ("Why a latency rose, why a release was rolled back", "延迟为何上升、发布为何回滚"),
    "teach.assistant.will_2": ("What it proposes to do, as a diff", "以差异形式给出建议"),
    "teach.assistant.will_3": ("It acts only after a yes", "仅在得到同意后执行"),
    "teach.assistant.today": (
        "Today: each release says why in its verdict, and each change is in the audit.",
        "目前：每个发布在结论中说明原因，每次变更都写入审计。",
    ),
}
