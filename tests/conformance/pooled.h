// Requests that are given to a pooled connection which then ends before a byte of them has left: each goes out
// on a fresh one, once, whatever its method (RFC 9112 9.3.1).
#pragma once
#include "conformance/bed.h"

// NULL, or what is not so.
const char *pooled_run(struct bed *b);
