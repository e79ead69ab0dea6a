-- SYNs, in steps of STEP frames a second up to RATE: where the share that is answered falls, the gateway's limit is.
dofile((debug.getinfo(1, "S").source:match("@(.*/)") or "") .. "common.lua")

local STEP = tonumber(os.getenv("STEP") or RATE / 5)

ready()
range("tcp", 80)
cli("range " .. PORT .. " tcp flag clr all")
cli("range " .. PORT .. " tcp flag set syn")
for rate = STEP, RATE, STEP do
	pace(rate)
	measure(string.format("%d/s", rate), DURATION)
end
pktgen.quit()
