#include "build_commit.h"

// Package.swift defines it if the environment has it. C, so that a new commit compiles this file only.
#ifndef SDLOOM_COMMIT
#define SDLOOM_COMMIT ""
#endif

const char *sdk_build_commit(void) { return SDLOOM_COMMIT; }
