#include "ebpf/privilege.h"
#include <cap-ng.h>
#include <sys/prctl.h>

bool privilege_drop(void)
{
	// The bounding set can only be emptied by one who holds CAP_SETPCAP; without it the rest still goes.
	capng_clear(CAPNG_SELECT_BOTH);
	if (capng_apply(CAPNG_SELECT_BOTH) < 0 && capng_apply(CAPNG_SELECT_CAPS) < 0)
		return false;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}
