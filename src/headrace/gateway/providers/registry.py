"""The kinds of providers, one row each."""

from __future__ import annotations

from headrace.gateway.providers.anthropic import Anthropic
from headrace.gateway.providers.azure import Azure
from headrace.gateway.providers.base import Kind
from headrace.gateway.providers.gemini import Gemini
from headrace.gateway.providers.openai import OpenAI
from headrace.types.gateway import ProviderKind

KINDS: dict[ProviderKind, Kind] = {
    ProviderKind.OPENAI: OpenAI(),
    ProviderKind.AZURE: Azure(),
    ProviderKind.ANTHROPIC: Anthropic(),
    ProviderKind.GEMINI: Gemini(),
}
