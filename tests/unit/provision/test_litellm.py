"""LiteLLM's config.yaml: what it becomes, and that nothing is dropped without a word."""

from __future__ import annotations

import pytest
import yaml

from headrace.provision.document import check, read
from headrace.provision.litellm import read_litellm
from headrace.types.errors import BadInput
from headrace.types.gateway import Gateway

CANARY = "sk-canary-91c0"
CONFIG = yaml.safe_load(
    f"""
model_list:
  - model_name: gpt
    litellm_params: {{model: openai/gpt-5, api_key: os.environ/OPENAI_API_KEY, rpm: 100, tpm: 9000, weight: 3}}
  - model_name: gpt
    litellm_params: {{model: azure/my-gpt, api_base: "https://x.openai.azure.com", api_key: "{CANARY}", rpm: 50,
                      api_version: 2025-01-01-preview}}
  - model_name: claude
    litellm_params: {{model: anthropic/claude-sonnet-4-5, timeout: 30}}
    model_info: {{mode: chat}}
  - model_name: local
    litellm_params: {{model: hosted_vllm/qwen, api_base: "http://10.0.0.5:8000/v1", input_cost_per_token: 0.000001}}
  - model_name: local
    litellm_params: {{model: openai/qwen, api_base: "http://127.0.0.1:9/v1", order: 2}}
  - model_name: far
    litellm_params: {{model: bedrock/anthropic.claude}}
  - model_name: bad
router_settings: {{routing_strategy: least-busy}}
litellm_settings:
  fallbacks: [{{gpt: [claude, local]}}, {{nix: [gpt]}}]
general_settings: {{master_key: sk-1234, database_url: "postgres://u:p@h/d"}}
guardrails: []
"""
)


def test_what_it_becomes() -> None:
    found = read_litellm(CONFIG)
    assert [(p["name"], p["kind"], p["url"], p.get("secret")) for p in found.gateway["providers"]] == [
        ("openai", "openai", "https://api.openai.com/v1", "env:OPENAI_API_KEY"),
        ("azure", "azure", "https://x.openai.azure.com", "azure"),
        ("anthropic", "anthropic", "https://api.anthropic.com", "env:ANTHROPIC_API_KEY"),
        ("hosted_vllm", "openai", "http://10.0.0.5:8000/v1", None),
        ("openai-2", "openai", "http://127.0.0.1:9/v1", "env:OPENAI_API_KEY"),
    ]
    ways = {each["name"]: each["ways"] for each in found.endpoints}
    assert ways["gpt"] == [
        {"provider": "openai", "model": "gpt-5", "weight": 3.0},
        {"provider": "azure", "model": "my-gpt"},
        {"provider": "anthropic", "model": "claude-sonnet-4-5", "tier": 1},
        {"provider": "hosted_vllm", "model": "qwen", "tier": 2},
        {"provider": "openai-2", "model": "qwen", "tier": 2},
    ]
    assert ways["local"][1]["tier"] == 1
    assert {(each["counted"], each["amount"]) for each in found.gateway["limits"]} == {
        ("requests", 150),
        ("tokens", 9000),
    }
    assert found.gateway["prices"] == [{"provider": "hosted_vllm", "model": "qwen", "input": 1.0, "output": 0.0}]
    assert found.secrets == ["azure"]


def test_nothing_is_dropped_without_a_word_and_no_key_is_copied() -> None:
    found = read_litellm(CONFIG)
    told = "\n".join(found.missing)
    for part in (
        *("model_list[1]: its key", "model_list[2].litellm_params.timeout", "model_list[2].model_info"),
        *("model_list[5]: provider 'bedrock'", "model_list[6]: has no litellm_params.model"),
        *("router_settings.routing_strategy", "fallbacks of 'nix'", "general_settings.master_key", "guardrails"),
    ):
        assert part in told
    assert CANARY not in str(found)
    assert "sk-1234" not in str(found)


def test_it_can_be_applied() -> None:
    made = read(read_litellm(CONFIG).gateway, Gateway(secrets={"azure": "sealed"}))
    check(made, secrets=["azure"])
    assert len(made.providers) == 5


@pytest.mark.parametrize("given", [None, [], {}, {"model_list": {}}])
def test_another_file_is_none(given: object) -> None:
    with pytest.raises(BadInput, match="model_list"):
        read_litellm(given)
