// Opens oneDNN when it is first needed: 40 MB that most commands do not use.
#define _GNU_SOURCE
#include "library.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

onednn_functions dnnl;
dnnl_engine_t onednn_engine;

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
static const char file_name[] = "libdnnl.so." TEXT(DNNL_VERSION_MAJOR);

static onednn_library library = {.built_major = DNNL_VERSION_MAJOR};

// The folder that the build was told of; the environment goes before it.
#ifndef ONEDNN_PREFIX
#define ONEDNN_PREFIX ""
#endif

static void choose_path(void) {
  const char *given = getenv("SDLOOM_ONEDNN");
  library.is_named = given != NULL && *given;
  if (!library.is_named) given = ONEDNN_PREFIX;
  struct stat status;
  int length;
  if (!*given) length = snprintf(library.path, sizeof library.path, "%s", file_name);
  else if (stat(given, &status) == 0 && S_ISDIR(status.st_mode))
    length = snprintf(library.path, sizeof library.path, "%s/lib/%s", given, file_name);
  else length = snprintf(library.path, sizeof library.path, "%s", given);
  // A path that was cut is of no file.
  if (length < 0 || (size_t)length >= sizeof library.path) library.path[0] = 0;
}

static onednn_outcome fail(onednn_outcome outcome, const char *detail) {
  snprintf(library.detail, sizeof library.detail, "%s", detail ? detail : "");
  return outcome;
}

static onednn_outcome load(void) {
  choose_path();
  if (!library.path[0]) return fail(onednn_missing, "SDLOOM_ONEDNN: File name too long");
  void *const handle = dlopen(library.path, RTLD_NOW | RTLD_LOCAL);
  if (!handle) return fail(onednn_missing, dlerror());

  // What it is, before what it has: another version lacks functions of this one.
  const __typeof__(&dnnl_version) version_of =
      (__typeof__(&dnnl_version))dlsym(handle, "dnnl_version");
  if (!version_of) return fail(onednn_incomplete, "dnnl_version");
  Dl_info place;
  if (dladdr((void *)version_of, &place) && place.dli_fname)
    snprintf(library.path, sizeof library.path, "%s", place.dli_fname);
  const dnnl_version_t *const version = version_of();
  library.major = version->major;
  library.minor = version->minor;
  library.patch = version->patch;
  if (version->major != DNNL_VERSION_MAJOR) return fail(onednn_other_version, NULL);
  // On SYCL a primitive has not run when its call returns, and a caller's thread pool is not there.
  const unsigned runtime = version->cpu_runtime;
  if (runtime != DNNL_RUNTIME_SEQ && runtime != DNNL_RUNTIME_OMP && runtime != DNNL_RUNTIME_TBB)
    return fail(onednn_other_runtime, NULL);

#define FIND(name) \
  dnnl.name = (__typeof__(&dnnl_##name))dlsym(handle, "dnnl_" #name); \
  if (!dnnl.name) return fail(onednn_incomplete, "dnnl_" #name);
  ONEDNN_FUNCTIONS(FIND)
#undef FIND
  return dnnl.engine_create(&onednn_engine, dnnl_cpu, 0) == dnnl_success
             ? onednn_opened : fail(onednn_no_cpu, NULL);
}

static void load_once(void) { library.outcome = load(); }

const onednn_library *onednn_open(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, load_once);
  return &library;
}
