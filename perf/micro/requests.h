// What perf/micro/parse reads: a short request of 100 bytes, and one of 700 as browsers send them.
#pragma once

static const char request_short[] = "GET /v2/orders/77812?page=2 HTTP/1.1\r\n"
				    "Host: www.example.com\r\n"
				    "User-Agent: probe/1.02\r\n"
				    "Accept: */*\r\n"
				    "\r\n";
static const char request_browser[] =
	"GET /articles/2026/11/harbour-at-night?utm_source=newsletter&id=1482 HTTP/1.1\r\n"
	"Host: www.example.com\r\n"
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8\r\n"
	"Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\n"
	"Accept-Encoding: gzip, deflate, br\r\n"
	"Referer: https://www.example.com/articles/\r\n"
	"Cookie: session=5f0c6e1b9a7d4c2e8b3f; theme=dark; consent=1; lang=en; tz=CET; "
	"seen=1482.1479.1466.1450.1\r\n"
	"Upgrade-Insecure-Requests: 1\r\n"
	"Sec-Fetch-Dest: document\r\n"
	"Sec-Fetch-Mode: navigate\r\n"
	"Sec-Fetch-User: ?1\r\n"
	"Pragma: no-cache\r\n"
	"Sec-Fetch-Site: same-origin\r\n"
	"Connection: keep-alive\r\n"
	"Cache-Control: max-age=0\r\n"
	"\r\n";
