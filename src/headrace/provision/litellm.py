"""LiteLLM's config.yaml as a gateway: what it is here, and what could not be taken over, in words.

Called by the admin API and the command line. Decides nothing by guessing: what has no place here is said, and keys that
are written into the file are never copied: they become the names of secrets to set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.types.errors import BadInput

# LiteLLM's name of a provider: our kind, where it answers, and the variable that LiteLLM takes its key from.
_KNOWN = {
    "openai": ("openai", "https://api.openai.com/v1", "OPENAI_API_KEY"),
    "anthropic": ("anthropic", "https://api.anthropic.com", "ANTHROPIC_API_KEY"),
    "gemini": ("gemini", "https://generativelanguage.googleapis.com", "GEMINI_API_KEY"),
    "groq": ("openai", "https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    "mistral": ("openai", "https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    "deepseek": ("openai", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    "xai": ("openai", "https://api.x.ai/v1", "XAI_API_KEY"),
    "together_ai": ("openai", "https://api.together.xyz/v1", "TOGETHERAI_API_KEY"),
    "openrouter": ("openai", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "perplexity": ("openai", "https://api.perplexity.ai", "PERPLEXITYAI_API_KEY"),
    "azure": ("azure", "", "AZURE_API_KEY"),
    "hosted_vllm": ("openai", "", ""),
    "ollama": ("openai", "http://127.0.0.1:11434/v1", ""),
    "ollama_chat": ("openai", "http://127.0.0.1:11434/v1", ""),
}
_USED = {
    "model",
    "api_base",
    "api_key",
    "api_version",
    "rpm",
    "tpm",
    "weight",
    "order",
    "input_cost_per_token",
    "output_cost_per_token",
}
_PER_MILLION = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """`gateway`: to apply. `endpoints`: model names and the ways that answer them, for `headrace deploy`. `secrets`: to
    set first. `missing`: what could not be taken over."""

    gateway: dict[str, Any]
    endpoints: list[dict[str, Any]]
    secrets: list[str]
    missing: list[str]


@dataclass(slots=True)
class _Desk:
    providers: dict[str, dict[str, Any]] = field(default_factory=dict)
    limits: list[dict[str, Any]] = field(default_factory=list)
    prices: list[dict[str, Any]] = field(default_factory=list)
    endpoints: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    secrets: dict[str, None] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


def read_litellm(given: Any) -> Imported:
    """Raises BadInput when it is no config.yaml of LiteLLM's."""
    if not isinstance(given, Mapping) or not isinstance(given.get("model_list"), list):
        raise BadInput("LiteLLM's config.yaml has a model_list", field="model_list")
    desk = _Desk()
    for at, entry in enumerate(given["model_list"]):
        _model(desk, entry, f"model_list[{at}]")
    _router(desk, given.get("router_settings") or {}, given.get("litellm_settings") or {})
    _general(desk, given.get("general_settings") or {})
    known = ("model_list", "router_settings", "litellm_settings", "general_settings")
    desk.missing += [f"{name}: has no place here" for name in given if name not in known]
    gateway: dict[str, Any] = {"providers": list(desk.providers.values())}
    gateway |= {"limits": desk.limits} if desk.limits else {}
    gateway |= {"prices": desk.prices} if desk.prices else {}
    ways = [{"name": name, "ways": ways} for name, ways in desk.endpoints.items()]
    return Imported(gateway=gateway, endpoints=ways, secrets=list(desk.secrets), missing=desk.missing)


def _model(desk: _Desk, entry: Any, where: str) -> None:
    parameters = entry.get("litellm_params") if isinstance(entry, Mapping) else None
    if not isinstance(parameters, Mapping) or not isinstance(parameters.get("model"), str):
        desk.missing.append(f"{where}: has no litellm_params.model")
        return
    prefix, slash, rest = parameters["model"].partition("/")
    name, model = (prefix, rest) if slash and prefix in _KNOWN else ("openai", parameters["model"])
    if slash and prefix not in _KNOWN and not parameters.get("api_base"):
        desk.missing.append(f"{where}: provider {prefix!r} is not spoken here; an OpenAI-compatible address may be")
        return
    provider = _provider(desk, name, parameters, where)
    if provider is None:
        return
    endpoint = str(entry.get("model_name") or model)
    way: dict[str, Any] = {"provider": provider, "model": model}
    way |= {"weight": float(parameters["weight"])} if "weight" in parameters else {}
    way |= {"tier": int(parameters["order"]) - 1} if "order" in parameters else {}
    desk.endpoints.setdefault(endpoint, []).append(way)
    _amounts(desk, endpoint, provider, model, parameters)
    desk.missing += [
        f"{where}.litellm_params.{key}: set it in the endpoint's version (parameters, or ways)"
        for key in parameters
        if key not in _USED
    ]
    desk.missing += [
        f"{where}.{key}: has no place here" for key in entry if key not in ("model_name", "litellm_params")
    ]


def _provider(desk: _Desk, name: str, parameters: Mapping[str, Any], where: str) -> str | None:
    kind, url, variable = _KNOWN[name]
    address = str(parameters.get("api_base") or url).rstrip("/")
    if address.startswith("os.environ/") or not address:
        desk.missing.append(f"{where}: the address of {name!r} is not in the file; write it into providers")
        return None
    secret = _secret(desk, name, parameters.get("api_key"), variable, where)
    made: dict[str, Any] = {"name": name, "kind": kind, "url": address}
    made |= {"secret": secret} if secret else {}
    made |= {"private": True} if re.match(r"https?://(localhost|127\.|10\.|192\.168\.)", address) else {}
    made |= {"api_version": str(parameters["api_version"])} if "api_version" in parameters else {}
    for known in desk.providers.values():
        if {**known, "name": name} == made:
            return str(known["name"])
    number = 1
    while made["name"] in desk.providers:
        number += 1
        made["name"] = f"{name}-{number}"
    desk.providers[made["name"]] = made
    return str(made["name"])


def _secret(desk: _Desk, name: str, key: Any, variable: str, where: str) -> str:
    if isinstance(key, str) and key.startswith("os.environ/"):
        return f"env:{key.removeprefix('os.environ/')}"
    if isinstance(key, str) and key:
        desk.secrets[name] = None
        desk.missing.append(f"{where}: its key is in the file itself and is not copied; headrace secret set {name}")
        return name
    return f"env:{variable}" if variable else ""


def _amounts(desk: _Desk, endpoint: str, provider: str, model: str, parameters: Mapping[str, Any]) -> None:
    for key, counted in (("rpm", "requests"), ("tpm", "tokens")):
        if key in parameters:
            limit = {"level": "endpoint", "who": endpoint, "counted": counted, "window": "minute"}
            same = next((each for each in desk.limits if limit.items() <= each.items()), None)
            if same is None:
                desk.limits.append(limit | {"amount": float(parameters[key])})
            else:
                same["amount"] += float(parameters[key])  # LiteLLM's are for each deployment of a name
    if "input_cost_per_token" in parameters or "output_cost_per_token" in parameters:
        costs = {
            name: float(parameters.get(f"{name}_cost_per_token", 0)) * _PER_MILLION for name in ("input", "output")
        }
        price = {"provider": provider, "model": model} | costs
        if price not in desk.prices:
            desk.prices.append(price)


def _router(desk: _Desk, router: Mapping[str, Any], litellm: Mapping[str, Any]) -> None:
    for source, settings in (("router_settings", router), ("litellm_settings", litellm)):
        for key, value in settings.items():
            if key == "fallbacks" and isinstance(value, list):
                _fallbacks(desk, value)
            else:
                desk.missing.append(f"{source}.{key}: has no place here, or is a setting of an endpoint's version")


def _fallbacks(desk: _Desk, listed: list[Any]) -> None:
    """The ways of another name, behind one's own."""
    alone = {name: list(ways) for name, ways in desk.endpoints.items()}
    pairs = [pair for each in listed if isinstance(each, Mapping) for pair in each.items()]
    for name, others in pairs:
        own = desk.endpoints.get(name)
        if own is None:
            desk.missing.append(f"fallbacks of {name!r}: there is no such model_name")
            continue
        for other in others:
            tier = max(way.get("tier", 0) for way in own) + 1
            own += [way | {"tier": tier} for way in alone.get(other, ())]


def _general(desk: _Desk, general: Mapping[str, Any]) -> None:
    for key in general:
        told = {
            "master_key": "not taken over; headrace key create, and HEADRACE_ADMIN_TOKEN for the control plane",
            "database_url": "not needed: HEADRACE_DATABASE_URL is Headrace's own",
        }.get(key, "has no place here")
        desk.missing.append(f"general_settings.{key}: {told}")
