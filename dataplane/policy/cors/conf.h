// Record of the `cors` stage in a route (the CORS protocol of the Fetch standard, 3.2).
//   cors: {origins: [https://app.example.com], methods: [GET], headers: [X-Token], expose: [X-Total],
//          credentials: true, max_age: 10m}
#pragma once
#include "contract/snapshot.h"

struct cors_conf {
	struct snap_ref origins; // struct snap_ref of text, 1..CORS_ORIGINS_MAX; "*" alone: any
	struct snap_ref methods; // text: a list as it is sent
	struct snap_ref headers; // likewise; n = 0: none, "*": those that are asked for
	struct snap_ref expose;  // likewise; n = 0: none
	struct snap_ref max_age; // text: seconds
	uint32_t credentials;    // 1: cookies and the like may be sent along; never with any origin
	uint32_t pad;
};

#define CORS_ORIGINS_MAX 64
#define CORS_LIST_MAX    2048 // bytes of each list
