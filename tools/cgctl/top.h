#pragma once
// A live view, once a second, until 'q', Ctrl-C or the end of input. Exit status.
int top(const char *socket);
