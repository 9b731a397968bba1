-- Sends prebuilt requests in a loop and reports the result as JSON.

local requests, count, index = {}, 0, 0

-- For each request the file holds a line with its length, its bytes, and a line break.
-- The second argument is how many milliseconds a client waits before it sends a request.
function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  for length in file:lines() do
    count = count + 1
    requests[count] = file:read(tonumber(length))
    file:read(1)
  end
  file:close()
  local pause = tonumber(arguments[2])
  if pause > 0 then
    function delay() return pause end -- wrk takes longer if it exists
  end
end

function request()
  index = index % count + 1
  return requests[index]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "errors": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout
  ))
end
