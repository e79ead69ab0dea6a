// The check of an authority for those who parse no head.
#define FORM_BITS 0
#include "http/authority.h"
#include "http/head.h"

bool http_authority_ok(struct slice text)
{
	struct authority ignored;

	return authority_parse(text.p, text, &ignored);
}
