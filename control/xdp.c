#include "xdp.h"
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

// The interface of "net_af_xdp0,iface=eth1,..."; false for other devices.
static bool interface_of(struct slice device, char name[static IF_NAMESIZE])
{
	char text[256];
	const char *iface;

	snprintf(text, sizeof(text), "%.*s", (int)device.n, device.p);
	iface = strncmp(text, "net_af_xdp", 10) == 0 ? strstr(text, ",iface=") : NULL;
	if (!iface)
		return false;
	iface += 7;
	snprintf(name, IF_NAMESIZE, "%.*s", (int)strcspn(iface, ","), iface);
	return true;
}

static bool is_libxdp(uint32_t id)
{
	struct bpf_prog_info info = {0};
	uint32_t size = sizeof(info);
	int fd = bpf_prog_get_fd_by_id(id);
	bool ours;

	if (fd < 0)
		return false;
	ours = bpf_obj_get_info_by_fd(fd, &info, &size) == 0 &&
	       (strncmp(info.name, "xsk_def_prog", 12) == 0 || strncmp(info.name, "xdp_dispatcher", 14) == 0);
	close(fd);
	return ours;
}

void xdp_detach(const struct snapshot *s, struct log *log)
{
	const struct snap_port *p = snap_at(s, s->ports);

	for (uint32_t i = 0; i < s->ports.n; i++) {
		char name[IF_NAMESIZE];
		uint32_t id = 0;
		int index, err;

		if (!interface_of(snap_text(s, p[i].device), name) || (index = (int)if_nametoindex(name)) == 0)
			continue;
		if (bpf_xdp_query_id(index, 0, &id) < 0 || id == 0 || !is_libxdp(id))
			continue;
		err = bpf_xdp_detach(index, 0, NULL);
		if (err < 0)
			log_error(log, "%s: its XDP program stays attached: %s", name, strerror(-err));
	}
}
