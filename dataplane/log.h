// Messages of the data plane's main thread: to the standard error output, and to control when it listens.
// Workers do not come here; they write records into their ring.
#pragma once
#include "contract/region.h"

void log_set_level(enum log_level level);
bool log_level_parse(const char *text, enum log_level *level);
// Control's end of the channel; -1: nobody listens.
void log_set_channel(int fd);
void log_print(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
enum log_level log_get_level(void);
