# make         builds all          make demo    shows the gateway at work, in namespaces of its own
# make check   every test          make run CONFIG=configs/lab.yaml    keeps the lab up until Ctrl-C
# VARIANT=release (default) | asan (AddressSanitizer and UndefinedBehaviorSanitizer) | cov (gcov's counters)
#         pgo (release, compiled by the profile of a training run: what `make bench` measures) | train (that run)
VARIANT ?= release
.DEFAULT_GOAL := all
B ?= build/$(VARIANT)

CC := gcc
CLANG := clang
PKG := pkg-config
MARCH ?= x86-64-v3

WARN := -Wall -Wextra -Werror -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes \
	-Wmissing-prototypes -Wundef -Wpointer-arith -Wwrite-strings -Wvla -Wformat=2 -Wno-format-nonliteral
CFLAGS := -std=gnu17 -O2 -g -fno-strict-aliasing $(WARN) -MMD -MP
CPPFLAGS := -Idataplane -Icontrol -Itests -I. -D_GNU_SOURCE
LDFLAGS := -Wl,--as-needed -Wl,-z,relro,-z,now
HARDEN := -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE
# What the data plane is compiled with beyond that, and how it and its like are linked: as one program. All else
# links the same objects one by one.
DATAPLANE_CFLAGS :=
LDFLAGS_WHOLE = $(LDFLAGS)
ifeq ($(VARIANT),asan)
CFLAGS += -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined -O1
LDFLAGS += -fsanitize=address,undefined
else ifeq ($(VARIANT),cov)
CFLAGS += --coverage -O0
LDFLAGS += --coverage
else
CFLAGS += $(HARDEN)
LDFLAGS += -pie
ifeq ($(VARIANT),train)
DATAPLANE_CFLAGS += -fprofile-generate -fprofile-update=single
LDFLAGS += -fprofile-generate
else
DATAPLANE_CFLAGS += -flto -ffat-lto-objects
LDFLAGS_WHOLE := $(LDFLAGS) -flto=auto
LDFLAGS += -fno-lto
endif
# What the training does not reach is compiled as ever. Warnings are release's: what gcc guesses from counts is
# none.
ifeq ($(VARIANT),pgo)
DATAPLANE_CFLAGS += -fprofile-use -fprofile-correction -fprofile-partial-training -w
endif
endif

# Headers of packages are system headers, so that our warnings are about our code.
DPDK_CFLAGS = $(patsubst -I%,-isystem %,$(filter-out -march=% -mrtm,$(shell $(PKG) --cflags libdpdk))) \
	-march=$(MARCH)
DPDK_LIBS = $(shell $(PKG) --libs libdpdk) -lrte_net_memif -lrte_net_ring
ROUTE_LIBS := -lpcre2-8
COMPRESS_LIBS := -lz -lbrotlienc
CONTROL_LIBS = $(shell $(PKG) --libs liburing yaml-0.1 jansson libbpf libcrypto) -ljemalloc $(ROUTE_LIBS)
EXPORTER_LIBS = $(shell $(PKG) --libs libbpf) -lcap-ng
DATAPLANE_LIBS = $(DPDK_LIBS) $(ROUTE_LIBS) $(COMPRESS_LIBS) $(shell $(PKG) --libs libseccomp) -lcap-ng -lpthread

# V=1 shows whole commands.
say = $(if $(V),,@echo '  $(if $(filter %.o,$@),CC,LINK) $@';)

# One library for each folder of the data plane; what a program links shows its rank.
LAYERS := base contract port net tcp stack http route policy upstream gateway
policy_DIRS := policy $(patsubst %/,%,$(sort $(dir $(wildcard dataplane/policy/*/run.c))))
# Parts of http's forms (http/form.h), which are no units of their own.
FORM_PARTS := $(patsubst %,dataplane/http/%.c,fields request response)
layer_src = $(filter-out %/compile.c $(FORM_PARTS),$(wildcard dataplane/$(1)/*.c) $(if $(filter policy,$(1)),$(wildcard dataplane/policy/*/*.c)))
define layer_rules
$(1)_OBJ := $(patsubst %.c,$(B)/%.o,$(call layer_src,$(1)))
$(B)/lib$(1).a: $$($(1)_OBJ)
	@rm -f $$@; ar rcs $$@ $$^
endef
$(foreach l,$(LAYERS),$(eval $(call layer_rules,$(l))))
libs = $(patsubst %,$(B)/lib%.a,$(1))

# The profile: what the worker does for the scenarios of perf/instructions, under virtual time, so that it is the
# same each time. gcc looks for it beside the object.
ifeq ($(VARIANT),pgo)
TRAIN := $(B)/train
$(B)/trained: $(shell find dataplane perf/instructions perf/loadgen perf/scenarios -type f)
	@rm -rf $(TRAIN)
	@$(MAKE) --no-print-directory VARIANT=train B=$(TRAIN) $(TRAIN)/perf/instructions/instructions $(TRAIN)/churchgate-control
	@BENCH_BUILD=$(TRAIN) perf/instructions/run --train
	@cd $(TRAIN) && find dataplane -name '*.gcda' -exec install -D -m 644 {} ../{} \;
	@touch $@
$(foreach l,$(LAYERS),$($(l)_OBJ)) $(patsubst %.c,$(B)/%.o,$(wildcard dataplane/*.c)): $(B)/trained
endif
ALL_LAYERS := gateway upstream policy route http tcp net port contract base

# The stack as a library (dataplane/stack/stack.h): `stack` and all below it in one archive. Programs link
# $(STACK_LIB) and $(DPDK_LIBS).
STACK_LIB := $(B)/libchurchgate-tcp.a
$(STACK_LIB): $(foreach l,stack tcp net port contract base,$($(l)_OBJ))
	@rm -f $@; ar qcs $@ $^ # not r: folders may have files of the same name

DATAPLANE_OBJ := $(patsubst %.c,$(B)/%.o,$(wildcard dataplane/*.c))
CONTROL_OBJ := $(patsubst %.c,$(B)/%.o,$(wildcard control/*.c) $(wildcard dataplane/policy/*/compile.c))
CGCTL_OBJ := $(patsubst %.c,$(B)/%.o,$(wildcard tools/cgctl/*.c))
EXPORTER_OBJ := $(patsubst %.c,$(B)/%.o,$(filter-out %.bpf.c,$(wildcard ebpf/*.c)))

PROGRAMS := churchgate-dataplane churchgate-control churchgate-exporter cgctl
all: $(addprefix $(B)/,$(PROGRAMS)) $(B)/libchurchgate-tcp.a

$(B)/churchgate-dataplane: $(DATAPLANE_OBJ) $(call libs,$(ALL_LAYERS))
	$(say)$(CC) $(LDFLAGS_WHOLE) -o $@ $^ $(DATAPLANE_LIBS)
$(B)/churchgate-control: $(CONTROL_OBJ) $(call libs,policy route http contract base)
	$(say)$(CC) $(LDFLAGS) -o $@ $^ $(CONTROL_LIBS)
$(B)/churchgate-exporter: $(EXPORTER_OBJ) $(call libs,contract base)
	$(say)$(CC) $(LDFLAGS) -o $@ $^ $(EXPORTER_LIBS)
$(B)/cgctl: $(CGCTL_OBJ) $(call libs,contract base)
	$(say)$(CC) $(LDFLAGS) -o $@ $^ $(shell $(PKG) --libs jansson)

# The instructions that each form of the HTTP parser may use, whatever MARCH says; they are asked for at run time.
FORM_CFLAGS_portable := -fno-tree-slp-vectorize
FORM_CFLAGS_sse42 := $(FORM_CFLAGS_portable) -msse4.2 -mpopcnt
FORM_CFLAGS_avx2 := $(FORM_CFLAGS_portable) -mavx2 -mbmi -mbmi2
FORM_CFLAGS_avx512 := $(FORM_CFLAGS_avx2) -mavx512f -mavx512bw -mavx512vl
FORMS := portable sse42 avx2 avx512
define form_rules
$(addsuffix /form_$(1).o,$(addprefix $(B)/,dataplane/http fuzz/dataplane/http fuzz/planted/form fuzz/planted/grammar)): \
	FORM_CFLAGS = $(FORM_CFLAGS_$(1))
endef
$(foreach f,$(FORMS),$(eval $(call form_rules,$(f))))

# base, contract, http, route, policy and control see no DPDK.
$(B)/dataplane/%.o: dataplane/%.c
	@mkdir -p $(@D)
	$(say)$(CC) $(CPPFLAGS) $(CFLAGS) $(DATAPLANE_CFLAGS) $(DPDK_CFLAGS) $(FORM_CFLAGS) -c -o $@ $<
$(B)/control/%.o: control/%.c
	@mkdir -p $(@D)
	$(say)$(CC) $(CPPFLAGS) $(CFLAGS) -march=$(MARCH) -c -o $@ $<
$(B)/tools/%.o: tools/%.c
	@mkdir -p $(@D)
	$(say)$(CC) $(CPPFLAGS) $(CFLAGS) -march=$(MARCH) -c -o $@ $<
$(B)/ebpf/%.bpf.o: ebpf/%.bpf.c
	@mkdir -p $(@D)
	$(say)$(CLANG) -target bpf -O2 -g -Wall -Werror -I/usr/include/$(shell uname -m)-linux-gnu -Idataplane -c -o $@ $<
$(B)/ebpf/%.skel.h: $(B)/ebpf/%.bpf.o
	PATH=$$PATH:/usr/sbin bpftool gen skeleton $< > $@
$(B)/ebpf/%.o: ebpf/%.c $(patsubst ebpf/%.bpf.c,$(B)/ebpf/%.skel.h,$(wildcard ebpf/*.bpf.c))
	@mkdir -p $(@D)
	$(say)$(CC) $(CPPFLAGS) -isystem $(B)/ebpf $(CFLAGS) -march=$(MARCH) -c -o $@ $<

# Unit tests: tests/unit/<layer>/test_*.c links that layer and those below it.
below_base := base
below_contract := contract base
below_port := port contract base
below_net := net port contract base
below_tcp := tcp net port contract base
below_stack := stack tcp net port contract base
below_http := http contract base
below_route := route http contract base
below_policy := policy http contract base
below_upstream := upstream http tcp net port contract base
below_gateway := $(ALL_LAYERS)
TESTS :=
define unit_rules
TESTS += $(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(wildcard tests/unit/$(1)/test_*.c))
$(B)/tests/unit/$(1)/%: $(B)/tests/unit/$(1)/%.o $(call libs,$(below_$(1)))
	$$(say)$$(CC) $(LDFLAGS) -o $$@ $$(filter %.o %.a,$$^) -lcmocka $$(if $$(filter port net tcp stack upstream gateway,$(1)),$$(DPDK_LIBS)) $$(if $$(filter route gateway,$(1)),$$(ROUTE_LIBS)) $$(if $$(filter policy gateway,$(1)),$$(COMPRESS_LIBS) -lbrotlidec)
endef
$(foreach l,$(LAYERS),$(eval $(call unit_rules,$(l))))
CONTROL_TESTS := $(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(wildcard tests/unit/control/test_*.c))
TESTS += $(CONTROL_TESTS)
$(B)/tests/unit/control/%: $(B)/tests/unit/control/%.o $(filter-out %/main.o,$(CONTROL_OBJ)) $(call libs,policy route http contract base)
	$(say)$(CC) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) -lcmocka $(CONTROL_LIBS)
EXPORTER_TESTS := $(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(wildcard tests/unit/exporter/test_*.c))
TESTS += $(EXPORTER_TESTS)
$(B)/tests/unit/exporter/%: $(B)/tests/unit/exporter/%.o $(filter-out %/main.o,$(EXPORTER_OBJ)) $(call libs,contract base)
	$(say)$(CC) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) -lcmocka $(EXPORTER_LIBS)

# What the processes agree on, seen from outside: the programs themselves are run.
CONTRACT_TESTS := $(patsubst tests/contract/%.c,$(B)/tests/contract/%,$(wildcard tests/contract/test_*.c))
TESTS += $(CONTRACT_TESTS)
$(B)/tests/contract/%: tests/contract/%.c $(filter-out tests/contract/test_%,$(wildcard tests/contract/*.c)) $(call libs,contract base) | $(B)/churchgate-exporter
	@mkdir -p $(@D)
	$(say)$(CC) $(CPPFLAGS) $(CFLAGS) -march=$(MARCH) $(LDFLAGS) -o $@ $(filter %.c %.o %.a,$^) -lcmocka $(EXPORTER_LIBS)

# Hosts of the library alone on a simulated wire.
SIM_TCP_OBJ := $(patsubst %.c,$(B)/%.o,$(wildcard tests/sim/tcp_*.c))
$(B)/tests/sim/tcp_sim: $(SIM_TCP_OBJ) $(B)/tests/sim/wire.o $(B)/tests/nic/nic.o $(STACK_LIB)
	$(say)$(CC) $(LDFLAGS) -o $@ $^ $(DPDK_LIBS)
# Packet scripts: tests/scripts/*.tcp, played by the runner on the stack's library.
SCRIPTS := $(sort $(wildcard tests/scripts/*.tcp))
$(B)/tests/scripts/run: $(patsubst %.c,$(B)/%.o,$(wildcard tests/scripts/*.c)) $(B)/tests/nic/nic.o $(STACK_LIB)
	$(say)$(CC) $(LDFLAGS) -o $@ $^ $(DPDK_LIBS)
scripts: $(B)/tests/scripts/run
	@$< $(SCRIPTS)
# What tests/sim/mutants compiles and links.
sim-compiler:
	@echo $(CC) $(CPPFLAGS) $(filter-out -MMD -MP,$(CFLAGS)) $(DPDK_CFLAGS)
sim-linked:
	@echo $(LDFLAGS) $(SIM_TCP_OBJ) $(B)/tests/sim/wire.o $(B)/tests/nic/nic.o $(STACK_LIB) $(DPDK_LIBS)
# Whole gateways in simulation.
GATEWAY_SIMS := $(addprefix $(B)/tests/sim/,gateway_sim gateway_rough)
$(B)/tests/sim/gateway_rough: $(patsubst %,$(B)/%.o,tests/sim/rough_client tests/sim/rough_backend)
$(GATEWAY_SIMS): $(B)/tests/sim/%: $(B)/tests/sim/%.o $(patsubst %,$(B)/%.o,tests/sim/world tests/sim/wire dataplane/worker control/blob control/routetable) $(call libs,$(ALL_LAYERS))
	$(say)$(CC) $(LDFLAGS) -o $@ $^ $(DPDK_LIBS) $(ROUTE_LIBS) $(COMPRESS_LIBS)

# The conformance table, through the parser alone and through a whole gateway in simulation.
CONFORMANCE := $(addprefix $(B)/tests/conformance/,parser gateway)
$(B)/tests/conformance/parser: $(patsubst %,$(B)/tests/conformance/%.o,parser cases) $(call libs,http base)
	$(say)$(CC) $(LDFLAGS) -o $@ $^
$(B)/tests/conformance/gateway: $(patsubst %,$(B)/tests/conformance/%.o,gateway ways pooled noted timed bed cases reader) \
	$(patsubst %,$(B)/%.o,tests/sim/world tests/sim/wire dataplane/worker control/blob control/routetable) $(call libs,$(ALL_LAYERS))
	$(say)$(CC) $(LDFLAGS) -o $@ $^ $(DPDK_LIBS) $(ROUTE_LIBS) $(COMPRESS_LIBS)
conformance: $(CONFORMANCE)
	@status=0; for run in $^; do $$run $(addprefix tests/conformance/,requests.txt responses.txt) || status=1; done; exit $$status
.PHONY: conformance
$(B)/tests/%.o: tests/%.c
	@mkdir -p $(@D)
	$(say)$(CC) $(CPPFLAGS) $(CFLAGS) $(DPDK_CFLAGS) -c -o $@ $<

# Against Linux: one end of a transfer, the kernel's or ours, and the wire between two of them.
LINUX_TESTS := $(addprefix $(B)/tests/linux/,wire peer)
$(B)/tests/linux/wire: $(B)/tests/linux/wire.o $(call libs,base)
	$(say)$(CC) $(LDFLAGS) -o $@ $^
$(B)/tests/linux/peer: $(patsubst %,$(B)/tests/linux/%.o,peer peer_kernel peer_library) $(STACK_LIB)
	$(say)$(CC) $(LDFLAGS) -o $@ $^ $(DPDK_LIBS) $(shell $(PKG) --libs libcrypto)

# The laboratory: a load generator of its own, and the scenarios it plays.
$(B)/perf/%.o: perf/%.c
	@mkdir -p $(@D)
	$(say)$(CC) $(CPPFLAGS) $(CFLAGS) $(DPDK_CFLAGS) -c -o $@ $<
LOADGEN_OBJ := $(patsubst %.c,$(B)/%.o,$(wildcard perf/loadgen/*.c))
$(B)/libloadgen.a: $(filter-out %/main.o,$(LOADGEN_OBJ))
	@rm -f $@; ar rcs $@ $^
$(B)/perf/loadgen/loadgen: $(B)/perf/loadgen/main.o $(B)/libloadgen.a $(call libs,port contract base)
	$(say)$(CC) $(LDFLAGS) -o $@ $^ $(DPDK_LIBS)
$(B)/perf/peers/paced $(B)/perf/peers/share: $(B)/perf/peers/%: $(B)/perf/peers/%.o $(B)/libloadgen.a $(call libs,port contract base)
	$(say)$(CC) $(LDFLAGS) -o $@ $^ $(DPDK_LIBS)
PERF_TESTS := $(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(wildcard tests/unit/perf/test_*.c))
TESTS += $(PERF_TESTS)
$(B)/tests/unit/perf/%: $(B)/tests/unit/perf/%.o $(B)/libloadgen.a $(call libs,port contract base)
	$(say)$(CC) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) -lcmocka $(DPDK_LIBS)

# The same beside the worker with its loop, under virtual time (perf/virtual).
$(B)/perf/virtual/loadgen: $(B)/perf/loadgen/main.o $(B)/perf/virtual/wire.o $(B)/libloadgen.a $(patsubst %,$(B)/dataplane/%.o,worker loop clock) $(call libs,$(ALL_LAYERS))
	$(say)$(CC) $(LDFLAGS) -o $@ $^ $(DPDK_LIBS) $(ROUTE_LIBS) $(COMPRESS_LIBS)
# The worker and the generator in one thread: what a request costs (perf/instructions).
$(B)/perf/instructions/instructions: $(patsubst %,$(B)/perf/%.o,instructions/main loadgen/backend loadgen/client loadgen/histogram loadgen/link loadgen/message) $(B)/dataplane/worker.o $(call libs,$(ALL_LAYERS))
	$(say)$(CC) $(LDFLAGS_WHOLE) -o $@ $^ $(DPDK_LIBS) $(ROUTE_LIBS) $(COMPRESS_LIBS)
# What one operation costs, without a network: build/release/perf/micro/ratelimit
$(B)/perf/micro/route: $(patsubst %,$(B)/control/%.o,blob routetable) $(call libs,route http)
$(B)/perf/micro/parse: $(call libs,http)
$(B)/perf/micro/flow: $(call libs,tcp)
$(B)/perf/micro/compress: $(call libs,policy)
$(B)/perf/micro/send: perf/micro/send.c $(B)/tests/nic/nic.o $(STACK_LIB)
	@mkdir -p $(@D)
	$(say)$(CC) $(CPPFLAGS) $(CFLAGS) $(DPDK_CFLAGS) $(LDFLAGS) -o $@ $(filter %.c %.o %.a,$^) $(DPDK_LIBS)
$(B)/perf/micro/%: perf/micro/%.c $(call libs,contract base)
	@mkdir -p $(@D)
	$(say)$(CC) $(CPPFLAGS) $(CFLAGS) -march=$(MARCH) $(LDFLAGS) -o $@ $(filter %.c %.o,$^) $(filter-out %/libcontract.a %/libbase.a,$(filter %.a,$^)) $(call libs,contract base) $(ROUTE_LIBS) $(COMPRESS_LIBS) -lm

# Fuzz targets: tests/fuzz/fuzz_<name>.c with seeds in tests/fuzz/corpus/<name>/. The smoke runs each for a bounded
# number of inputs; `make fuzz-request FUZZ_RUNS=-1` goes on until it is stopped.
FUZZ := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_RUNS ?= 50000
FUZZ_SRC := $(filter-out %/compile.c $(FORM_PARTS),$(wildcard dataplane/base/*.c dataplane/contract/*.c dataplane/http/*.c dataplane/route/*.c)) \
	control/blob.c control/routetable.c
# gcc says by itself that pools are to be poisoned (port/pkt.h); clang must be told to.
FUZZ_CFLAGS := -std=gnu17 -O1 -g -march=$(MARCH) -fno-omit-frame-pointer -fno-sanitize-recover=undefined \
	-D__SANITIZE_ADDRESS__=1
$(B)/fuzz/%.o: %.c
	@mkdir -p $(@D)
	$(CLANG) $(CPPFLAGS) -Itests/fuzz $(FUZZ_CFLAGS) $(FORM_CFLAGS) $(WARN) $(FUZZ_MORE) -MMD -MP -fsanitize=fuzzer-no-link,address,undefined -c -o $@ $<
# Those of packets link the stack as a library.
FUZZ_STACK_OBJ := $(patsubst %.c,$(B)/fuzz/%.o,$(foreach l,stack tcp net port contract base,$(wildcard dataplane/$(l)/*.c)))
FUZZ_PACKET := $(addprefix $(B)/fuzz/fuzz_,packet options)
$(foreach l,stack tcp net port,$(B)/fuzz/dataplane/$(l)/%.o) $(FUZZ_PACKET:$(B)/fuzz/%=$(B)/fuzz/tests/fuzz/%.o): \
	FUZZ_MORE = $(DPDK_CFLAGS)
$(FUZZ_PACKET): $(B)/fuzz/fuzz_%: $(B)/fuzz/tests/fuzz/fuzz_%.o $(FUZZ_STACK_OBJ)
	$(CLANG) -fsanitize=fuzzer,address,undefined -o $@ $^ $(DPDK_LIBS)
$(B)/fuzz/fuzz_%: $(B)/fuzz/tests/fuzz/fuzz_%.o $(patsubst %.c,$(B)/fuzz/%.o,$(FUZZ_SRC))
	$(CLANG) -fsanitize=fuzzer,address,undefined -o $@ $^ $(ROUTE_LIBS)
# Those of HTTP are held to a second reading, and begin with what the conformance table has.
FUZZ_HTTP := request response chunked scan
$(FUZZ_HTTP:%=$(B)/fuzz/fuzz_%): $(B)/fuzz/tests/fuzz/reference.o
$(B)/tests/fuzz/seeds: $(B)/tests/fuzz/seeds.o $(B)/tests/conformance/cases.o $(call libs,http base)
	$(say)$(CC) $(LDFLAGS) -o $@ $^
$(B)/fuzz/table: $(B)/tests/fuzz/seeds $(addprefix tests/conformance/,requests.txt responses.txt)
	@rm -rf $@; $< $@ $(filter %.txt,$^)
$(FUZZ_HTTP:%=fuzz-%): $(B)/fuzz/table
# Says how much was reached: edges of the control flow of all that is linked.
fuzz-packet: FUZZ_RUNS := $(or $(filter-out 50000,$(FUZZ_RUNS)),4000)
fuzz-scan: FUZZ_RUNS := $(or $(filter-out 50000,$(FUZZ_RUNS)),10000)
# That of whole exchanges links the gateway and the bed of the conformance table.
FUZZ_EXCHANGE_OBJ := $(patsubst %.c,$(B)/fuzz/%.o,$(foreach l,$(ALL_LAYERS),$(call layer_src,$(l))) dataplane/worker.c \
	control/blob.c control/routetable.c tests/sim/world.c tests/sim/wire.c tests/conformance/bed.c \
	tests/conformance/reader.c tests/conformance/cases.c)
$(filter $(B)/fuzz/tests/% $(B)/fuzz/dataplane/worker.o $(foreach l,gateway upstream policy,$(B)/fuzz/dataplane/$(l)/%), \
	$(FUZZ_EXCHANGE_OBJ)) $(B)/fuzz/tests/fuzz/fuzz_exchange.o: FUZZ_MORE = $(DPDK_CFLAGS)
$(B)/fuzz/fuzz_exchange: $(B)/fuzz/tests/fuzz/fuzz_exchange.o $(FUZZ_EXCHANGE_OBJ)
	$(CLANG) -fsanitize=fuzzer,address,undefined -o $@ $^ $(DPDK_LIBS) $(ROUTE_LIBS) $(COMPRESS_LIBS)
fuzz-exchange: FUZZ_RUNS := $(or $(filter-out 50000,$(FUZZ_RUNS)),3000)
fuzz-%: $(B)/fuzz/fuzz_%
	@mkdir -p $(B)/fuzz/corpus/$*
	@$< -seed=1 -runs=$(FUZZ_RUNS) -max_len=2048 -timeout=10 -artifact_prefix=$(B)/fuzz/ $(B)/fuzz/corpus/$* \
		$$(ls -d tests/fuzz/corpus/$* $(B)/fuzz/table/$* 2>/dev/null) >$(B)/fuzz/$*.log 2>&1 || { grep -vE '(NEW|REDUCE|RELOAD|pulse) ' $(B)/fuzz/$*.log; exit 1; }
	@sed -n -e 's/.*Loaded 1 modules *(\([0-9]*\).*/\1/;t hold' -e 's/^#\([0-9]*\).*DONE *cov: \([0-9]*\).*/\1 inputs, \2/;T' \
		-e 'G;s/\n\(.*\)/ of \1 edges reached/;s/^/fuzz $*: /p;b' -e ':hold' -e 'h' $(B)/fuzz/$*.log
fuzz-smoke: $(addprefix fuzz-,$(FUZZ)) fuzz-planted
# A planted bug, which both fuzzers of packets must find: an option's length is believed beyond the end of the list.
$(B)/fuzz/planted/options.c: dataplane/tcp/options.c
	@mkdir -p $(@D)
	@sed 's/ || p\[1\] > n)/)/' $< >$@; ! cmp -s $< $@
$(B)/fuzz/planted/options.o: $(B)/fuzz/planted/options.c
	@$(CLANG) $(CPPFLAGS) $(FUZZ_CFLAGS) $(DPDK_CFLAGS) -MMD -MP -fsanitize=fuzzer-no-link,address,undefined -c -o $@ $<
$(B)/fuzz/planted/fuzz_%: $(B)/fuzz/tests/fuzz/fuzz_%.o $(B)/fuzz/planted/options.o $(filter-out %/tcp/options.o,$(FUZZ_STACK_OBJ))
	@$(CLANG) -fsanitize=fuzzer,address,undefined -o $@ $^ $(DPDK_LIBS)
# And in the HTTP parser: a tab ends a value in one form alone, which the comparison of the forms must find; a length
# and chunked at once are taken, which the reference must find.
$(B)/fuzz/planted/form/http/blocks.h: dataplane/http/blocks.h
	@mkdir -p $(@D)
	@sed 's/0xfb, 0xfa/0xfb, 0xfb/' $< >$@; ! cmp -s $< $@
$(B)/fuzz/planted/grammar/http/fields.c: dataplane/http/fields.c
	@mkdir -p $(@D)
	@sed 's/if (seen->length && seen->chunked)/if (seen->length \&\& seen->chunked \&\& !h->minor)/' $< >$@; ! cmp -s $< $@
$(B)/fuzz/planted/form/form_%.o: dataplane/http/form_%.c $(B)/fuzz/planted/form/http/blocks.h
	@$(CLANG) -I$(B)/fuzz/planted/form $(CPPFLAGS) $(FUZZ_CFLAGS) $(FORM_CFLAGS) -MMD -MP -fsanitize=fuzzer-no-link,address,undefined -c -o $@ $<
$(B)/fuzz/planted/grammar/form_%.o: dataplane/http/form_%.c $(B)/fuzz/planted/grammar/http/fields.c
	@$(CLANG) -I$(B)/fuzz/planted/grammar $(CPPFLAGS) $(FUZZ_CFLAGS) $(FORM_CFLAGS) -MMD -MP -fsanitize=fuzzer-no-link,address,undefined -c -o $@ $<
FUZZ_HTTP_OBJ := $(B)/fuzz/tests/fuzz/reference.o $(patsubst %.c,$(B)/fuzz/%.o,$(filter dataplane/base/% dataplane/http/%,$(FUZZ_SRC)))
$(B)/fuzz/planted/fuzz_scan: $(B)/fuzz/tests/fuzz/fuzz_scan.o $(B)/fuzz/planted/form/form_sse42.o $(filter-out %/form_sse42.o,$(FUZZ_HTTP_OBJ))
	@$(CLANG) -fsanitize=fuzzer,address,undefined -o $@ $^
$(B)/fuzz/planted/fuzz_request: $(B)/fuzz/tests/fuzz/fuzz_request.o $(FORMS:%=$(B)/fuzz/planted/grammar/form_%.o) \
		$(filter-out $(FORMS:%=$(B)/fuzz/dataplane/http/form_%.o),$(FUZZ_HTTP_OBJ))
	@$(CLANG) -fsanitize=fuzzer,address,undefined -o $@ $^
# And one for that of whole exchanges: what a backend says behind its answer is left for the next request.
$(B)/fuzz/planted/attempt.c: dataplane/gateway/attempt.c
	@mkdir -p $(@D)
	@sed 's/ && x->request_relayed && tcp_recv_len(t) == 0 &&$$/ \&\&/' $< >$@; ! cmp -s $< $@
$(B)/fuzz/planted/pool.c: dataplane/upstream/pool.c
	@mkdir -p $(@D)
	@sed 's/return tcp_recv_len(c) == 0 && /return /' $< >$@; ! cmp -s $< $@
$(B)/fuzz/planted/attempt.o $(B)/fuzz/planted/pool.o: $(B)/fuzz/planted/%.o: $(B)/fuzz/planted/%.c
	@$(CLANG) $(CPPFLAGS) $(FUZZ_CFLAGS) $(DPDK_CFLAGS) -MMD -MP -fsanitize=fuzzer-no-link,address,undefined -c -o $@ $<
$(B)/fuzz/planted/fuzz_exchange: $(B)/fuzz/tests/fuzz/fuzz_exchange.o $(B)/fuzz/planted/attempt.o $(B)/fuzz/planted/pool.o \
	$(filter-out %/gateway/attempt.o %/upstream/pool.o,$(FUZZ_EXCHANGE_OBJ))
	@$(CLANG) -fsanitize=fuzzer,address,undefined -o $@ $^ $(DPDK_LIBS) $(ROUTE_LIBS) $(COMPRESS_LIBS)
fuzz-planted-exchange: $(B)/fuzz/planted/fuzz_exchange
	@mkdir -p $(B)/fuzz/planted/corpus-exchange
	@! $< -seed=1 -runs=20000 -artifact_prefix=$(B)/fuzz/planted/ $(B)/fuzz/planted/corpus-exchange tests/fuzz/corpus/exchange \
		>$(B)/fuzz/planted/exchange.log 2>&1 && grep -q 'theirs <= due' $(B)/fuzz/planted/exchange.log && \
		echo "fuzz exchange: the planted bug is found" || { echo "fuzz exchange: the planted bug is not found"; exit 1; }
fuzz-planted: $(addprefix $(B)/fuzz/planted/fuzz_,packet options scan request) $(B)/fuzz/table fuzz-planted-exchange
	@mkdir -p $(addprefix $(B)/fuzz/planted/corpus-,packet options scan request)
	@for f in packet:AddressSanitizer options:AddressSanitizer scan:fuzz_scan.c request:fuzz_request.c; do sign=$${f#*:}; f=$${f%:*}; \
		! $(B)/fuzz/planted/fuzz_$$f -seed=1 -runs=200000 -artifact_prefix=$(B)/fuzz/planted/ $(B)/fuzz/planted/corpus-$$f \
			$$(ls -d tests/fuzz/corpus/$$f $(B)/fuzz/table/$$f 2>/dev/null) \
			>$(B)/fuzz/planted/$$f.log 2>&1 && grep -q "$$sign" $(B)/fuzz/planted/$$f.log && \
			echo "fuzz $$f: the planted bug is found" || { echo "fuzz $$f: the planted bug is not found"; exit 1; }; done

# A million random pairs of configuration and request through the compiled routes and through a naive matcher.
routing-pairs: $(B)/tests/unit/control/test_routing
	ROUTING_PAIRS=1000000 $<
# Ten million keys of rate limits, each beyond its limit, in 1 GiB.
limit-keys: $(B)/tests/unit/contract/test_limit_keys
	LIMIT_KEYS=10000000 $<

unit: $(TESTS) $(LINUX_TESTS)
clean:
	rm -rf build
.PHONY: all unit routing-pairs limit-keys clean demo run check fuzz-smoke fuzz-planted fuzz-planted-exchange scripts
.SECONDARY:
-include $(shell find $(B) -name '*.d' 2>/dev/null)

# Style and layers.
SOURCES = $(shell find dataplane control ebpf tools tests perf -name '*.[ch]' | sort)
fmt-check:
	@clang-format --dry-run -Werror $(SOURCES) && echo "format: $(words $(SOURCES)) files are formatted"
layers:
	@tools/check-layers --self-test && tools/check-layers

# What tests/run builds and runs.
SIMS += $(if $(SIM_TCP_OBJ),$(B)/tests/sim/tcp_sim) $(GATEWAY_SIMS)
sims: $(SIMS)
# make sim RUNS=n SEED=s   n schedules of TCP, n/50 of gateways; sim-long: on and on with new seeds.
RUNS ?= 10000
SEED ?= 1
sim: sims
	@tests/sim/run --build $(B) --runs $(RUNS) --seed $(SEED)
sim-long: sims
	@tests/sim/run --build $(B) --runs $(RUNS) --seed $$(date +%s) --long
# Plants bugs one at a time (tests/sim/mutants.txt): each must be found. MUTANTS="name name": those alone.
sim-mutants: $(B)/tests/sim/tcp_sim
	@tests/sim/mutants --build $(B) --runs $(RUNS) --seed $(SEED) $(MUTANTS)
list-unit:
	@echo $(TESTS)
list-sim:
	@echo $(SIMS)

# The lab: namespaces of its own with clients, the gateway and backends. Needs root.
LAB = PYTHONPATH=tools LAB_BUILD=$(B) python3 -B -m lab
CONFIG ?= configs/lab.yaml
ready = @tools/setup $(1) && $(MAKE) -s --no-print-directory -j$$(nproc) all
demo:
	$(call ready,build demo)
	@$(LAB) demo
run:
	$(call ready,build demo)
	@$(LAB) run $(CONFIG)
check:
	@tools/setup build demo check
	@tests/run
e2e: all $(B)/tests/linux/wire
	@LAB_BUILD=$(B) tests/e2e/run
e2e-large: all
	@LAB_BUILD=$(B) tests/e2e/run --large

# Against Linux over a bad path: every row (45 minutes), small ones, or the comparison of goodput.
linux: $(LINUX_TESTS)
	@LAB_BUILD=$(B) tests/linux/run
linux-quick: $(LINUX_TESTS)
	@LAB_BUILD=$(B) tests/linux/run --quick
linux-goodput: $(LINUX_TESTS)
	@LAB_BUILD=$(B) tests/linux/run --goodput

# make bench SCENARIO=local     the scenarios of perf/scenarios, or one of them. Needs root and two CPUs.
# Peers that are not installed (tools/setup bench) are left out.
# What is measured is what should be installed: the build by profile; BENCH=release for another.
BENCH ?= pgo
bench:
	@$(MAKE) --no-print-directory VARIANT=$(BENCH) bench-this
bench-build: all $(B)/perf/loadgen/loadgen $(B)/perf/virtual/loadgen $(B)/perf/peers/paced $(B)/perf/peers/share
bench-this: bench-build
	@BENCH_BUILD=$(B) perf/run $(SCENARIO)

# What single operations cost, in cycles of the time-stamp counter: a line for each case.
MICRO := parse flow send route ratelimit deny wheel checksum compress
micro: $(MICRO:%=$(B)/perf/micro/%)
	@for each in $^; do HUGE=1 $$each || exit 1; done

# Instructions for each request; WRITE=--write writes perf/instructions/table.toml.
instructions: all $(B)/perf/instructions/instructions
	@BENCH_BUILD=$(B) perf/instructions/run $(WRITE)

# What of tcp and net the unit tests, packet scripts and simulators reach.
coverage:
	@tests/coverage

PREFIX ?= /usr/local
install: all
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/bin $(DESTDIR)/etc/churchgate
	install $(addprefix $(B)/churchgate-,control dataplane exporter) $(DESTDIR)$(PREFIX)/sbin
	install $(B)/cgctl $(DESTDIR)$(PREFIX)/bin
	install -m 644 configs/*.yaml $(DESTDIR)/etc/churchgate
.PHONY: bench bench-build bench-this micro instructions fmt-check layers sim sims sim-long sim-mutants sim-compiler sim-linked list-unit list-sim e2e e2e-large linux linux-quick linux-goodput coverage install
