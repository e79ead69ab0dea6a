#include "http/write.h"

static void digits(char *out, unsigned n, uint32_t v)
{
	while (n--) {
		out[n] = (char)('0' + v % 10);
		v /= 10;
	}
}

// Days since 1970-01-01 to a date of the Gregorian calendar: counted from 0000-03-01, so that the leap day is
// the last of its year, in eras of 400 years (146097 days).
static void civil_date(uint64_t days, uint32_t *year, uint32_t *month, uint32_t *day)
{
	uint64_t shifted = days + 719468;
	uint32_t of_era = (uint32_t)(shifted % 146097);
	uint32_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	uint32_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	uint32_t march_month = (5 * of_year + 2) / 153;

	*day = of_year - (153 * march_month + 2) / 5 + 1;
	*month = march_month < 10 ? march_month + 3 : march_month - 9;
	*year = (uint32_t)(shifted / 146097 * 400) + year_of_era + (*month <= 2);
}

void http_date(char out[static 29], uint64_t seconds)
{
	static const char names[] = "ThuFriSatSunMonTueWed", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	uint32_t year, month, day, of_day = (uint32_t)(seconds % 86400);
	uint64_t days = seconds / 86400;

	civil_date(days, &year, &month, &day);
	memcpy(out, "Thu, 01 Jan 1970 00:00:00 GMT", 29);
	memcpy(out, names + 3 * (days % 7), 3);
	digits(out + 5, 2, day);
	memcpy(out + 8, months + 3 * ((month - 1) % 12), 3);
	digits(out + 12, 4, year);
	digits(out + 17, 2, of_day / 3600);
	digits(out + 20, 2, of_day / 60 % 60);
	digits(out + 23, 2, of_day % 60);
}
