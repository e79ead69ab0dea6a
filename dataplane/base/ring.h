// Single-producer single-consumer rings.
//
// ptr_ring: pointers inside one process (packets handed from worker to worker). Lives in private memory.
// rec_ring: records of variable size in memory shared by two processes that do not trust each other's state:
// every index read from the other side is masked, every length checked; a corrupt ring reads as empty and is
// reported by its return value. An epoch in the header survives the restart of either end: a producer or
// consumer that (re)attaches continues from the shared indices.
// Memory order: the producer writes the record, then stores head with release; the consumer loads head with
// acquire, reads, then stores tail with release; the producer loads tail with acquire before it reuses room.
#pragma once
#include "base/arena.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define CACHE_LINE 64

struct ptr_ring {
	_Alignas(CACHE_LINE) _Atomic uint32_t head; // producer writes
	uint32_t tail_seen;
	_Alignas(CACHE_LINE) _Atomic uint32_t tail; // consumer writes
	uint32_t head_seen;
	_Alignas(CACHE_LINE) uint32_t mask;
	void **slot;
};

// capacity: a power of two. 0 or -ENOMEM.
int ptr_ring_init(struct ptr_ring *r, struct arena *a, uint32_t capacity);
// How many of the n were taken in (the rest stay the caller's).
unsigned ptr_ring_push(struct ptr_ring *r, void *const *v, unsigned n);
unsigned ptr_ring_pop(struct ptr_ring *r, void **v, unsigned n);
static inline bool ptr_ring_empty(struct ptr_ring *r)
{
	return atomic_load_explicit(&r->head, memory_order_acquire) ==
	       atomic_load_explicit(&r->tail, memory_order_relaxed);
}

struct rec_ring {
	_Alignas(CACHE_LINE) _Atomic uint64_t head; // bytes ever written; producer writes
	_Atomic uint64_t lost;                      // records that found no room; producer writes
	_Alignas(CACHE_LINE) _Atomic uint64_t tail; // bytes ever read; consumer writes
	_Alignas(CACHE_LINE) uint32_t size;         // of data, bytes, a power of two; fixed at creation
	uint32_t epoch;
	_Alignas(CACHE_LINE) unsigned char data[];
};

#define REC_MAX 2048 // bytes of one record's payload

void rec_ring_create(struct rec_ring *r, uint32_t size);
// size is what the attaching side knows from the contract, not what the shared header says.
// false (and lost + 1) when there is no room, or when n > REC_MAX.
bool rec_ring_put(struct rec_ring *r, uint32_t size, uint16_t type, const void *rec, uint32_t n);
// Copies the next record into buf (REC_MAX bytes of room). Payload length, 0 when empty (a record may not be
// empty), -1 when the ring was found corrupt (it is then reset to empty).
int rec_ring_get(struct rec_ring *r, uint32_t size, uint16_t *type, void *buf);
