-- What the scripts share: where to, how fast, for how long. Those with getenv may also come from the environment.
PORT = "0"                     -- Pktgen's
TO = os.getenv("TO") or "198.18.0.1"
MAC = os.getenv("MAC") or "02:c6:12:00:00:01"  -- of the gateway, or of the router on the way to it
ROUTER = "198.18.0.254"        -- the gateway's next hop: Pktgen answers ARP for it
FROM, UNTIL = "198.18.128.1", "198.18.255.254" -- sources, behind that router
RATE = tonumber(os.getenv("RATE") or 100000)   -- frames a second
DURATION = tonumber(os.getenv("DURATION") or 5)
FRAME = 64                     -- bytes, with the checksum of the wire

-- Pktgen's pages go to standard output; what is worth keeping goes here.
function say(...)
	io.stderr:write(string.format(...), "\n")
end

-- A line of Pktgen's command language, for what has no function in Lua (TCP flags). The third argument is unused, but
-- counted.
function cli(line)
	local name = os.tmpname()
	local file = assert(io.open(name, "w"))
	file:write(line, "\n")
	file:close()
	pktgen.run("cmd", name, "")
	os.remove(name)
end

-- Waits for the link and becomes the router. LINK: Mbit/s.
function ready()
	pktgen.set_ipaddr(PORT, "src", ROUTER .. "/32")
	pktgen.set_ipaddr(PORT, "dst", TO)
	pktgen.set_mac(PORT, "dst", MAC)
	pktgen.set(PORT, "size", FRAME)
	pktgen.process(PORT, "on")
	for _ = 1, 20 do
		pktgen.delay(500)
		LINK = tonumber(pktgen.linkState(PORT)[tonumber(PORT)]:match("UP%-(%d+)"))
		if LINK then return end
	end
	say("the link is down")
	pktgen.quit()
	error("the link is down")
end

-- Frames whose source address and port count up; Pktgen makes 24 576 of them at the start and sends these in turn.
function range(protocol, port)
	local r = pktgen.range
	local function span(what, from, to, step)
		what(PORT, "start", from)
		what(PORT, "min", from)
		what(PORT, "max", to)
		what(PORT, "inc", step)
	end
	r.dst_mac(PORT, "start", MAC)
	r.ip_proto(PORT, protocol)
	span(r.dst_ip, TO, TO, "0.0.0.0")
	span(r.src_ip, FROM, UNTIL, "0.0.0.1")
	span(r.dst_port, port, port, 0)
	span(r.src_port, 1024, 65535, 1)
	span(r.pkt_size, FRAME, FRAME, 0)
	pktgen.set_range(PORT, "on")
end

-- Pktgen takes a rate in percent of the link, of frames of the single mode's size with preamble and gap.
function pace(rate, frame)
	pktgen.set(PORT, "rate", rate * ((frame or FRAME) + 20) * 8 / (LINK * 10000))
end

-- Sends for so long, and tells what went out and came back since the last time. Pktgen takes its counters once a
-- second: what was just sent is in them two seconds later.
local sent, back = 0, 0
function measure(what, seconds)
	pktgen.start(PORT)
	pktgen.delay(math.floor(seconds * 1000))
	pktgen.stop(PORT)
	pktgen.delay(2200)
	local now = pktgen.portStats(PORT, "port")[tonumber(PORT)]
	local out, came = now.opackets - sent, now.ipackets - back
	sent, back = now.opackets, now.ipackets
	say("%s: %d sent, %d came back (%.1f%%)", what, out, came, out > 0 and 100 * came / out or 0)
end
