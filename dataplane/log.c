#include "log.h"
#include "contract/channel_io.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const level_name[] = {
	[LOG_ERROR] = "error", [LOG_WARNING] = "warning", [LOG_INFO] = "info", [LOG_DEBUG] = "debug"};
static enum log_level level_shown = LOG_INFO;
static int channel = -1;

void log_set_level(enum log_level level)
{
	level_shown = level;
}

enum log_level log_get_level(void)
{
	return level_shown;
}

bool log_level_parse(const char *text, enum log_level *level)
{
	for (enum log_level l = LOG_ERROR; l <= LOG_DEBUG; l++)
		if (strcmp(text, level_name[l]) == 0) {
			*level = l;
			return true;
		}
	return false;
}

void log_set_channel(int fd)
{
	channel = fd;
}

void log_print(enum log_level level, const char *fmt, ...)
{
	struct channel_msg m;
	va_list ap;

	if (level > level_shown)
		return;
	channel_message(&m, CHANNEL_LOG, 0, NULL);
	m.state = (uint16_t)level;
	va_start(ap, fmt);
	vsnprintf(m.text, sizeof m.text, fmt, ap);
	va_end(ap);
	fprintf(stderr, "churchgate-dataplane: %s: %s\n", level_name[level], m.text);
	// A control that does not read loses messages, not the data plane its time.
	if (channel >= 0)
		channel_send(channel, &m, NULL, 0);
}
