-- wrk's requests: method, path, length of the body and whether the connection ends come as arguments; at the end
-- one line of JSON.
function init(args)
	wrk.method = args[1]
	local n = tonumber(args[2])
	if n > 0 then wrk.body = string.rep("x", n) end
	if args[3] == "close" then wrk.headers["Connection"] = "close" end
end

function done(summary, latency)
	local e = summary.errors
	io.write(string.format('{"requests": %d, "us": %d, "p50_us": %.1f, "p99_us": %.1f, "errors": %d}\n',
		summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
		e.connect + e.read + e.write + e.status + e.timeout))
end
