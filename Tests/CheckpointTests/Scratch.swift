import Foundation
import ModelFormats
import OrderedJSON
import TestSupport

/// A directory for the files of one test, removed with it.
final class Scratch {
  let path: String

  init() throws {
    path = FileManager.default.temporaryDirectory.path + "/sdloom-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit {
    try? FileManager.default.removeItem(atPath: path)
  }

  func path(_ name: String) -> String { "\(path)/\(name)" }

  /// The names of all files, including hidden ones.
  var names: [String] {
    get throws { try FileManager.default.contentsOfDirectory(atPath: path).sorted() }
  }

  @discardableResult
  func write(_ bytes: [UInt8], as name: String) throws -> String {
    let path = path(name)
    try FileManager.default.createDirectory(
      atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
    try? FileManager.default.removeItem(atPath: path)
    try Data(bytes).write(to: URL(filePath: path))
    return path
  }

  @discardableResult
  func write(_ text: String, as name: String) throws -> String {
    try write(Array(text.utf8), as: name)
  }

  func contents(_ name: String) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: URL(filePath: path(name))))
  }

  func remove(_ name: String) throws {
    try FileManager.default.removeItem(atPath: path(name))
  }

  /// A repository called `model` whose files are links to those of the bundled model.
  func linkedRepository() throws -> String {
    let source = Fixtures.path("shapes-v2")
    let files = FileManager.default
    for name in ["text_encoder", "unet", "vae", "tokenizer", "scheduler"] {
      try files.createDirectory(atPath: path("model/\(name)"), withIntermediateDirectories: true)
      for file in try files.contentsOfDirectory(atPath: "\(source)/\(name)") {
        try files.createSymbolicLink(
          atPath: path("model/\(name)/\(file)"), withDestinationPath: "\(source)/\(name)/\(file)")
      }
    }
    try files.createSymbolicLink(
      atPath: path("model/model_index.json"), withDestinationPath: "\(source)/model_index.json")
    return path("model")
  }

  /// A linked repository whose VAE contains other tensors.
  ///
  /// - Parameter replacing: whether the repository is there already.
  func repository(vae change: ([Tensor]) -> [Tensor], replacing: Bool = false) throws -> String {
    let model = replacing ? path("model") : try linkedRepository()
    let weights = "model/vae/diffusion_pytorch_model.safetensors"
    let file = try TensorFile.open(path(weights))
    let tensors = change(file.tensors)
    try remove(weights)
    try Safetensors.write(tensors, to: path(weights))
    return model
  }
}

/// The error that `body` throws; nil if it returns.
func failure(_ body: () throws -> Void) throws -> FormatError? {
  do {
    try body()
    return nil
  } catch let error as FormatError {
    return error
  }
}

extension Tensor {
  /// A tensor of zeros.
  static func zeros(_ name: String, _ dtype: DType, _ shape: Shape) -> Tensor {
    let count = shape.byteCount(of: dtype) ?? 0
    return Tensor(
      name: name, dtype: dtype, shape: shape,
      storage: .memory([UInt8](repeating: 0, count: count)))
  }

  /// A tensor of single-precision values.
  static func floats(_ name: String, _ values: [Float], shape: Shape? = nil) -> Tensor {
    Tensor(
      name: name, dtype: .float32, shape: shape ?? [values.count],
      storage: .memory(
        values.flatMap { value in
          withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) }
        }))
  }
}

/// Little-endian bytes of integers.
func bytes<T: FixedWidthInteger>(_ values: [T]) -> [UInt8] {
  values.flatMap { value in withUnsafeBytes(of: value.littleEndian) { Array($0) } }
}
