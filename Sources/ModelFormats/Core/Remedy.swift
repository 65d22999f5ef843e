/// What the user can do about an error: words, settings of the libraries, things to do, and packages of
/// the system or of Python to install.
///
/// A library does not know which program calls it. It names settings and actions by type; a program
/// phrases them as its own options and commands with ``phrased(setting:action:package:)``.
///
/// ```swift
/// hint: "set \(set: .overwrite) to replace it, or choose another file"
/// ```
public struct Remedy: Sendable, Hashable {
  /// A setting that callers of the libraries can change.
  public struct Setting: Sendable, Hashable {
    /// The property, such as `ConversionOptions.overwrite`.
    public enum Name: String, Sendable, Hashable, CaseIterable {
      case overwrite, saturate, dropUnknown, useAverages, components, variant, layout, dtype
      case tokenizer, placement, naming, initialPicture, mask, hiresStrength, hiresSteps
      case safetyChecker, tokenMerging, cacheInterval, latents, metadata, model
    }

    /// The setting.
    public let name: Name
    /// The value to set; nil for on, or for a value that the user chooses.
    public let value: String?

    public init(_ name: Name, _ value: String? = nil) {
      self.name = name
      self.value = value
    }
  }

  /// An action on a file.
  public enum Action: String, Sendable, Hashable, CaseIterable {
    /// Show the contents of a file.
    case inspect
    /// Check a file for damage.
    case verify
    /// Convert it to another layout or format.
    case convert
  }

  /// A piece of a remedy.
  public enum Part: Sendable, Hashable {
    case text(String)
    case setting(Setting)
    case action(Action)
    /// Install this package, by Debian's name.
    case package(String)
    /// Install this package of Python, by PyPI's name.
    case pythonPackage(String)
  }

  /// Its pieces, in order.
  public private(set) var parts: [Part]

  /// A remedy that is only text.
  public init(_ text: String) {
    parts = [.text(text)]
  }

  /// The remedy with each setting, action and package to install in a program's words.
  public func phrased(
    setting: (Setting) -> String, action: (Action) -> String, package: (String) -> String,
    pythonPackage: (String) -> String = { "install the Python package `\($0)`" }
  ) -> String {
    parts.map { part in
      switch part {
      case .text(let text): text
      case .setting(let value): setting(value)
      case .action(let value): action(value)
      case .pythonPackage(let name): pythonPackage(name)
      case .package(let name): package(name)
      }
    }.joined()
  }

  /// Whether the remedy mentions this setting.
  public func mentions(_ name: Setting.Name, _ value: String? = nil) -> Bool {
    parts.contains { part in
      guard case .setting(let setting) = part, setting.name == name else { return false }
      return value == nil || setting.value == value
    }
  }

  /// Whether the description contains this text.
  public func contains(_ text: String) -> Bool { description.contains(text) }

  public static func + (left: Remedy, right: Remedy) -> Remedy {
    var sum = left
    for part in right.parts { Remedy.append(part, to: &sum.parts) }
    return sum
  }

  /// Appends a part; adjacent texts are joined, so that equal remedies have equal parts.
  fileprivate static func append(_ part: Part, to parts: inout [Part]) {
    if case .text(let end) = part, case .text(let start)? = parts.last {
      parts[parts.count - 1] = .text(start + end)
    } else if part != .text("") {
      parts.append(part)
    }
  }
}

extension Remedy: CustomStringConvertible {
  /// The remedy in terms of the libraries' documentation: `overwrite`, `layout = safetensors`.
  public var description: String {
    phrased(
      setting: { "`" + $0.name.rawValue + ($0.value.map { " = \($0)" } ?? "") + "`" },
      action: \.rawValue, package: { "install the package `\($0)`" })
  }
}

extension Remedy: ExpressibleByStringInterpolation {
  public init(stringLiteral value: String) {
    self.init(value)
  }

  public init(stringInterpolation: StringInterpolation) {
    parts = stringInterpolation.parts
  }

  /// Collects the pieces of a remedy from a string literal.
  public struct StringInterpolation: StringInterpolationProtocol {
    fileprivate var parts: [Part] = []

    public init(literalCapacity: Int, interpolationCount: Int) {}

    /// Adds words.
    public mutating func appendLiteral(_ literal: String) {
      Remedy.append(.text(literal), to: &parts)
    }

    /// Adds a setting, and what to set it to.
    public mutating func appendInterpolation(set name: Setting.Name, _ value: String? = nil) {
      Remedy.append(.setting(Setting(name, value)), to: &parts)
    }

    /// Adds an action.
    public mutating func appendInterpolation(do action: Action) {
      Remedy.append(.action(action), to: &parts)
    }

    /// Adds a package to install.
    public mutating func appendInterpolation(install package: String) {
      Remedy.append(.package(package), to: &parts)
    }

    /// Adds a package of Python to install.
    public mutating func appendInterpolation(pip package: String) {
      Remedy.append(.pythonPackage(package), to: &parts)
    }

    /// Adds the pieces of another remedy, or a value as text.
    public mutating func appendInterpolation(_ remedy: Remedy) {
      for part in remedy.parts { Remedy.append(part, to: &parts) }
    }

    /// Adds the pieces of another remedy, or a value as text.
    public mutating func appendInterpolation(_ value: some CustomStringConvertible) {
      Remedy.append(.text(value.description), to: &parts)
    }
  }
}
