#include "wire.h"
#include <rte_cycles.h>
#include <rte_eal.h>
#include <stdarg.h>
#include <stdlib.h>

const char *const wire_device[2] = {"net_memif0", "net_memif1"};

__attribute__((format(printf, 2, 3))) static void arg(char **v, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	if (vasprintf(v, format, ap) < 0)
		abort();
	va_end(ap);
}

int wire_eal(const struct options *o)
{
	char *v[16];
	int n = 0;

	arg(&v[n++], "loadgen");
	arg(&v[n++], "--lcores=0@%u", o->cpu);
	arg(&v[n++], "--no-pci");
	arg(&v[n++], "--no-telemetry");
	arg(&v[n++], "--log-level=warning");
	if (o->hugepages) {
		arg(&v[n++], "--in-memory");
		arg(&v[n++], "--single-file-segments");
	} else {
		arg(&v[n++], "--no-huge");
		arg(&v[n++], "--no-shconf");
		arg(&v[n++], "-m");
		arg(&v[n++], "%u", o->memory * 3 + 256);
	}
	arg(&v[n++], "--vdev=net_memif0,role=server,id=0,socket-abstract=no,socket=%s", o->wan);
	if (o->lan)
		arg(&v[n++], "--vdev=net_memif1,role=server,id=0,socket-abstract=no,socket=%s", o->lan);
	return rte_eal_init(n, v);
}

struct pkt_pool *wire_pool(const struct options *o)
{
	return pkt_pool_create("loadgen", (uint64_t)o->memory << 20, SOCKET_ID_ANY);
}

int wire_connected(void)
{
	return 0;
}

uint64_t wire_now(void)
{
	return rte_rdtsc();
}

double wire_hz(void)
{
	return (double)rte_get_tsc_hz();
}

void wire_wait(unsigned us)
{
	rte_delay_us_sleep(us);
}

void wire_begin(void)
{
}

void wire_mark(void)
{
}

void wire_report(FILE *file)
{
	(void)file;
}
