// JSON answers as text for people: scalars as aligned "name value" lines, lists of objects as tables (a list
// inside of a row becomes a table of its own behind it, with the row's name in front), lists of scalars in one
// cell. No empty line: that is how answers end.
#pragma once
#include <jansson.h>

// Allocated; NULL when there is no memory left.
char *render_text(const json_t *answer);
