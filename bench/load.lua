-- For wrk: sends the requests that bench/wire.py prepared, in turn, and prints what it saw as one line of JSON.
local requests, turn = {}, 0

function init(args)
  local file = io.open(args[1], "rb")
  while true do
    local size = file:read("*l")
    if not size then break end
    requests[#requests + 1] = file:read(tonumber(size))
  end
  file:close()
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency, per_request)
  local e = summary.errors
  print(string.format('{"requests": %d, "failed": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f}',
    summary.requests, e.status + e.connect + e.read + e.write + e.timeout, summary.duration / 1e6,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
