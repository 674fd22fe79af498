#include "src/greeting.h"

const char *greeting(void) { return "hello from bazel"; }
