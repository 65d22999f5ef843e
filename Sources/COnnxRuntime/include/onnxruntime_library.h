// Opens ONNX Runtime.
#pragma once

#include "onnxruntime_functions.h"

typedef enum {
  ort_opened,
  /// The file cannot be loaded; `detail` is what the dynamic loader says.
  ort_not_loaded,
  /// It is a library, but not this one: it lacks `OrtGetApiBase`.
  ort_foreign,
  /// It does not have version `ORT_VERSION` of the API.
  ort_other_version,
} ort_outcome;

typedef struct {
  ort_outcome outcome;
  /// The file that was opened.
  char path[4096];
  /// What the library says its version is, such as 1.32.0.
  char version[64];
  char detail[1024];
  /// Filled if the outcome is `ort_opened`.
  ort_functions functions;
} ort_library;

/// Opens the library at `path`, or that of this name where the dynamic loader looks. It stays open.
void ort_open(const char *path, ort_library *library);

/// Opens a library that others need, so that they find it under its name. It stays open.
///
/// - Returns: null, or why it cannot be opened.
const char *ort_preload(const char *path);
