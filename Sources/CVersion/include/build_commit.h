#pragma once

/// The commit that the program was built from, seven digits and `-dirty` if the work tree had
/// changes; empty if the build did not pass SDLOOM_COMMIT.
const char *sdk_build_commit(void);
