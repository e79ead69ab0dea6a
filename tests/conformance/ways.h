// Requests that go a way of their own for the sake of speed (gateway/prompt.c) beside the same on the usual
// way: what the client gets and what is counted must be the same.
#pragma once
#include "conformance/bed.h"

// NULL, or what differs.
const char *ways_run(struct bed *b);   // requests that are answered here
const char *passed_run(struct bed *b); // requests and responses that pass
