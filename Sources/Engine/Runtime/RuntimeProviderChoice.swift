import COnnxRuntime
import ModelFormats

/// The provider and device that a network runs on.
struct RuntimeProviderChoice {
  let provider: ExecutionProvider
  /// nil for a provider that is built in, which takes its own device.
  let device: ONNXRuntime.ListedDevice?

  var known: KnownProvider? { KnownProvider.named(provider.name) }

  /// The short name, and the kind of device if there are several: `openvino:gpu`.
  var label: String {
    guard let device, Set(provider.devices.map(\.kind)).count > 1 else {
      return provider.shortName
    }
    return "\(provider.shortName):\(device.device.kind.rawValue)"
  }
}

extension ONNXRuntime {
  /// The provider that a person names, registered first if it is a plug-in at hand.
  ///
  /// - Throws: ``EngineError`` `missing` if there is no such provider, `unsupported` if it has no
  ///   device.
  func choose(_ text: String) throws(EngineError) -> RuntimeProviderChoice {
    let isPath = text.contains("/") || text.hasSuffix(".so")
    if isPath {
      try registerPlugin(text)
      let file = RuntimePlaces.resolved(text)
      let provider = providers().first { $0.libraryPath == file }
      guard let provider else {
        throw EngineError(
          .missing, "the library registered no execution provider",
          context: "execution provider \(text)")
      }
      return try choice(provider, kind: nil)
    }
    let parts = text.split(separator: ":", maxSplits: 1).map(String.init)
    let name = parts.first ?? ""
    var kind: ExecutionProvider.Device.Kind?
    if parts.count == 2 {
      kind = ExecutionProvider.Device.Kind(rawValue: parts[1].lowercased())
      guard kind != nil else {
        throw EngineError(
          .unsupported, "no kind of device is called \(parts[1])",
          context: "execution provider \(name)", hint: "use cpu, gpu or npu")
      }
    }
    if let found = providers().first(where: { $0.isNamed(name) && $0.isUsable }) {
      return try choice(found, kind: kind)
    }
    let known = KnownProvider.named(name)
    if let known, let plugin = RuntimePlaces.plugins(of: known, besides: path).first {
      try registerPlugin(plugin)
    }
    guard let found = providers().first(where: { $0.isNamed(name) }) else {
      let names = providers().map(\.shortName).joined(separator: ", ")
      throw EngineError(
        .missing, "not found; ONNX Runtime \(version) (\(path)) has \(names)",
        context: "execution provider \(name)",
        hint: known.map { "\(pip: $0.package), or use the path of its library" }
          ?? "use one of these, or the path of a plug-in's library")
    }
    return try choice(found, kind: kind)
  }

  private func choice(
    _ provider: ExecutionProvider, kind: ExecutionProvider.Device.Kind?
  ) throws(EngineError) -> RuntimeProviderChoice {
    let context = "execution provider \(provider.shortName)"
    let devices = try listedDevices().filter { $0.provider == provider.name }
    // The fastest first; networks as large as these seldom fit an NPU.
    let order: [ExecutionProvider.Device.Kind] = kind.map { [$0] } ?? [.gpu, .cpu, .npu]
    let device = order.lazy.compactMap { kind in
      devices.first { $0.device.kind == kind }
    }.first
    guard device != nil || (!provider.isPlugin && kind == nil) else {
      let what = kind.map { "\($0.rawValue.uppercased()) device" } ?? "device"
      throw EngineError(
        .unsupported, "it found no \(what) that it can use", context: context,
        hint: kind == nil
          ? "check the device's driver, or use the execution provider cpu" : "use another device")
    }
    return RuntimeProviderChoice(provider: provider, device: provider.isPlugin ? device : nil)
  }

  /// Makes `options` use a provider.
  func append(
    _ choice: RuntimeProviderChoice, _ settings: KnownProvider.Settings, to options: OpaquePointer,
    _ context: String
  ) throws(EngineError) {
    let table = functions.table
    let status: OpaquePointer?
    switch (choice.provider.name, choice.device) {
    case ("CPUExecutionProvider", _):
      return
    case (_, let device?):
      var handle: OpaquePointer? = device.handle
      status = RuntimeFunctions.withSettings(settings) {
        table.SessionOptionsAppendExecutionProvider_V2(options, environment, &handle, 1, $0, $1, $2)
      }
    case ("CUDAExecutionProvider", _):
      try appendCUDA(settings, to: options, context)
      return
    case ("TensorrtExecutionProvider", _):
      try appendTensorRT(settings, to: options, context)
      // What TensorRT does not take stays on the GPU.
      try appendCUDA(KnownProvider.named("cuda")?.defaults ?? [], to: options, context)
      return
    case (let name, _):
      status = RuntimeFunctions.withSettings(settings) {
        table.SessionOptionsAppendExecutionProvider(
          options, name.replacing("ExecutionProvider", with: ""), $0, $1, $2)
      }
    }
    try functions.check(status, context)
  }

  private func appendCUDA(
    _ settings: KnownProvider.Settings, to options: OpaquePointer, _ context: String
  ) throws(EngineError) {
    let table = functions.table
    let own = try functions.object(context) { table.CreateCUDAProviderOptions(&$0) }
    defer { table.ReleaseCUDAProviderOptions(own) }
    try functions.check(
      RuntimeFunctions.withSettings(settings) { table.UpdateCUDAProviderOptions(own, $0, $1, $2) },
      context)
    try functions.check(
      table.SessionOptionsAppendExecutionProvider_CUDA_V2(options, own), context)
  }

  private func appendTensorRT(
    _ settings: KnownProvider.Settings, to options: OpaquePointer, _ context: String
  ) throws(EngineError) {
    let table = functions.table
    let own = try functions.object(context) { table.CreateTensorRTProviderOptions(&$0) }
    defer { table.ReleaseTensorRTProviderOptions(own) }
    try functions.check(
      RuntimeFunctions.withSettings(settings) {
        table.UpdateTensorRTProviderOptions(own, $0, $1, $2)
      }, context)
    try functions.check(
      table.SessionOptionsAppendExecutionProvider_TensorRT_V2(options, own), context)
  }
}

extension ExecutionProvider {
  /// Whether it is built in or has a device.
  fileprivate var isUsable: Bool { !isPlugin || !devices.isEmpty }
}

extension KnownProvider {
  /// The settings for the default options.
  fileprivate var defaults: Settings { settings(ONNXRuntimeOptions(), nil) }
}
