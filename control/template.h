// Texts with variables: "${client_ip}", "${path.NAME}", ... Everything else stands for itself; "$${" for "${".
// What the variables are, and how their values are written where, is in http/template.h.
#pragma once
#include "blob.h"
#include "config.h"

enum template_use {
	TEMPLATE_FIELD,    // of a header field's value
	TEMPLATE_TARGET,   // a path, and behind '?' a query
	TEMPLATE_LOCATION, // a URI reference
	TEMPLATE_HOST,
};

// Whether there is any variable (or "$${") in it.
bool template_is(const struct text *t);
void template_check(struct diag *d, const char *key, const struct text *t, enum template_use use,
		    const struct conf_route *route);
// The pieces; n = 0 where there is no text. The check has found nothing.
struct snap_ref template_add(struct blob *b, const struct text *t, enum template_use use,
			     const struct conf_route *route);
