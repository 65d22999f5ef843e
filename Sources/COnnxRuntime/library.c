#define _GNU_SOURCE
#include "onnxruntime_library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROW(index, version, result, name, parameters) {#name, index, version},
static const ort_function rows[] = {ORT_FUNCTIONS(ROW)};
#undef ROW
const size_t ort_function_count = sizeof rows / sizeof *rows;
const ort_function *ort_function_at(size_t row) { return &rows[row]; }

/// What `OrtGetApiBase` returns: the same in every version.
typedef struct {
  const void *(*table)(uint32_t version);
  const char *(*version)(void);
} api_base;

static void copy(char *target, size_t size, const char *text) {
  snprintf(target, size, "%s", text ? text : "");
}

/// Whether the version of the library, such as 1.32.0, has the table: the minor number of 1.x is the
/// version of the API. The library itself would print a line about it.
static int is_recent(const char *version) {
  int major = 0, minor = 0;
  if (sscanf(version, "%d.%d", &major, &minor) != 2) return 0;
  return major > 1 || minor >= ORT_VERSION;
}

static ort_outcome load(const char *path, ort_library *library) {
  copy(library->path, sizeof library->path, path);
  void *const handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    copy(library->detail, sizeof library->detail, dlerror());
    return ort_not_loaded;
  }
  const api_base *(*const get_base)(void) =
      (const api_base *(*)(void))dlsym(handle, "OrtGetApiBase");
  if (!get_base) {
    dlclose(handle);
    return ort_foreign;
  }
  Dl_info place;
  if (dladdr((void *)get_base, &place) && place.dli_fname)
    copy(library->path, sizeof library->path, place.dli_fname);
  const api_base *const base = get_base();
  if (!base) return ort_foreign;
  copy(library->version, sizeof library->version, base->version());
  if (!is_recent(library->version)) return ort_other_version;
  void *const *const table = base->table(ORT_VERSION);
  if (!table) return ort_other_version;

  ort_functions *const functions = &library->functions;
#define TAKE(index, version, result, name, parameters) \
  memcpy(&functions->name, &table[index], sizeof functions->name);
  ORT_FUNCTIONS(TAKE)
#undef TAKE
  return ort_opened;
}

void ort_open(const char *path, ort_library *library) {
  memset(library, 0, sizeof *library);
  library->outcome = load(path, library);
}

const char *ort_preload(const char *path) {
  return dlopen(path, RTLD_NOW | RTLD_GLOBAL) ? NULL : dlerror();
}
