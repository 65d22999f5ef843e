import COnnxRuntime
import Glibc
import ModelFormats
import Synchronization

extension ONNXRuntime {
  /// A device and the provider that can use it, as the library lists them.
  struct ListedDevice {
    let handle: OpaquePointer
    let provider: String
    let libraryPath: String?
    let device: ExecutionProvider.Device
  }

  /// The execution providers built in and those of registered plug-ins, with their devices.
  public func providers() -> [ExecutionProvider] {
    let devices = (try? listedDevices()) ?? []
    let plugins = plugins.withLock { $0 }
    let builtIn = (try? builtInNames()) ?? []
    var result = builtIn.map { name in
      ExecutionProvider(
        name: name, isPlugin: false, libraryPath: nil,
        devices: devices.filter { $0.provider == name }.map(\.device))
    }
    var seen = Set(builtIn)
    for listed in devices where seen.insert(listed.provider).inserted {
      result.append(
        ExecutionProvider(
          name: listed.provider, isPlugin: true, libraryPath: listed.libraryPath,
          devices: devices.filter { $0.provider == listed.provider }.map(\.device)))
    }
    // Plug-ins that found no device.
    for plugin in plugins where !devices.contains(where: { $0.libraryPath == plugin.path }) {
      guard seen.insert(plugin.name).inserted else { continue }
      result.append(
        ExecutionProvider(
          name: plugin.name, isPlugin: true, libraryPath: plugin.path, devices: []))
    }
    return result
  }

  /// The libraries of plug-ins in PyPI's packages at hand, registered or not.
  public func installedPlugins() -> [String] {
    KnownProvider.all.compactMap { RuntimePlaces.plugins(of: $0, besides: path).first }
  }

  /// Registers a library that contains an execution provider; again is not an error.
  ///
  /// - Throws: ``EngineError`` `missing` if there is no such file, or it is not a plug-in that this
  ///   version can use.
  public func registerPlugin(_ path: String) throws(EngineError) {
    let context = "execution provider \(path)"
    guard let file = RuntimePlaces.resolved(path) else {
      throw EngineError(
        .missing, String(cString: strerror(errno)), context: context,
        hint: KnownProvider.ofLibrary(path).map { "\(pip: $0.package)" }
          ?? "use the path of a library libonnxruntime_providers_*.so")
    }
    try plugins.withLock { (plugins) throws(EngineError) in
      guard !plugins.contains(where: { $0.path == file }) else { return }
      let known = KnownProvider.ofLibrary(file)
      for name in known?.neededLibraries ?? [] {
        // If one cannot be opened, registration fails and names it.
        for neighbor in RuntimePlaces.neighbors(of: file, startingWith: name) {
          _ = FileName.bytes(neighbor).withUnsafeBufferPointer { ort_preload($0.baseAddress) }
        }
      }
      let name = known?.name ?? Self.registrationName(of: file)
      let status = FileName.bytes(file).withUnsafeBufferPointer { file in
        functions.table.RegisterExecutionProviderLibrary(environment, name, file.baseAddress)
      }
      do throws(EngineError) {
        try functions.check(status, context)
      } catch {
        throw EngineError(
          .missing, error.message, context: context,
          hint: known.map { "install it anew: \(pip: $0.package); or update ONNX Runtime" }
            ?? "use a plug-in that was built for ONNX Runtime \(version)")
      }
      plugins.append(Plugin(path: file, name: name))
    }
  }

  /// The name of the file without `libonnxruntime_providers_` and the ending.
  private static func registrationName(of path: String) -> String {
    let name = path.split(separator: "/").last.map(String.init) ?? path
    let stem = String(name.prefix { $0 != "." })
    return stem.replacing("libonnxruntime_providers_", with: "").replacing("_plugin", with: "")
  }

  private func builtInNames() throws(EngineError) -> [String] {
    var list: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
    var count: Int32 = 0
    try functions.check(functions.table.GetAvailableProviders(&list, &count), "ONNX Runtime")
    guard let list else { return [] }
    let names = (0..<Int(count)).compactMap { list[$0].map { String(cString: $0) } }
    try functions.check(functions.table.ReleaseAvailableProviders(list, count), "ONNX Runtime")
    return names
  }

  /// The devices of all providers.
  func listedDevices() throws(EngineError) -> [ListedDevice] {
    var list: UnsafePointer<OpaquePointer?>?
    var count = 0
    let table = functions.table
    try functions.check(table.GetEpDevices(environment, &list, &count), "ONNX Runtime")
    guard let list else { return [] }
    let plugins = plugins.withLock { $0 }
    return (0..<count).compactMap { index in
      guard let handle = list[index], let name = table.EpDevice_EpName(handle),
        let hardware = table.EpDevice_Device(handle)
      else { return nil }
      let provider = String(cString: name)
      let metadata = functions.pairs(table.EpDevice_EpMetadata(handle))
      // Newer versions say which library a device is of.
      let library =
        metadata["library_path"].map { RuntimePlaces.resolved($0) ?? $0 }
        ?? plugins.first { provider.hasPrefix($0.name) }?.path
      return ListedDevice(
        handle: handle, provider: provider, libraryPath: library,
        device: device(handle, hardware, metadata))
    }
  }

  private func device(
    _ handle: OpaquePointer, _ hardware: OpaquePointer, _ metadata: [String: String]
  ) -> ExecutionProvider.Device {
    let table = functions.table
    let kind: ExecutionProvider.Device.Kind =
      switch table.HardwareDevice_Type(hardware) {
      case 1: .gpu
      case 2: .npu
      default: .cpu
      }
    let system = functions.pairs(table.HardwareDevice_Metadata(hardware))
    let all = system.merging(metadata) { $1 }
    let makers = [table.HardwareDevice_Vendor(hardware), table.EpDevice_EpVendor(handle)]
    return ExecutionProvider.Device(
      vendor: makers.compactMap { $0.map { String(cString: $0) } }.first { !$0.isEmpty } ?? "",
      kind: kind,
      name: all["FULL_DEVICE_NAME"] ?? all["Description"] ?? all["device_name"]
        ?? kind.rawValue.uppercased(),
      metadata: all)
  }
}
