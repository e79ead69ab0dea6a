// The parser for AVX2 and BMI.
#define FORM      avx2
#define FORM_BITS 256
#include "http/form.h"
