"""Words of the tables of record: models, audit, settings."""

from __future__ import annotations

WORDS: dict[str, tuple[str, str]] = {
    "models.sentence.one": ("{n} model version is registered.", "已注册 {n} 个模型版本。"),
    "models.sentence.many": ("{n} model versions are registered.", "已注册 {n} 个模型版本。"),
    "models.versions": ("Model versions", "模型版本"),
    "models.empty": ("No model version yet", "尚无模型版本"),
    "models.will_1": ("Each model version with its stage, aliases and metrics", "每个模型版本及其状态、别名和指标"),
    "models.will_2": ("Its checksum, which is verified before it is loaded", "加载前会验证的校验和"),
    "models.will_3": ("Which endpoint serves it", "由哪个端点提供服务"),
    "models.hint": (
        "Register a model with the stock MLflow client. The demo registers three.",
        "用标准 MLflow 客户端注册模型。演示会注册三个。",
    ),
    "column.aliases": ("Aliases", "别名"),
    "column.flavor": ("Flavour", "框架"),
    "column.metrics": ("Metrics", "指标"),
    "column.checksum": ("Checksum", "校验和"),
    "column.created": ("Created", "创建"),
    "audit.sentence": ("Every change, who made it, and why.", "每一次变更、由谁作出以及原因。"),
    "audit.entries": ("Changes", "变更"),
    "audit.empty": ("Nothing has been changed yet", "尚无变更"),
    "audit.will_1": ("Deployments, stage moves, and every step of a release", "部署、状态变更以及发布的每一步"),
    "audit.will_2": ("Who did it: a person, or a part of the platform", "由谁作出：人或平台的某个部分"),
    "column.actor": ("Actor", "执行者"),
    "column.action": ("Action", "操作"),
    "column.subject": ("Subject", "对象"),
    "column.detail": ("Detail", "详情"),
    "settings.sentence": (
        "What this platform runs with. Change it in headrace.yaml or the environment, then restart.",
        "平台当前的运行设置。可在 headrace.yaml 或环境变量中修改，然后重启。",
    ),
    "settings.set": ("set", "已设置"),
    "settings.empty": ("not set", "未设置"),
    "settings.changed": ("changed", "已更改"),
    "column.setting": ("Setting", "设置"),
    "column.value": ("Value", "值"),
    "column.variable": ("Variable", "变量"),
    "column.meaning": ("Meaning", "含义"),
}
