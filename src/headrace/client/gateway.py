"""The gateway's configuration, keys, secrets and spending.

Part of admin.py's Admin.
"""

from __future__ import annotations

from typing import Any

from headrace.client.forms import API, Json, Part, as_list, as_object, part


class GatewayCalls(Part):
    def gateway(self) -> Json:
        """`gateway` as it may be applied again, its `version`, keys, and the names of secrets."""
        return as_object(self._wire.get(f"{API}/gateway"))

    def apply_gateway(self, gateway: Json, *, reason: str = "", version: int | None = None) -> Json:
        """Sections that are missing stay as they are. `version`: that this is a change of; Conflict if there is a newer
        one. New keys are in the answer this once."""
        body = {"gateway": gateway, "reason": reason} | ({} if version is None else {"version": version})
        return as_object(self._wire.put(f"{API}/gateway", body))

    def diff_gateway(self, gateway: Json) -> list[Json]:
        return as_list(self._wire.post(f"{API}/gateway/diff", {"gateway": gateway}), "lines")

    def gateway_versions(self, *, limit: int | None = None) -> list[Json]:
        """The newest first."""
        return as_list(self._wire.get(f"{API}/gateway/versions", limit=limit), "versions")

    def gateway_version(self, version: int) -> Json:
        """What it changed (`lines`), and what going back to it would change now (`back`)."""
        return as_object(self._wire.get(f"{API}/gateway/versions/{version}"))

    def upstreams(self) -> list[Json]:
        """How upstream models are, one row each."""
        return as_list(self._wire.get(f"{API}/gateway/upstreams"), "upstreams")

    def limits(self, *, top: int | None = None) -> list[Json]:
        """How full limits are; of each the `top` who are fullest."""
        return as_list(self._wire.get(f"{API}/gateway/limits", top=top), "limits")

    def costs(self) -> Json:
        """This month: so far, the forecast, and models without a price."""
        return as_object(self._wire.get(f"{API}/gateway/costs"))

    def prices(self, *, find: str = "") -> list[Json]:
        return as_list(self._wire.get(f"{API}/gateway/prices", find=find or None), "prices")

    def gateway_cache(self) -> list[Json]:
        """By endpoint, since the data planes started."""
        return as_list(self._wire.get(f"{API}/gateway/cache"), "endpoints")

    def roll_back_gateway(self, version: int, *, reason: str = "") -> Json:
        return as_object(self._wire.post(f"{API}/gateway/rollback", {"version": version, "reason": reason}))

    def import_litellm(self, config: Json) -> Json:
        return as_object(self._wire.post(f"{API}/gateway/import/litellm", {"gateway": config}))

    def keys(self) -> list[Json]:
        return as_list(self._wire.get(f"{API}/gateway/keys"), "keys")

    def create_key(self, **described: Any) -> Json:
        """name, workspace, team, user, models, scopes, trusted, user_secret, expires. `secret` is shown this once."""
        return as_object(self._wire.post(f"{API}/gateway/keys", described))

    def rotate_key(self, key: str, *, grace_seconds: float) -> Json:
        path = f"{API}/gateway/keys/{part(key)}/rotate"
        return as_object(self._wire.post(path, {"grace_seconds": grace_seconds}))

    def revoke_key(self, key: str) -> Json:
        return as_object(self._wire.delete(f"{API}/gateway/keys/{part(key)}"))

    def secrets(self) -> list[str]:
        """Their names."""
        return as_list(self._wire.get(f"{API}/gateway/secrets"), "secrets")

    def set_secret(self, name: str, value: str) -> Json:
        return as_object(self._wire.put(f"{API}/gateway/secrets/{part(name)}", {"value": value}))

    def remove_secret(self, name: str) -> Json:
        return as_object(self._wire.delete(f"{API}/gateway/secrets/{part(name)}"))

    def rotate_secrets(self) -> Json:
        return as_object(self._wire.post(f"{API}/gateway/secrets/rotate", {}))

    def spend(self, *, by: str = "", since: float | None = None, until: float | None = None) -> list[Json]:
        """What calls to language models used and cost, the dearest first; `by` such as team,model,day."""
        return as_list(self._wire.get(f"{API}/gateway/spend", by=by or None, since=since, until=until), "sums")
