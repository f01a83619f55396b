-- What wrk runs: sends the bodies of a file, one JSON a line, in order from the START-th, and begins again at the end.
--
--     wrk -t1 -c8 -d20s --timeout 60s -s load.lua URL -- BODIES START
--
-- Prints one JSON object: answers, seconds, waiting times in ms, and what went wrong. With more than one thread each would send the
-- same bodies in the same order.

local requests, at = {}, 0

function init(args)
  local headers = { ["Content-Type"] = "application/json" }
  for body in io.lines(args[1]) do
    requests[#requests + 1] = wrk.format("POST", nil, headers, body)
  end
  at = tonumber(args[2])
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency)
  local wrong = summary.errors
  io.write(string.format(
    '{"answers": %d, "seconds": %.6f, "p50 ms": %.3f, "p99 ms": %.3f, "not 2xx": %d, "broken": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    wrong.status, wrong.connect + wrong.read + wrong.write + wrong.timeout
  ))
end
