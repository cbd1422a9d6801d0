"""headrace apply, diff, gateway, key and secret: what is sent, what is shown, and that no value is an argument."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from cli_planes import Planes, Ran

from headrace.control.wanted import read_wanted
from headrace.types.gateway import Chat, Way

API = "/api/v1/gateway"
MADE = {"key": {"id": "k1", "name": "app"}, "secret": "hr-k1-shown-once"}


def applied(*lines: dict[str, str], **more: object) -> dict[str, object]:
    return {"version": 3, "revision": 9, "lines": list(lines), "keys": []} | more


LINE = {"section": "limit", "name": "team cost day", "deed": "change", "detail": "amount 5 → 6"}


def test_a_file_is_applied(planes: Planes, run: Callable[..., Ran], tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("keys:\n  - {name: app, expires: 2027-01-31}\n")
    planes.says[f"PUT {API}"] = applied(LINE, keys=[MADE])
    ran = run("apply", "-f", str(file), "--reason", "why", "--version", "2")
    assert ran.status == 0
    assert "~ limit team cost day: amount 5 → 6" in ran.out
    assert "hr-k1-shown-once" in ran.out
    body = {"gateway": {"keys": [{"name": "app", "expires": "2027-01-31"}]}, "reason": "why", "version": 2}
    assert planes.asked[-1] == (f"PUT {API}", body)


def test_a_diff_that_is_not_empty_ends_with_1(planes: Planes, run: Callable[..., Ran], tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("limits: []\n")
    planes.says[f"POST {API}/diff"] = [{"lines": [LINE]}, {"lines": []}]
    assert run("diff", "-f", str(file)).status == 1
    assert run("diff", "-f", str(file)).status == 0


def test_show_is_a_file_and_what_was_spent_a_table(planes: Planes, run: Callable[..., Ran]) -> None:
    planes.says[f"GET {API}"] = {"gateway": {"limits": [{"level": "team"}]}, "version": 1}
    assert run("gateway", "show").out == "limits:\n- level: team\n"
    usage = {"input": 5, "output": 6}
    planes.says[f"GET {API}/spend"] = {
        "sums": [{"group": {"team": "search", "day": 1_763_683_200}, "calls": 2, "usage": usage, "cost": 0.5}]
    }
    out = run("gateway", "spend", "--by", "team,day").out
    assert all(part in out for part in ("search", "2025-11-21", "11", "0.5000"))
    planes.says[f"GET {API}/versions"] = {"versions": [{"version": 3, "created": 0, "actor": "ann", "reason": "why"}]}
    assert "why" in run("gateway", "history").out
    planes.says[f"POST {API}/rollback"] = applied(LINE)
    assert "~ limit" in run("gateway", "rollback", "2").out


def test_an_import_says_what_is_missing(planes: Planes, run: Callable[..., Ran], tmp_path: Path) -> None:
    file, out = tmp_path / "config.yaml", tmp_path / "gateway.yaml"
    file.write_text("model_list: []\n")
    planes.says[f"POST {API}/import/litellm"] = {
        "gateway": {"providers": []},
        "endpoints": [{"name": "gpt", "ways": [{"provider": "openai", "model": "gpt-5"}]}],
        "secrets": ["azure"],
        "missing": ["guardrails: has no place here"],
    }
    ran = run("gateway", "import-litellm", str(file), "--out", str(out))
    written = yaml.safe_load(out.read_text())
    assert written["providers"] == []
    (support,) = read_wanted(written["endpoints"])
    assert (support.name, support.chat) == ("gpt", Chat(ways=(Way(provider="openai", model="gpt-5"),)))
    for part in ("headrace secret set azure", "not taken over: guardrails"):
        assert part in ran.out + ran.err


def test_a_key_is_made_turned_and_revoked(planes: Planes, run: Callable[..., Ran]) -> None:
    planes.says[f"POST {API}/keys"] = (201, MADE)
    assert "hr-k1-shown-once" in run("key", "create", "app", "--team", "a", "--models", "x, y*", "--trusted").out
    assert planes.asked[-1][1] == {"name": "app", "team": "a", "models": ["x", "y*"], "trusted": True}
    planes.says[f"POST {API}/keys/app/rotate"] = MADE
    assert "hr-k1-shown-once" in run("key", "rotate", "app", "--grace", "60").out
    planes.says[f"DELETE {API}/keys/app"] = applied()
    assert "revoked" in run("key", "revoke", "app").out
    key = {"id": "k1", "name": "app", "scopes": ["chat"], "created": 1.0, "revoked": 0.0, "expires": 1_801_353_600.0}
    planes.says[f"GET {API}/keys"] = {"keys": [key]}
    assert "until 2027-01-31" in run("key", "list").out


def test_a_secret_comes_from_standard_input_and_is_never_shown(
    planes: Planes, run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    planes.says[f"PUT {API}/secrets/openai"] = applied()
    monkeypatch.setattr("sys.stdin", io.StringIO("sk-canary\n"))
    ran = run("secret", "set", "openai")
    assert planes.asked[-1][1] == {"value": "sk-canary"}
    assert "sk-canary" not in ran.out + ran.err
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert run("secret", "set", "openai").status == 2
    assert run("secret", "set", "openai", "sk-canary").status == 2  # not as an argument
    planes.says[f"GET {API}/secrets"] = {"secrets": ["openai"]}
    assert "openai" in run("secret", "list").out
    planes.says[f"POST {API}/secrets/rotate"] = applied(LINE)
    assert "1 secrets are sealed" in run("secret", "rotate").out
    planes.says[f"DELETE {API}/secrets/openai"] = applied()
    assert "removed" in run("secret", "remove", "openai").out


def test_how_the_gateway_is(planes: Planes, run: Callable[..., Ran]) -> None:
    told = {"provider": "openai", "model": "gpt-5", "inside": 1, "failures_in_a_row": 3, "left_alone": True}
    told |= {"first_byte_ms": 420.0, "last_failure": "slow down", "calls": {"ok": 7, "rate_limit": 3}}
    planes.says[f"GET {API}/upstreams"] = {"upstreams": [told]}
    limit = {"level": "team", "who": "", "counted": "cost", "amount": 50.0, "window": "month", "dry_run": True}
    full = {"limit": limit, "part": 0.82, "counted": 2, "held": [{"who": "search", "used": 41.0, "ends": 0}]}
    planes.says[f"GET {API}/limits"] = {"limits": [full]}
    out = run("gateway", "status").out
    assert all(word in out for word in ("left alone", "420 ms", "10", "slow down", "each team: 50 cost a month", "82%"))
    planes.says[f"GET {API}/versions/3"] = {"version": 3, "actor": "ann", "reason": "why", "lines": [LINE], "back": []}
    out = run("gateway", "change", "3").out
    assert "~ limit team cost day" in out
    assert "rollback 3 would:" in out


def test_what_it_costs_and_at_which_prices(planes: Planes, run: Callable[..., Ran]) -> None:
    forecast = {"so_far": 3.0, "expected": 9.5, "low": 8.0, "high": 11.0, "days": 14, "month": 1_793_491_200.0}
    unpriced = [{"provider": "openai", "model": "new", "calls": 2, "tokens": 1200, "own": False}]
    planes.says[f"GET {API}/costs"] = {"forecast": forecast, "unpriced": unpriced}
    ran = run("gateway", "costs")
    assert "3.00 USD since 2026-11-01" in ran.out
    assert "about 9.50 USD (8.00 to 11.00)" in ran.out
    assert "openai/new: 1,200 tokens, no price" in ran.err
    amounts = dict.fromkeys(("input", "cache_read", "cache_write", "output", "reasoning", "audio"), 1.25)
    price = {"provider": "openai", "model": "gpt-5", "since": 0.0, "above": 0, "source": ""} | amounts
    planes.says[f"GET {API}/prices"] = {"prices": [{"price": price, "hold": "now"}]}
    assert all(word in run("gateway", "prices", "gpt").out for word in ("gpt-5", "in force", "1.25", "a person"))
