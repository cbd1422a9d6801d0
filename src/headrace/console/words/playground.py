"""Words of the playground."""

from __future__ import annotations

WORDS: dict[str, tuple[str, str]] = {
    "playground.sentence": (
        "Ask one chat model, or two side by side. Calls go through the gateway and are recorded like any other.",
        "向一个或并排向两个对话模型提问。调用经过网关，并与其他调用一样被记录。",
    ),
    "playground.again": ("The messages of call {id}, asked again.", "重新提问调用 {id} 的消息。"),
    "playground.no_trace": (
        "Call {id} is not in the journal, or its messages were not kept.",
        "日志中没有调用 {id}，或其消息未被保留。",
    ),
    "playground.ask_title": ("Question", "提问"),
    "playground.model": ("Model", "模型"),
    "playground.beside": ("Beside it", "并排模型"),
    "playground.nobody": ("No second model", "不使用第二个模型"),
    "playground.system": ("System prompt", "系统提示"),
    "playground.question": ("Your question", "你的问题"),
    "playground.ask": ("Ask", "提问"),
    "playground.nothing": ("There is nothing to ask yet: write a question.", "还没有要问的内容：请先写下问题。"),
    "playground.waiting": ("Waiting for the first word", "正在等待第一个字"),
    "playground.figures": (
        "First word after {first}, all after {took}; {read} tokens read, {written} written",
        "首字 {first}，全部 {took}；读取 {read} 个令牌，写出 {written} 个",
    ),
    "playground.up": ("Good answer of {model}", "{model} 的回答好"),
    "playground.down": ("Bad answer of {model}", "{model} 的回答差"),
    "playground.replay": ("Ask again in the playground", "在试验场中重新提问"),
    "playground.empty": ("No chat model yet", "尚无对话模型"),
    "playground.will_1": ("One question, the answers of two models as they write", "一个问题，两个模型边写边答"),
    "playground.will_2": ("A call from production, asked of another model", "将生产中的调用交给另一个模型"),
    "playground.will_3": ("Thumbs that become feedback on the trace", "点赞点踩成为追踪上的反馈"),
    "playground.hint": ("The smallest way to one is a local LLM.", "最简单的方法是启动本地 LLM。"),
}
