-- Sends the frames of a file as they are, over and over. Pktgen reads it at its start (-s 0:FILE).
dofile((debug.getinfo(1, "S").source:match("@(.*/)") or "") .. "common.lua")

ready()
pktgen.pcap(PORT, "on")
pace(RATE, tonumber(os.getenv("FRAME") or FRAME)) -- FRAME: the mean size of the file's frames
measure("replay", DURATION)
pktgen.quit()
