import Checkpoint
import ModelFormats

extension Latents {
  /// The tensors of a file of latents.
  private enum Name {
    /// The initial noise, with standard deviation 1.
    static let noise = "noise"
    /// The final latents.
    static let latents = "latents"
  }

  /// Reads initial noise: the tensor `noise` of a safetensors or PyTorch file, otherwise `latents`,
  /// otherwise the only tensor; `[batch, channels, height, width]` in a floating-point dtype.
  ///
  /// - Throws:
  ///   ``FormatError`` `mismatch` if there is no such tensor or a value is not finite; as ``ModelFormats/TensorFile/open(_:)``
  ///   for an invalid file.
  public init(noiseAt path: String) throws(FormatError) {
    let file = try TensorFile.open(path)
    let only = file.tensors.count == 1 ? file.tensors.first : nil
    guard let tensor = file[Name.noise] ?? file[Name.latents] ?? only else {
      throw FormatError(
        .mismatch, "no tensor named \(Name.noise) or \(Name.latents)", file: path,
        hint: "use a file that was written with \(set: .latents)")
    }
    try self.init(tensor, path: path)
  }

  /// - Throws: ``FormatError`` `mismatch` for another shape or dtype, or a value that is not finite.
  init(_ tensor: Tensor, path: String) throws(FormatError) {
    guard tensor.dtype.isFloatingPoint, tensor.shape.rank == 4, tensor.elementCount > 0 else {
      throw FormatError(
        .mismatch,
        "the tensor is \(tensor.dtype.rawValue) \(tensor.shape), not floating-point [batch, channels,"
          + " height, width]", file: path, context: tensor.name)
    }
    var values: [Float] = []
    values.reserveCapacity(tensor.elementCount)
    try tensor.withPieces(as: .float32) { (bytes) throws(FormatError) in
      for offset in stride(from: 0, to: bytes.count, by: 4) {
        values.append(bytes.loadUnaligned(fromByteOffset: offset, as: Float.self))
      }
    }
    guard values.allSatisfy(\.isFinite) else {
      throw FormatError(
        .mismatch, "the tensor contains NaN or infinite values", file: path, context: tensor.name)
    }
    self.init(values, shape: tensor.shape.dimensions)
  }

  /// Writes the noise and the final latents of images of one size to a new safetensors file, as
  /// `noise` and `latents`, each F32 `[pictures, channels, height, width]`.
  ///
  /// - Throws: ``FormatError`` as ``ModelFormats/SafetensorsWriter``.
  public static func write(
    _ pictures: [(noise: Latents, latents: Latents)], to path: String, overwrite: Bool = false
  ) throws(FormatError) {
    try writer(pictures, to: path, overwrite: overwrite).commit()
  }

  /// A writer with the complete file, not yet at its path.
  ///
  /// - Throws: as ``write(_:to:overwrite:)``.
  package static func writer(
    _ pictures: [(noise: Latents, latents: Latents)], to path: String, overwrite: Bool = false
  ) throws(FormatError) -> FileWriter {
    try Safetensors.writer(
      [
        tensor(Name.noise, of: pictures.map(\.noise)),
        tensor(Name.latents, of: pictures.map(\.latents)),
      ], to: path, overwrite: overwrite)
  }

  /// A writer with a complete file of the latents of pictures of one size, in the UNet's scale: the
  /// tensor `latents`, F32 `[pictures, channels, height, width]`. It is not yet at its path.
  ///
  /// - Throws: as ``write(_:to:overwrite:)``.
  package static func writer(
    latents pictures: [Latents], to path: String, overwrite: Bool = false
  ) throws(FormatError) -> FileWriter {
    try Safetensors.writer([tensor(Name.latents, of: pictures)], to: path, overwrite: overwrite)
  }

  private static func tensor(_ name: String, of pictures: [Latents]) -> Tensor {
    Tensor(
      name: name,
      shape: Shape([pictures.count] + (pictures.first?.shape.dropFirst() ?? [])),
      values: pictures.flatMap(\.values))
  }
}
