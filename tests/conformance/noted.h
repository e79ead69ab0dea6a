// Requests that are noted in a burst (gateway/burst.c), of which one's connection ends before they are decided:
// it is forgotten, and the others are served.
#pragma once
#include "conformance/bed.h"

// NULL, or what is not so.
const char *noted_run(struct bed *b);
