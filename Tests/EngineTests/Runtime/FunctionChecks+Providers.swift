import COnnxRuntime
import Glibc

// Execution providers and their devices.
extension FunctionChecks {
  static func checkProviders(_ environment: OpaquePointer) {
    begin("GetAvailableProviders", "ReleaseAvailableProviders")
    var list: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
    var count: Int32 = 0
    succeed(table.GetAvailableProviders(&list, &count))
    let names = (0..<Int(count)).compactMap { list?[$0].map { String(cString: $0) } }
    require(names.contains("CPUExecutionProvider"), "\(names)")
    succeed(table.ReleaseAvailableProviders(list, count))
    releases(bytes: 100) {
      var list: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
      var count: Int32 = 0
      _ = table.GetAvailableProviders(&list, &count)
      _ = table.ReleaseAvailableProviders(list, count)
    }
    var options: OpaquePointer?
    succeed(table.CreateSessionOptions(&options))
    begin("SessionOptionsAppendExecutionProvider")
    let said = message(
      table.SessionOptionsAppendExecutionProvider(options, "Abacus", nil, nil, 0))
    require(said.contains("Abacus"), said)
    checkCUDA(options)
    checkTensorRT(options)
    table.ReleaseSessionOptions(options)
  }

  /// In a build without CUDA only the first can be called, which names it in its error.
  static func checkCUDA(_ options: OpaquePointer?) {
    begin("CreateCUDAProviderOptions")
    var own: OpaquePointer?
    let status = table.CreateCUDAProviderOptions(&own)
    guard status == nil else {
      // Without a provider there are no options to call the others with.
      require(message(status).contains("CUDA"))
      begin(
        "UpdateCUDAProviderOptions", "SessionOptionsAppendExecutionProvider_CUDA_V2",
        "ReleaseCUDAProviderOptions")
      return
    }
    begin("UpdateCUDAProviderOptions")
    let update = message(pair("abacus", "1") { table.UpdateCUDAProviderOptions(own, $0, $1, 1) })
    require(update.contains("abacus"), update)
    begin("SessionOptionsAppendExecutionProvider_CUDA_V2")
    if let status = table.SessionOptionsAppendExecutionProvider_CUDA_V2(options, own) {
      let said = message(status)
      require(said.contains("CUDA") || said.contains("cuda"), said)
    }
    begin("ReleaseCUDAProviderOptions")
    table.ReleaseCUDAProviderOptions(own)
  }

  static func checkTensorRT(_ options: OpaquePointer?) {
    begin("CreateTensorRTProviderOptions")
    var own: OpaquePointer?
    let status = table.CreateTensorRTProviderOptions(&own)
    guard status == nil else {
      // Without a provider there are no options to call the others with.
      require(message(status).contains("TensorRT"))
      begin(
        "UpdateTensorRTProviderOptions", "SessionOptionsAppendExecutionProvider_TensorRT_V2",
        "ReleaseTensorRTProviderOptions")
      return
    }
    begin("UpdateTensorRTProviderOptions")
    let update = message(
      pair("abacus", "1") { table.UpdateTensorRTProviderOptions(own, $0, $1, 1) })
    require(update.contains("abacus"), update)
    begin("SessionOptionsAppendExecutionProvider_TensorRT_V2")
    if let status = table.SessionOptionsAppendExecutionProvider_TensorRT_V2(options, own) {
      let said = message(status)
      require(said.lowercased().contains("tensorrt"), said)
    }
    begin("ReleaseTensorRTProviderOptions")
    table.ReleaseTensorRTProviderOptions(own)
  }

  static func pair<R>(
    _ key: String, _ value: String,
    _ body: (UnsafePointer<UnsafePointer<CChar>?>, UnsafePointer<UnsafePointer<CChar>?>) -> R
  ) -> R {
    key.withCString { key in
      value.withCString { value in
        withUnsafePointer(to: Optional(key)) { key in
          withUnsafePointer(to: Optional(value)) { body(key, $0) }
        }
      }
    }
  }

  static func pairs(_ pairs: OpaquePointer?) -> [String: String] {
    var keys: UnsafePointer<UnsafePointer<CChar>?>?
    var values: UnsafePointer<UnsafePointer<CChar>?>?
    var count = 0
    table.GetKeyValuePairs(pairs, &keys, &values, &count)
    return Dictionary(
      uniqueKeysWithValues: (0..<count).compactMap { index in
        guard let key = keys?[index], let value = values?[index] else { return nil }
        return (String(cString: key), String(cString: value))
      })
  }

  static func checkDevices(_ environment: OpaquePointer) {
    begin("RegisterExecutionProviderLibrary")
    let said = message(
      table.RegisterExecutionProviderLibrary(environment, "nothing", "/nowhere/plugin.so"))
    require(said.contains("/nowhere/plugin.so"), said)
    begin("GetEpDevices", "EpDevice_EpName")
    var list: UnsafePointer<OpaquePointer?>?
    var count = 0
    succeed(table.GetEpDevices(environment, &list, &count))
    let devices = (0..<count).compactMap { list?[$0] }
    let cpu = devices.first {
      text(table.EpDevice_EpName($0)) == "CPUExecutionProvider"
    }
    require(cpu != nil, "\(devices.count) devices")
    begin("EpDevice_EpVendor")
    require(text(table.EpDevice_EpVendor(cpu)) == "Microsoft")
    begin("EpDevice_EpMetadata", "GetKeyValuePairs")
    let metadata = pairs(table.EpDevice_EpMetadata(cpu))
    require(metadata["version"]?.hasPrefix("1.") == true, "\(metadata)")
    begin("EpDevice_Device", "HardwareDevice_Type")
    let hardware = table.EpDevice_Device(cpu)
    require(hardware != nil)
    require(table.HardwareDevice_Type(hardware) == 0)
    begin("HardwareDevice_Vendor")
    let vendor = text(table.HardwareDevice_Vendor(hardware))
    require(!vendor.isEmpty && vendor != "Microsoft", vendor)
    begin("HardwareDevice_Metadata")
    require(table.HardwareDevice_Metadata(hardware) != table.EpDevice_EpMetadata(cpu))
    _ = pairs(table.HardwareDevice_Metadata(hardware))
    begin("SessionOptionsAppendExecutionProvider_V2")
    var options: OpaquePointer?
    succeed(table.CreateSessionOptions(&options))
    var device = cpu
    succeed(
      table.SessionOptionsAppendExecutionProvider_V2(
        options, environment, &device, 1, nil, nil, 0))
    // Now nothing falls back: the CPU was chosen.
    succeed(table.AddSessionConfigEntry(options, "session.disable_cpu_ep_fallback", "1"))
    let none = message(
      table.SessionOptionsAppendExecutionProvider_V2(
        options, environment, nil, 0, nil, nil, 0))
    require(none.lowercased().contains("device"), none)
    table.ReleaseSessionOptions(options)
  }
}
