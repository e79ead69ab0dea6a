// The parser for SSE4.2.
#define FORM      sse42
#define FORM_BITS 128
#include "http/form.h"
