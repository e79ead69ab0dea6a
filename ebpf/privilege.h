// What the exporter may do once it has started: nothing that needs a capability.
#pragma once
#include <stdbool.h>

// Gives up every capability, the way back to them, and new privileges through exec. false where the kernel
// refused; the process goes on as it was.
bool privilege_drop(void);
