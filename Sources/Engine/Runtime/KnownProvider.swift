import OrderedJSON

/// What must be known about an execution provider beforehand: where it comes from and how it is told
/// a precision, a number of threads and a cache.
struct KnownProvider: Sendable {
  /// Settings by the names that the provider gives them.
  typealias Settings = [(key: String, value: String)]

  /// The name in ONNX Runtime.
  let name: String
  /// The package of PyPI that contains it.
  let package: String
  /// The package's folder, if the provider is a plug-in.
  var folder: String?
  /// The start of the names of libraries next to the plug-in that it does not find by itself.
  var neededLibraries: [String] = []
  /// Whether it can compute a model in float32 with bfloat16.
  var computesInBF16 = false
  /// Whether it keeps compiled engines in a folder.
  var keepsEngines = false
  /// The settings for these options on this device.
  var settings: @Sendable (ONNXRuntimeOptions, ExecutionProvider.Device?) -> Settings = { _, _ in
    []
  }

  var shortName: String { ExecutionProvider.shortName(of: name) }

  static func named(_ name: String) -> KnownProvider? {
    all.first { $0.name == name || $0.shortName == name.lowercased() }
  }

  /// The provider of a plug-in's library, by the package that contains it.
  static func ofLibrary(_ path: String) -> KnownProvider? {
    all.first { known in known.folder.map { path.contains("/\($0)/") } ?? false }
  }

  static let all = [
    KnownProvider(name: "CPUExecutionProvider", package: "onnxruntime"),
    KnownProvider(
      name: "OpenVINOExecutionProvider", package: "onnxruntime-ep-openvino",
      folder: "onnxruntime_ep_openvino", computesInBF16: true, keepsEngines: true,
      settings: openVINO),
    KnownProvider(
      name: "WebGpuExecutionProvider", package: "onnxruntime-ep-webgpu",
      folder: "onnxruntime_ep_webgpu"),
    KnownProvider(
      name: "CUDAExecutionProvider", package: "onnxruntime-gpu",
      // Otherwise matmuls of float32 values round them to 10 bits first.
      settings: { _, _ in [("use_tf32", "0")] }),
    KnownProvider(
      name: "TensorrtExecutionProvider", package: "onnxruntime-gpu", computesInBF16: true,
      keepsEngines: true, settings: tensorRT),
    KnownProvider(
      name: "NvTensorRTRTXExecutionProvider", package: "onnxruntime-ep-nv-tensorrt-rtx-cu13",
      folder: "onnxruntime_ep_nv_tensorrt_rtx",
      neededLibraries: ["libcudart.so", "libtensorrt_rtx.so", "libtensorrt_onnxparser_rtx.so"],
      keepsEngines: true,
      settings: { options, _ in options.engineCache.map { [("nv_runtime_cache_path", $0)] } ?? [] }),
  ]

  /// OpenVINO takes its settings as an object with a member per device. By itself it computes in
  /// bfloat16 on CPUs that have it, and in float16 on GPUs.
  @Sendable private static func openVINO(
    _ options: ONNXRuntimeOptions, _ device: ExecutionProvider.Device?
  ) -> Settings {
    // GPUs are numbered: `GPU.1`.
    let name = device?.metadata["ov_device"] ?? "CPU"
    var settings: JSONObject = ["INFERENCE_PRECISION_HINT": .string(options.precision.rawValue)]
    if name == "CPU" {
      settings["INFERENCE_NUM_THREADS"] = .string(
        String(options.threads ?? EngineOptions.coreCount))
    }
    settings["CACHE_DIR"] = options.engineCache.map { .string($0) }
    let all: JSONObject = JSONObject([name: .object(settings)])
    return [("load_config", JSON.object(all).text(.compact))]
  }

  @Sendable private static func tensorRT(
    _ options: ONNXRuntimeOptions, _ device: ExecutionProvider.Device?
  ) -> Settings {
    var settings: Settings = []
    if options.precision == .bf16 { settings.append(("trt_bf16_enable", "1")) }
    if let folder = options.engineCache {
      settings += [
        ("trt_engine_cache_enable", "1"), ("trt_engine_cache_path", folder),
        ("trt_timing_cache_enable", "1"), ("trt_timing_cache_path", folder),
      ]
    }
    return settings
  }
}
