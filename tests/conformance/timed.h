// What comes in the very turn of the worker in which a timer looks: it counts, and nothing of it is forgotten.
#pragma once
#include "conformance/bed.h"

// NULL, or what is not so.
const char *timed_run(struct bed *b);
