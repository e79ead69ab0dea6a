#pragma once
#define CHURCHGATE_VERSION "0.1.0"
