/// A part of ONNX Runtime that runs graphs on one kind of device.
public struct ExecutionProvider: Sendable, Hashable {
  /// A device that a provider can use.
  public struct Device: Sendable, Hashable {
    /// The kind of device.
    public enum Kind: String, Sendable, Hashable, CaseIterable {
      case cpu, gpu, npu
    }

    /// The maker, such as `Intel`.
    public let vendor: String
    /// The kind of device.
    public let kind: Kind
    /// The model, or the kind if the provider does not know it.
    public let name: String
    /// What provider and system say about the device, such as `ov_device` or the driver.
    public let metadata: [String: String]

    public init(vendor: String, kind: Kind, name: String, metadata: [String: String]) {
      self.vendor = vendor
      self.kind = kind
      self.name = name
      self.metadata = metadata
    }
  }

  /// The name in ONNX Runtime, such as `CPUExecutionProvider`.
  public let name: String
  /// Whether it was registered from a library of its own.
  public let isPlugin: Bool
  /// The library of a plug-in.
  public let libraryPath: String?
  /// The devices; a provider without one cannot be used, except for those built in, which ONNX
  /// Runtime may not list devices of.
  public let devices: [Device]

  public init(name: String, isPlugin: Bool, libraryPath: String?, devices: [Device]) {
    self.name = name
    self.isPlugin = isPlugin
    self.libraryPath = libraryPath
    self.devices = devices
  }

  /// The name without `ExecutionProvider`, in lower case: `cpu`, `openvino`, `webgpu`.
  public var shortName: String { Self.shortName(of: name) }

  /// The short form of a provider's name.
  static func shortName(of name: String) -> String {
    name.replacing("ExecutionProvider", with: "").lowercased()
  }

  /// Whether a person means this provider by `text`: its name or short name, in any case.
  func isNamed(_ text: String) -> Bool {
    let text = text.lowercased()
    return text == shortName || text == name.lowercased()
  }
}
