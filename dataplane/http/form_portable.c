// The parser for any processor.
#define FORM      portable
#define FORM_BITS 0
#include "http/form.h"
