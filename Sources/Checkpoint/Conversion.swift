import ModelFormats
import OrderedJSON

/// A conversion of a checkpoint to another layout: first a plan, which can be printed, then its
/// execution.
public struct Conversion: Sendable {
  /// What is written.
  public enum Target: String, Sendable, CaseIterable {
    /// One flat file with everything.
    case sdflat
    /// One file of safetensors, or of a whole pipeline a repository directory with them.
    case safetensors
  }

  public struct Options: Sendable {
    /// The type that F32, F16 and BF16 tensors get, unless they are buffers such as the noise
    /// schedule; nil keeps each tensor's own.
    public var dtype: DType?
    /// The one component that is converted; nil converts all.
    public var component: ComponentName?
    /// Whether an output that exists may be replaced.
    public var overwrite = false
    /// Whether values beyond the largest F16 become that value instead of an error.
    public var saturate = false

    public init(
      dtype: DType? = nil, component: ComponentName? = nil, overwrite: Bool = false,
      saturate: Bool = false
    ) {
      self.dtype = dtype
      self.component = component
      self.overwrite = overwrite
      self.saturate = saturate
    }

    fileprivate func type(of tensor: Tensor) -> DType {
      Summary.isBuffer(tensor) ? tensor.dtype : Cast.result(of: tensor.dtype, requested: dtype)
    }
  }

  /// One component on its way: its tensors in the order in which they are written.
  public struct Part: Sendable {
    public let component: Component
    /// The file that is written, inside the target where that is a directory.
    public let output: String
    public let tensors: [Step]

    public var byteCount: Int { tensors.reduce(0) { $0 + $1.byteCount } }
  }

  /// One tensor on its way.
  public struct Step: Sendable {
    public let tensor: Tensor
    public let dtype: DType

    public var isCast: Bool { dtype != tensor.dtype }
    /// Bytes in the target.
    public var byteCount: Int { tensor.shape.byteCount(of: dtype) ?? 0 }
  }

  /// How far an execution has come.
  public struct Progress: Sendable {
    public let bytesDone: Int
    public let bytesTotal: Int
    public let component: ComponentName
    public let tensor: String
  }

  public let source: ModelCheckpoint
  public let target: Target
  public let path: String
  public let options: Options
  public let parts: [Part]
  /// Small files that are copied or embedded.
  public let files: [AuxiliaryFile]
  /// What a person should know before starting.
  public let notes: [String]
  /// Whether the target is a repository directory.
  public let isDirectory: Bool

  /// Plans the conversion of `source` to `target` at `path`; nothing is written.
  ///
  /// - Throws: ``FormatError`` `unsupported` for a type that is no target of casts, `mismatch` where
  ///   the component is not there or tensors of a known network are missing.
  public init(
    of source: ModelCheckpoint, to target: Target, at path: String, options: Options = Options()
  ) throws(FormatError) {
    if let dtype = options.dtype, !Cast.types.contains(dtype) {
      throw FormatError(
        .unsupported, "tensors are not cast to \(dtype.rawValue)",
        hint: "choose one of f32, f16 and bf16")
    }
    var components = source.components
    if let name = options.component {
      components = components.filter { $0.name == name }
      guard !components.isEmpty else {
        let names = source.components.map(\.name.rawValue).joined(separator: ", ")
        throw FormatError(
          .mismatch, "the checkpoint has no component \(name)", file: source.path,
          context: name.rawValue, hint: "its components: \(names)")
      }
    }
    for component in components where component.manifest != nil {
      try component.requireComplete()
    }
    let wholePipeline = options.component == nil && source.isPipeline
    isDirectory = target == .safetensors && wholePipeline
    let isDirectory = isDirectory
    parts = Conversion.joined(components, target: target, isDirectory: isDirectory)
      .map { component in
        let tensors = target == .sdflat ? component.executionOrder : component.tensors
        return Part(
          component: component, output: isDirectory ? Conversion.repositoryPath(component) : "",
          tensors: tensors.map { Step(tensor: $0, dtype: options.type(of: $0)) })
      }
    files = source.files.filter { file in
      options.component.map { file.path.hasPrefix("\($0)/") } ?? true
    }
    notes = components.flatMap { Conversion.notes(on: $0, options) }
    self.source = source
    self.target = target
    self.path = path
    self.options = options
  }

  /// Bytes of tensors that are written.
  public var byteCount: Int { parts.reduce(0) { $0 + $1.byteCount } }

  /// The networks of one single-file checkpoint go into one file again, as one part.
  private static func joined(
    _ components: [Component], target: Target, isDirectory: Bool
  ) -> [Component] {
    guard target == .safetensors, !isDirectory, components.count > 1, let first = components.first
    else { return components }
    return [
      Component(
        name: .model, architecture: nil, configuration: nil, path: first.path,
        files: first.files, format: first.format, metadata: first.metadata,
        tensors: components.flatMap(\.tensors))
    ]
  }

  /// Where diffusers and transformers look for a component's weights.
  private static func repositoryPath(_ component: Component) -> String {
    let isTransformers = component.configuration?.isTransformers ?? false
    let name = isTransformers ? "model" : "diffusion_pytorch_model"
    return "\(component.name)/\(name).safetensors"
  }

  private static func notes(on component: Component, _ options: Options) -> [String] {
    var notes: [String] = []
    let kept = component.tensors.filter { tensor in
      options.dtype != nil && tensor.dtype.isFloatingPoint && !Cast.types.contains(tensor.dtype)
    }
    notes += kept.map {
      "\(component.name): \($0.name) stays \($0.dtype.rawValue), a type that is not cast"
    }
    notes += (component.manifest?.unexpected ?? []).map {
      "\(component.name): \($0.name) is kept though it is no tensor of this network"
    }
    return notes
  }
}

extension ModelCheckpoint {
  /// Whether it holds a pipeline in parts, with what a repository directory needs.
  fileprivate var isPipeline: Bool {
    ComponentName.required.allSatisfy { self[$0]?.configuration?.origin == .file }
  }
}

extension Conversion {
  /// The plan as lines of text.
  public var lines: [String] {
    var lines = ["\(source.path) (\(source.layout.name)) -> \(path) (\(target.rawValue))"]
    for part in parts {
      var counts: [String: Int] = [:]
      for step in part.tensors {
        let key =
          step.tensor.dtype.rawValue + (step.isCast ? " -> \(step.dtype.rawValue)" : "")
        counts[key, default: 0] += 1
      }
      let types = counts.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }
      let place = part.output.isEmpty ? "" : " to \(part.output)"
      lines.append(
        "\(part.component.name)\(place): \(part.tensors.count) tensors, \(part.byteCount) bytes ("
          + types.joined(separator: ", ") + ")")
    }
    lines += files.map { "\($0.path): \($0.byteCount) bytes" }
    lines += notes.map { "note: \($0)" }
    return lines
  }

  /// The plan as data.
  public var json: JSON {
    [
      "version": 1,
      "source": .string(source.path),
      "target": .string(path),
      "format": .string(target.rawValue),
      "bytes": .integer(byteCount),
      "components": .array(parts.map(\.json)),
      "files": .array(
        files.map { ["path": .string($0.path), "bytes": .integer($0.byteCount)] }),
      "notes": .array(notes.map { .string($0) }),
    ]
  }
}

extension Conversion.Part {
  fileprivate var json: JSON {
    [
      "name": .string(component.name.rawValue),
      "file": output.isEmpty ? .null : .string(output),
      "bytes": .integer(byteCount),
      "tensors": .array(
        tensors.map { step in
          [
            "name": .string(step.tensor.name), "from": .string(step.tensor.dtype.rawValue),
            "to": .string(step.dtype.rawValue), "bytes": .integer(step.byteCount),
          ]
        }),
    ]
  }
}
