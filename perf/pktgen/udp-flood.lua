-- Datagrams from 24 576 sources behind a router to a port of the gateway, which speaks no UDP. What comes back is ICMP's
-- "protocol unreachable", as many as its limit allows.
dofile((debug.getinfo(1, "S").source:match("@(.*/)") or "") .. "common.lua")

ready()
range("udp", tonumber(os.getenv("DPORT") or 53))
pace(RATE)
measure("UDP flood", DURATION)
pktgen.quit()
