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
  /// otherwise the only tensor; F32 `[batch, channels, height, width]`.
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
    guard tensor.dtype == .float32, tensor.shape.rank == 4, tensor.elementCount > 0 else {
      throw FormatError(
        .mismatch,
        "the tensor is \(tensor.dtype.rawValue) \(tensor.shape), not F32 [batch, channels, height,"
          + " width]", file: path, context: tensor.name)
    }
    let values = tensor.withContiguousBytes { bytes in
      (0..<tensor.elementCount).map {
        Float(
          bitPattern: UInt32(
            littleEndian: bytes.loadUnaligned(fromByteOffset: $0 * 4, as: UInt32.self)))
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
    let tensors = [
      tensor(Name.noise, of: pictures.map(\.noise)),
      tensor(Name.latents, of: pictures.map(\.latents)),
    ]
    let writer = try SafetensorsWriter(
      path: path, tensors: tensors.map(\.info), overwrite: overwrite)
    for tensor in tensors {
      try tensor.withContiguousBytes { (bytes) throws(FormatError) in try writer.write(bytes) }
    }
    return try writer.completed()
  }

  private static func tensor(_ name: String, of pictures: [Latents]) -> Tensor {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(4 * pictures.reduce(0) { $0 + $1.values.count })
    for value in pictures.lazy.flatMap(\.values) {
      let bits = value.bitPattern
      for shift in stride(from: 0, to: 32, by: 8) {
        bytes.append(UInt8(truncatingIfNeeded: bits >> shift))
      }
    }
    let shape = [pictures.count] + (pictures.first?.shape.dropFirst() ?? [])
    return Tensor(
      name: name, dtype: .float32, shape: Shape(shape), storage: .memory(bytes))
  }
}
