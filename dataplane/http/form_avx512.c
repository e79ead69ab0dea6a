// The parser for AVX-512 (F, BW, VL) and BMI.
#define FORM      avx512
#define FORM_BITS 512
#include "http/form.h"
