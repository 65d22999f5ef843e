// The functions of ONNX Runtime's C API that are called, declared by us: nothing of it is linked, and
// its packages for Python contain no header.
//
// The API is a table of pointers that only grows: a function keeps its index in every later version.
// Source: the order of the members of `OrtApi` in onnxruntime_c_api.h of ONNX Runtime.
#pragma once

#include <stddef.h>
#include <stdint.h>

/// The version of the table that is asked for: the first with execution providers as plug-ins.
#define ORT_VERSION 22

// Objects of the library, all opaque.
typedef struct ort_status ort_status;
typedef struct ort_environment ort_environment;
typedef struct ort_session ort_session;
typedef struct ort_session_options ort_session_options;
typedef struct ort_run_options ort_run_options;
typedef struct ort_binding ort_binding;
typedef struct ort_value ort_value;
typedef struct ort_type ort_type;
typedef struct ort_tensor_type ort_tensor_type;
typedef struct ort_memory ort_memory;
typedef struct ort_allocator ort_allocator;
typedef struct ort_cuda_options ort_cuda_options;
typedef struct ort_tensorrt_options ort_tensorrt_options;
typedef struct ort_pairs ort_pairs;
typedef struct ort_device ort_device;
typedef struct ort_hardware ort_hardware;

/// Receives a line of the library's log; `severity` is 2 for warnings and 3 for errors.
typedef void (*ort_log)(
    void *context, int32_t severity, const char *category, const char *identifier,
    const char *location, const char *message);

/// Error codes that are told apart.
enum {
  ort_invalid_argument = 2,
  ort_no_such_file = 3,
  ort_invalid_protobuf = 7,
  ort_not_implemented = 9,
  ort_invalid_graph = 10,
};

/// Types of elements.
enum {
  ort_float32 = 1,
  ort_uint8 = 2,
  ort_int8 = 3,
  ort_int32 = 6,
  ort_int64 = 7,
  ort_bool = 9,
  ort_float16 = 10,
  ort_float64 = 11,
  ort_bfloat16 = 16,
};

// A list of keys and one of values, and their number.
#define ORT_OPTIONS const char *const *, const char *const *, size_t

/// X(index in the table, version that introduced it, result, name, parameters); a result of
/// `ort_status *` is null for success.
#define ORT_FUNCTIONS(X) \
  X(1, 1, int32_t, GetErrorCode, (const ort_status *)) \
  X(2, 1, const char *, GetErrorMessage, (const ort_status *)) \
  X(4, 1, ort_status *, CreateEnvWithCustomLogger, \
    (ort_log, void *, int32_t severity, const char *identifier, ort_environment **)) \
  X(6, 1, ort_status *, DisableTelemetryEvents, (const ort_environment *)) \
  X(7, 1, ort_status *, CreateSession, \
    (const ort_environment *, const char *path, const ort_session_options *, ort_session **)) \
  X(10, 1, ort_status *, CreateSessionOptions, (ort_session_options **)) \
  X(24, 1, ort_status *, SetIntraOpNumThreads, (ort_session_options *, int32_t)) \
  X(25, 1, ort_status *, SetInterOpNumThreads, (ort_session_options *, int32_t)) \
  X(30, 1, ort_status *, SessionGetInputCount, (const ort_session *, size_t *)) \
  X(31, 1, ort_status *, SessionGetOutputCount, (const ort_session *, size_t *)) \
  X(33, 1, ort_status *, SessionGetInputTypeInfo, (const ort_session *, size_t, ort_type **)) \
  X(34, 1, ort_status *, SessionGetOutputTypeInfo, (const ort_session *, size_t, ort_type **)) \
  X(36, 1, ort_status *, SessionGetInputName, \
    (const ort_session *, size_t, ort_allocator *, char **)) \
  X(37, 1, ort_status *, SessionGetOutputName, \
    (const ort_session *, size_t, ort_allocator *, char **)) \
  X(49, 1, ort_status *, CreateTensorWithDataAsOrtValue, \
    (const ort_memory *, void *data, size_t size, const int64_t *shape, size_t rank, \
     int32_t type, ort_value **)) \
  X(51, 1, ort_status *, GetTensorMutableData, (ort_value *, void **)) \
  X(55, 1, ort_status *, CastTypeInfoToTensorInfo, \
    (const ort_type *, const ort_tensor_type **)) \
  X(60, 1, ort_status *, GetTensorElementType, (const ort_tensor_type *, int32_t *)) \
  X(61, 1, ort_status *, GetDimensionsCount, (const ort_tensor_type *, size_t *)) \
  X(62, 1, ort_status *, GetDimensions, (const ort_tensor_type *, int64_t *, size_t)) \
  X(63, 1, ort_status *, GetSymbolicDimensions, \
    (const ort_tensor_type *, const char **, size_t)) \
  X(65, 1, ort_status *, GetTensorTypeAndShape, (const ort_value *, ort_tensor_type **)) \
  X(69, 1, ort_status *, CreateCpuMemoryInfo, \
    (int32_t allocator, int32_t kind, ort_memory **)) \
  X(76, 1, ort_status *, AllocatorFree, (ort_allocator *, void *)) \
  X(78, 1, ort_status *, GetAllocatorWithDefaultOptions, (ort_allocator **)) \
  X(93, 1, void, ReleaseStatus, (ort_status *)) \
  X(94, 1, void, ReleaseMemoryInfo, (ort_memory *)) \
  X(95, 1, void, ReleaseSession, (ort_session *)) \
  X(96, 1, void, ReleaseValue, (ort_value *)) \
  X(98, 1, void, ReleaseTypeInfo, (ort_type *)) \
  X(99, 1, void, ReleaseTensorTypeAndShapeInfo, (ort_tensor_type *)) \
  X(100, 1, void, ReleaseSessionOptions, (ort_session_options *)) \
  X(125, 4, ort_status *, GetAvailableProviders, (char ***, int32_t *)) \
  X(126, 4, ort_status *, ReleaseAvailableProviders, (char **, int32_t)) \
  X(130, 5, ort_status *, AddSessionConfigEntry, \
    (ort_session_options *, const char *key, const char *value)) \
  X(133, 5, ort_status *, RunWithBinding, \
    (ort_session *, const ort_run_options *, const ort_binding *)) \
  X(134, 5, ort_status *, CreateIoBinding, (ort_session *, ort_binding **)) \
  X(135, 5, void, ReleaseIoBinding, (ort_binding *)) \
  X(136, 5, ort_status *, BindInput, (ort_binding *, const char *name, const ort_value *)) \
  X(137, 5, ort_status *, BindOutput, (ort_binding *, const char *name, const ort_value *)) \
  X(138, 5, ort_status *, BindOutputToDevice, \
    (ort_binding *, const char *name, const ort_memory *)) \
  X(140, 5, ort_status *, GetBoundOutputValues, \
    (const ort_binding *, ort_allocator *, ort_value ***, size_t *)) \
  X(170, 9, ort_status *, SessionOptionsAppendExecutionProvider_TensorRT_V2, \
    (ort_session_options *, const ort_tensorrt_options *)) \
  X(171, 9, ort_status *, CreateTensorRTProviderOptions, (ort_tensorrt_options **)) \
  X(172, 9, ort_status *, UpdateTensorRTProviderOptions, (ort_tensorrt_options *, ORT_OPTIONS)) \
  X(174, 9, void, ReleaseTensorRTProviderOptions, (ort_tensorrt_options *)) \
  X(204, 11, ort_status *, SessionOptionsAppendExecutionProvider_CUDA_V2, \
    (ort_session_options *, const ort_cuda_options *)) \
  X(205, 11, ort_status *, CreateCUDAProviderOptions, (ort_cuda_options **)) \
  X(206, 11, ort_status *, UpdateCUDAProviderOptions, (ort_cuda_options *, ORT_OPTIONS)) \
  X(208, 11, void, ReleaseCUDAProviderOptions, (ort_cuda_options *)) \
  X(216, 12, ort_status *, SessionOptionsAppendExecutionProvider, \
    (ort_session_options *, const char *provider, ORT_OPTIONS)) \
  X(298, 22, void, GetKeyValuePairs, \
    (const ort_pairs *, const char *const **keys, const char *const **values, size_t *)) \
  X(301, 22, ort_status *, RegisterExecutionProviderLibrary, \
    (ort_environment *, const char *name, const char *path)) \
  X(303, 22, ort_status *, GetEpDevices, \
    (const ort_environment *, const ort_device *const **, size_t *)) \
  X(304, 22, ort_status *, SessionOptionsAppendExecutionProvider_V2, \
    (ort_session_options *, ort_environment *, const ort_device *const *, size_t, ORT_OPTIONS)) \
  X(307, 22, int32_t, HardwareDevice_Type, (const ort_hardware *)) \
  X(309, 22, const char *, HardwareDevice_Vendor, (const ort_hardware *)) \
  X(311, 22, const ort_pairs *, HardwareDevice_Metadata, (const ort_hardware *)) \
  X(312, 22, const char *, EpDevice_EpName, (const ort_device *)) \
  X(313, 22, const char *, EpDevice_EpVendor, (const ort_device *)) \
  X(314, 22, const ort_pairs *, EpDevice_EpMetadata, (const ort_device *)) \
  X(316, 22, const ort_hardware *, EpDevice_Device, (const ort_device *))

/// The functions, by their names in the API.
typedef struct {
#define MEMBER(index, version, result, name, parameters) result(*name) parameters;
  ORT_FUNCTIONS(MEMBER)
#undef MEMBER
} ort_functions;

/// A row of the table above.
typedef struct {
  const char *name;
  int32_t index;
  /// The version of the API that introduced it; 1.22 has version 22.
  int32_t version;
} ort_function;

/// The number of rows of the table, and one of them, in order.
extern const size_t ort_function_count;
const ort_function *ort_function_at(size_t row);
