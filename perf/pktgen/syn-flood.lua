-- SYNs from 24 576 sources behind a router to one port of the gateway. What comes back is SYN-ACKs.
dofile((debug.getinfo(1, "S").source:match("@(.*/)") or "") .. "common.lua")

ready()
range("tcp", 80)
cli("range " .. PORT .. " tcp flag clr all")
cli("range " .. PORT .. " tcp flag set syn")
pace(RATE)
measure("SYN flood", DURATION)
pktgen.quit()
