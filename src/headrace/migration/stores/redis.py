"""Redis or Valkey: `redis://host:6379/0?prefix=features:`, each row a hash under the prefix and its key.

Made by base.open_store. Decides that each step is one script, which the server runs alone; with `?form=string` a row of
one field is a plain string. Beside the rows: `headrace:move:NAME:versions`, `:pending` and `:role`. One server, no
cluster: a script there may not touch the keys of several slots. How long a write is safe is the server's own setting
(`appendonly yes`, `appendfsync always`). A row's time to live is not moved.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlunsplit

from redis import Redis
from redis.exceptions import RedisError

from headrace.migration.stores.base import Place
from headrace.migration.values import from_text, to_text
from headrace.types.errors import BadInput, Unavailable, UpstreamError
from headrace.types.migration import Key, Kind, Lag, Layout, Page, Reading, Role, Row, Standing, Values, Written

OPTIONS = ("prefix", "form")
TIMEOUT_SECONDS = 30.0
_OURS = "headrace:"

# Each: KEYS are versions, pending, role. ARGV[1] the prefix, ARGV[2] 'hash' or 'string'.
_SET = """
local function set(key, form, fields)
  redis.call('DEL', key)
  if form == 'string' then
    if fields[2] ~= nil then redis.call('SET', key, fields[2]) end
  elseif #fields > 0 then
    redis.call('HSET', key, unpack(fields))
  end
end
local prefix, form = ARGV[1], ARGV[2]
"""
# ARGV: …, key, 'put' or 'delete', then names and values.
_WRITE = (
    _SET
    + """
local stand = redis.call('HMGET', KEYS[3], 'role', 'dual', 'epoch')
if stand[1] ~= 'truth' then return {stand[1] or false} end
local key, fields = ARGV[3], {}
for i = 5, #ARGV do fields[#fields + 1] = ARGV[i] end
local version = math.max(tonumber(redis.call('HGET', KEYS[1], key) or '0'), stand[3] * 4294967296) + 1
redis.call('HSET', KEYS[1], key, string.format('%.0f', version))
set(prefix .. key, form, fields)
if stand[2] == '1' then
  local now = redis.call('TIME')
  redis.call('ZADD', KEYS[2], 'NX', now[1] + now[2] / 1000000, key)
else
  redis.call('ZREM', KEYS[2], key)
end
return {stand[1], version, stand[2]}
"""
)
# ARGV: …, then for each row its key, version, the number of names and values, and these.
_FOLLOW = (
    _SET
    + """
local taken, at = 0, 4
while at <= #ARGV do
  local key, version, count = ARGV[at - 1], tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local fields = {}
  for i = 1, count do fields[i] = ARGV[at + 1 + i] end
  if version >= tonumber(redis.call('HGET', KEYS[1], key) or '-1') then
    redis.call('HSET', KEYS[1], key, ARGV[at])
    set(prefix .. key, form, fields)
    taken = taken + 1
  end
  at = at + 3 + count
end
return taken
"""
)
# ARGV: …, then keys. Of each its version and what is there; last where the store stands.
_GET = """
local found = {}
for i = 3, #ARGV do
  local key = ARGV[1] .. ARGV[i]
  local row
  if ARGV[2] == 'string' then row = redis.call('GET', key) else row = redis.call('HGETALL', key) end
  found[#found + 1] = {redis.call('HGET', KEYS[1], ARGV[i]) or '0', row}
end
found[#found + 1] = redis.call('HMGET', KEYS[3], 'role', 'epoch', 'dual')
return found
"""
# ARGV: key and version of each.
_SETTLE = """
for i = 1, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then redis.call('ZREM', KEYS[2], ARGV[i]) end
end
"""
# ARGV: the expected role and epoch, the new role, epoch and dual.
_STAND = """
local stand = redis.call('HMGET', KEYS[3], 'role', 'epoch')
if stand[1] ~= ARGV[1] or stand[2] ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[3], 'role', ARGV[3], 'epoch', ARGV[4], 'dual', ARGV[5])
return 1
"""
_PREPARE = """
if redis.call('EXISTS', KEYS[3]) == 0 then redis.call('HSET', KEYS[3], 'role', ARGV[1], 'epoch', 0, 'dual', 0) end
"""
_LAG = """
local oldest = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
local now = redis.call('TIME')
local age = 0
if oldest[2] then age = now[1] + now[2] / 1000000 - oldest[2] end
return {redis.call('ZCARD', KEYS[2]), tostring(age)}
"""


class RedisStore:
    def __init__(self, place: Place, *, prefix: str, form: str, name: str, layout: Layout) -> None:
        self.name = place.shown
        self._migration, self._layout = name, layout
        self._prefix, self._form = prefix.encode(), form.encode()
        bare = urlunsplit(place.parts._replace(query="", fragment=""))
        self._redis = Redis.from_url(bare, socket_connect_timeout=5, socket_timeout=TIMEOUT_SECONDS)
        self._beside = [f"{_OURS}move:{name}:{what}" for what in ("versions", "pending", "role")]
        self._scripts = {
            text: self._redis.register_script(text) for text in (_WRITE, _FOLLOW, _GET, _SETTLE, _STAND, _PREPARE, _LAG)
        }

    def prepare(self, role: Role) -> None:
        self._run(_PREPARE, role.value)

    def get(self, keys: Sequence[Key]) -> Reading:
        *found, stand = self._run(_GET, self._prefix, self._form, *keys)
        rows = tuple(self._row(key, raw) for key, raw in zip(keys, found, strict=True))
        return Reading(rows=rows, standing=self._standing(stand))

    def page(self, after: str, limit: int) -> Page:
        """A cursor of SCAN holds as long as the server runs; another one begins from the start, which loses nothing."""
        with self._named():
            run: Any = self._redis.info("server")
            run_id = str(run["run_id"])
            known, _, place = after.partition(" ")
            cursor = int(place) if known == run_id else 0
            pattern = re.sub(rb"([*?\[\]\\])", rb"\\\1", self._prefix) + b"*"
            scanned: Any = self._redis.scan(cursor, match=pattern, count=limit)
        cursor, names = scanned
        keys = [self._key(name) for name in dict.fromkeys(names)]
        rows = tuple(row for row in self.get(keys).rows if row.values is not None) if keys else ()
        return Page(rows=rows, after=f"{run_id} {cursor}" if cursor else "")

    def follow(self, rows: Sequence[Row]) -> int:
        told: list[Any] = []
        for row in rows:
            fields = self._fields(row.values)
            told += [row.key, row.version, len(fields), *fields]
        return int(self._run(_FOLLOW, self._prefix, self._form, *told))

    def size(self) -> int:
        """Of the whole database: to count a prefix is to read all its keys."""
        with self._named():
            count: Any = self._redis.dbsize()
            return int(count)

    def write(self, key: Key, values: Values | None) -> Written | None:
        what = "delete" if values is None else "put"
        role, *found = self._run(_WRITE, self._prefix, self._form, key, what, *self._fields(values))
        if role is None:
            raise self._unknown()
        return Written(version=int(found[0]), dual=found[1] == b"1") if found else None

    def pending(self, limit: int) -> tuple[Key, ...]:
        with self._named():
            found: Any = self._redis.zrange(self._beside[1], 0, limit - 1)
        return tuple(self._key(self._prefix + key) for key in found)

    def settle(self, rows: Sequence[Row]) -> None:
        self._run(_SETTLE, *(part for row in rows for part in (row.key, row.version)))

    def lag(self) -> Lag:
        count, seconds = self._run(_LAG)
        return Lag(rows=int(count), seconds=max(0.0, float(seconds)))

    def standing(self) -> Standing:
        with self._named():
            found: Any = self._redis.hmget(self._beside[2], ["role", "epoch", "dual"])
        return self._standing(found)

    def stand(self, new: Standing, expected: Standing) -> bool:
        told = (expected.role.value, expected.epoch, new.role.value, new.epoch, int(new.dual))
        return bool(self._run(_STAND, *told))

    def forget(self) -> None:
        with self._named():
            self._redis.delete(*self._beside[:2])

    def close(self) -> None:
        self._redis.close()

    def _run(self, script: str, *arguments: Any) -> Any:
        with self._named():
            return self._scripts[script](keys=self._beside, args=arguments)

    def _standing(self, raw: Sequence[Any]) -> Standing:
        if raw[0] is None:
            raise self._unknown()
        return Standing(role=Role(raw[0].decode()), epoch=int(raw[1]), dual=raw[2] == b"1")

    def _unknown(self) -> Unavailable:
        return Unavailable(
            f"{self.name} does not know the migration {self._migration!r}", hint="headrace migrate start makes it"
        )

    def _row(self, key: Key, raw: Sequence[Any]) -> Row:
        version, found = int(raw[0]), raw[1]
        if found is None or found == []:
            return Row(key=key, version=version)
        if self._form == b"string":
            known = {self._layout.fields[0].name.encode(): found}
        else:
            known = dict(zip(found[::2], found[1::2], strict=True))
        values = {
            f.name: None if (text := known.get(f.name.encode())) is None else from_text(f, text)
            for f in self._layout.fields
        }
        return Row(key=key, version=version, values=values)

    def _fields(self, values: Values | None) -> list[Any]:
        """Names and values. A row whose fields are all empty still is a row: a hash of none is no hash."""
        if values is None:
            return []
        given = [(f.name, to_text(f, v)) for f in self._layout.fields if (v := values.get(f.name)) is not None]
        if not given and self._form == b"string":
            raise BadInput(
                f"{self.name} keeps plain strings: a row whose field is empty has no place there",
                field=self._layout.fields[0].name,
                hint="delete the row, or leave ?form=string away",
            )
        return [part for pair in given for part in pair] or [_EMPTY, b"1"]

    def _key(self, name: bytes) -> Key:
        text = name[len(self._prefix) :].decode(errors="replace")
        if self._layout.key.kind is Kind.TEXT:
            return text
        try:
            return int(text)
        except ValueError:
            raise UpstreamError(f"{self.name} has the key {text!r}; described as int") from None

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except (RedisError, OSError) as error:
            raise UpstreamError(f"{self.name}: {error}") from error


_EMPTY = "headrace:empty"


def open_store(place: Place, *, name: str, layout: Layout) -> RedisStore:
    prefix, form = place.option("prefix"), place.options.get("form", "hash")
    if prefix.startswith(_OURS) or _OURS.startswith(prefix):
        raise BadInput(f"prefix is {prefix!r}; {_OURS!r} is Headrace's own", field=place.field)
    if form not in ("hash", "string"):
        raise BadInput(f"form is {form!r}; allowed: hash, string", field=place.field)
    if form == "string" and len(layout.fields) != 1:
        raise BadInput(
            f"form is 'string', which holds one field; there are {len(layout.fields)}",
            field=place.field,
            hint="leave form away: a row is a hash then",
        )
    return RedisStore(place, prefix=prefix, form=form, name=name, layout=layout)
