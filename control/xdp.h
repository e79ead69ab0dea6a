// What net_af_xdp leaves behind: it attaches an XDP program to its interface, and the data plane, which has no
// capabilities once it runs, cannot take it off again. Control does, when the data plane has ended for good.
#pragma once
#include "contract/snapshot.h"
#include "log.h"

// Takes libxdp's own programs off the interfaces of the snapshot's net_af_xdp ports; others are left alone.
void xdp_detach(const struct snapshot *s, struct log *log);
