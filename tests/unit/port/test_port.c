// Ports on devices that need neither rights nor a network: net_ring (a loop), net_pcap (a file), net_null.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "port/port.h"
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static struct pkt_pool *pool;
static char why[256];

static struct {
	struct snapshot s;
	struct snap_port port;
	char name[8], device[200];
} snap;

static int start(struct port *p, const char *device, uint16_t mtu, unsigned workers)
{
	memset(&snap, 0, sizeof(snap));
	memcpy(snap.name, "wan", 3);
	snprintf(snap.device, sizeof(snap.device), "%s", device);
	snap.port.name = (struct snap_ref){offsetof(__typeof__(snap), name), 3};
	snap.port.device = (struct snap_ref){offsetof(__typeof__(snap), device), (uint32_t)strlen(snap.device)};
	snap.port.mtu = mtu;
	why[0] = '\0';
	return port_start(p, &snap.s, &snap.port, workers, pool, why, sizeof(why));
}

static struct pkt *filled(char c, uint32_t n)
{
	struct pkt *p = pkt_alloc(pool);

	if (!p)
		abort();
	memset(pkt_append(p, n), c, n);
	return p;
}

static void says(const char *what)
{
	if (!strstr(why, what) || !strstr(why, "port"))
		fail_msg("not said: %s\n%s", what, why);
}

static void a_device_nobody_knows_is_named(void **state)
{
	(void)state;
	struct port p;
	char lengthy[150];

	assert_int_equal(start(&p, "eth0", 1500, 1), -EINVAL);
	says("neither a PCI address");
	assert_int_equal(start(&p, "net_nonsense0", 1500, 1), -ENODEV);
	says("net_nonsense0");
	assert_int_equal(start(&p, "net_af_packet0,iface=nowhere9", 1500, 1), -ENODEV);
	says("no network interface \"nowhere9\"");
	assert_int_equal(start(&p, "net_af_packet0,iface=", 1500, 1), -EINVAL);
	says("no interface name");
	assert_int_equal(start(&p, "0000:ff:1f.7", 1500, 1), -ENODEV);
	says("could not be attached");
	assert_int_equal(start(&p, "", 1500, 1), -EINVAL);
	memset(lengthy, 'x', sizeof(lengthy));
	lengthy[sizeof(lengthy) - 1] = '\0';
	assert_int_equal(start(&p, lengthy, 1500, 1), -EINVAL);
}

static void one_device_serves_one_port(void **state)
{
	(void)state;
	struct port p, again;

	assert_int_equal(start(&p, "net_ring0", 1500, 1), 0);
	assert_int_equal(start(&again, "net_ring0", 1500, 1), -EEXIST);
	says("used by another port");
	port_stop(&p);
	assert_int_equal(start(&p, "net_ring0", 1500, 1), 0); // and may be taken again
	port_stop(&p);
}

static void an_mtu_beyond_the_device_is_refused(void **state)
{
	(void)state;
	struct port p;

	assert_int_equal(start(&p, "net_pcap0,tx_pcap=/dev/null", 9000, 1), -EINVAL);
	says("MTU of 9000");
	assert_int_equal(start(&p, "net_pcap0,tx_pcap=/dev/null", 1500, 1), 0);
	assert_int_equal(p.caps.mtu, 1500);
	port_stop(&p);
}

static void every_port_has_a_hardware_address_the_same_at_every_start(void **state)
{
	(void)state;
	struct port p, q;
	uint8_t mac[6];

	assert_int_equal(start(&p, "net_ring0", 1500, 1), 0); // the driver's is all zero
	assert_true(rte_is_valid_assigned_ether_addr((const struct rte_ether_addr *)p.caps.mac));
	memcpy(mac, p.caps.mac, 6);
	assert_int_equal(start(&q, "net_ring1", 1500, 1), 0);
	assert_memory_not_equal(mac, q.caps.mac, 6);
	port_stop(&p);
	port_stop(&q);
	assert_int_equal(start(&p, "net_ring0", 1500, 1), 0);
	assert_memory_equal(mac, p.caps.mac, 6);
	port_stop(&p);
}

// A driver that does not fill in checksums is never trusted to. These three say that they do not.
static void a_driver_computes_only_the_checksums_that_it_offers(void **state)
{
	(void)state;
	static const char *const devices[] = {"net_ring0", "net_pcap0,tx_pcap=/dev/null", "net_null0"};
	struct port p;

	for (unsigned i = 0; i < 3; i++) {
		struct rte_eth_dev_info info;

		assert_int_equal(start(&p, devices[i], 1500, 1), 0);
		assert_int_equal(rte_eth_dev_info_get(p.id, &info), 0);
		assert_true(!p.caps.tx_tcp_csum || (info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_TCP_CKSUM));
		assert_true(!p.caps.tx_ip_csum || (info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM));
		assert_true(!p.caps.rx_tcp_csum || (info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_TCP_CKSUM));
		assert_int_equal(port_offloads(&p) & (OFFLOAD_TX_TCP_CHECKSUM | OFFLOAD_RX_TCP_CHECKSUM), 0);
		assert_int_equal(!!(port_offloads(&p) & OFFLOAD_TX_CHAINS), p.caps.tx_chains);
		port_stop(&p);
	}
}

static void frames_go_out_and_come_in(void **state)
{
	(void)state;
	struct pkt *v[3 * PORT_BURST], *in[PORT_BURST];
	unsigned failed = 0, got = 0;
	struct port p;

	assert_int_equal(start(&p, "net_ring0", 1500, 1), 0);
	assert_true(port_link_up(&p));
	assert_true(p.caps.tx_chains);
	assert_false(p.caps.tx_ip_csum || p.caps.tx_tcp_csum || p.caps.rx_ip_csum || p.caps.rx_tcp_csum);
	for (unsigned i = 0; i < 3 * PORT_BURST; i++)
		v[i] = filled((char)i, 60);
	pkt_chain(v[5], filled('x', 70));
	assert_int_equal(port_tx(&p, 0, v, 3 * PORT_BURST, pool, &failed), 3 * PORT_BURST);
	assert_int_equal(failed, 0);
	for (unsigned n; (n = port_rx(&p, 0, in, PORT_BURST)) > 0;)
		for (unsigned i = 0; i < n; i++, got++) {
			assert_int_equal(pkt_data(in[i])[59], (int)got);
			assert_int_equal(pkt_chain_len(in[i]), got == 5 ? 130 : 60);
			pkt_free_chain(in[i]);
		}
	assert_int_equal(got, 3 * PORT_BURST);
	port_stop(&p);
}

static void a_buffer_that_is_held_does_not_reach_another_writer(void **state)
{
	(void)state;
	struct pkt *p = filled('h', 60), *out = p, *in;
	unsigned failed = 0;
	struct port port;

	assert_int_equal(start(&port, "net_ring0", 1500, 1), 0);
	pkt_ref(p);
	assert_int_equal(port_tx(&port, 0, &out, 1, pool, &failed), 1);
	assert_int_equal(port_rx(&port, 0, &in, 1), 1);
	assert_true(in != p);
	assert_true(pkt_exclusive(p));
	pkt_free(p);
	pkt_free(in);
	port_stop(&port);
}

static void chains_are_linearised_for_a_driver_that_cannot_send_them(void **state)
{
	(void)state;
	char file[] = "/tmp/test_port_XXXXXX", device[100];
	struct pkt *v[4];
	unsigned failed = 0;
	struct port p;
	struct stat st;
	int fd = mkstemp(file);

	assert_true(fd >= 0);
	snprintf(device, sizeof(device), "net_pcap0,tx_pcap=%s", file);
	assert_int_equal(start(&p, device, 1500, 1), 0);
	assert_false(p.caps.tx_chains);
	for (unsigned i = 0; i < 4; i++)
		v[i] = filled((char)i, 100);
	pkt_chain(v[1], filled('y', 100));  // 200 bytes
	pkt_chain(v[2], filled('z', 2000)); // too long for one buffer
	assert_int_equal(port_tx(&p, 0, v, 4, pool, &failed), 4);
	assert_int_equal(failed, 1);
	port_stop(&p);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 24 + 3 * 16 + 100 + 200 + 100);
	close(fd);
	unlink(file);
}

static void what_the_driver_does_not_take_stays_in_order(void **state)
{
	(void)state;
	static struct pkt *v[4096];
	unsigned failed = 0, n = 3000, taken, freed = 0;
	struct port p;

	assert_int_equal(start(&p, "net_ring0", 1500, 1), 0); // a ring of 1024
	p.caps.tx_chains = false;
	for (unsigned i = 0; i < n; i++) {
		v[i] = filled('a', 4);
		memcpy(pkt_data(v[i]), &i, 4);
	}
	pkt_chain(v[10], filled('z', 2047)); // cannot be linearised
	taken = port_tx(&p, 0, v, n, pool, &failed);
	assert_int_equal(failed, 1);
	assert_in_range(taken, 100, n - 1);
	for (unsigned i = taken; i < n; i++) {
		unsigned was;

		memcpy(&was, pkt_data(v[i]), 4);
		assert_int_equal(was, i);
		pkt_free(v[i]);
		freed++;
	}
	for (unsigned got; (got = port_rx(&p, 0, v, PORT_BURST)) > 0; freed += got)
		for (unsigned i = 0; i < got; i++)
			pkt_free(v[i]);
	assert_int_equal(freed + failed, n);
	port_stop(&p);
}

static void workers_without_rss_are_steered_by_port_bits(void **state)
{
	(void)state;
	struct port p;

	assert_int_equal(start(&p, "net_null0", 1500, 1), 0);
	assert_int_equal(p.steer.kind, STEER_ONE);
	port_stop(&p);
	assert_int_equal(start(&p, "net_ring0", 1500, 4), 0); // its further queues lead nowhere
	assert_int_equal(p.caps.rx_queues, 1);
	assert_int_equal(p.steer.kind, STEER_PORTBITS);
	assert_int_equal(p.steer.workers, 4);
	port_stop(&p);
}

static void a_driver_with_rss_gets_our_key_and_table(void **state)
{
	(void)state;
	struct rte_eth_rss_reta_entry64 reta[2] = {{.mask = UINT64_MAX}, {.mask = UINT64_MAX}};
	uint8_t key[STEER_KEY];
	struct rte_eth_rss_conf rss = {.rss_key = key, .rss_key_len = sizeof(key)};
	struct port p;

	assert_int_equal(start(&p, "net_null0", 1500, 3), 0);
	assert_int_equal(p.steer.kind, STEER_RSS);
	assert_int_equal(p.steer.workers, 3);
	assert_int_equal(p.caps.rx_queues, 3);
	assert_int_equal(p.steer.reta_size, 128);
	assert_int_equal(rte_eth_dev_rss_reta_query(p.id, reta, 128), 0);
	for (unsigned i = 0; i < 128; i++) {
		assert_int_equal(p.steer.reta[i], i % 3);
		assert_int_equal(reta[i / 64].reta[i % 64], i % 3);
	}
	assert_int_equal(rte_eth_dev_rss_hash_conf_get(p.id, &rss), 0);
	assert_memory_equal(key, p.steer.key, sizeof(key));
	port_stop(&p);
	snap.port.queues = 2; // fewer queues than workers: the driver could not reach the third
	assert_int_equal(port_start(&p, &snap.s, &snap.port, 3, pool, why, sizeof(why)), 0);
	assert_int_equal(p.caps.rx_queues, 2);
	assert_int_equal(p.steer.kind, STEER_PORTBITS);
	port_stop(&p);
}

static int no_buffer_is_missing(void **state)
{
	(void)state;
	return (int)pkt_pool_used(pool);
}

#define TEST(f) cmocka_unit_test_teardown(f, no_buffer_is_missing)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_device_nobody_knows_is_named),
		TEST(one_device_serves_one_port),
		TEST(an_mtu_beyond_the_device_is_refused),
		TEST(every_port_has_a_hardware_address_the_same_at_every_start),
		TEST(a_driver_computes_only_the_checksums_that_it_offers),
		TEST(frames_go_out_and_come_in),
		TEST(a_buffer_that_is_held_does_not_reach_another_writer),
		TEST(chains_are_linearised_for_a_driver_that_cannot_send_them),
		TEST(what_the_driver_does_not_take_stays_in_order),
		TEST(workers_without_rss_are_steered_by_port_bits),
		TEST(a_driver_with_rss_gets_our_key_and_table),
	};
	int failed;

	if (!pkt_start(64) || !(pool = pkt_pool_create("test", 12u << 20, -1)))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	pkt_pool_free(pool);
	rte_eal_cleanup();
	return failed;
}
