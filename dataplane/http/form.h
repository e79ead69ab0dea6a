// The parser is compiled once for each of its forms: form_<name>.c says which (FORM) and how wide its vectors
// are (FORM_BITS), the Makefile with which instructions. All of it is in one unit, so that nothing within a
// head is called through a pointer; forms.c chooses.
#pragma once
#include "http/forms.h"

#define FORM_NAME__(name, form) name##_##form
#define FORM_NAME_(name, form)  FORM_NAME__(name, form)
#define FORM_NAME(name)         FORM_NAME_(name, FORM)

#include "http/fields.c"
#include "http/request.c"
#include "http/response.c"
