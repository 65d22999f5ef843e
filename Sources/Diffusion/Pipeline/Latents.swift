import ModelFormats

/// Latents of one or more pictures, `[batch, channels, height, width]`.
public struct Latents: Sendable, Hashable {
  public let shape: [Int]
  public let values: [Float]

  /// The tensor's name in a file.
  public static let tensorName = "latents"

  public init(_ values: [Float], shape: [Int]) {
    precondition(shape.count == 4 && values.count == shape.reduce(1, *), "as the shape says")
    self.values = values
    self.shape = shape
  }

  public var batch: Int { shape[0] }
  public var channels: Int { shape[1] }
  public var height: Int { shape[2] }
  public var width: Int { shape[3] }

  /// Reads the tensor `latents`, F32 of rank 4, from a safetensors or PyTorch file.
  ///
  /// - Throws: ``FormatError`` `mismatch` where there is no such tensor or a value is not finite;
  ///   as ``ModelFormats/TensorFile/open(_:)`` where the file is not sound.
  public init(path: String) throws(FormatError) {
    let file = try TensorFile.open(path)
    guard let tensor = file[Self.tensorName] else {
      throw FormatError(
        .mismatch, "the file holds no tensor called \(Self.tensorName)", file: path,
        hint: "give a file that was written with --save-latents")
    }
    guard tensor.dtype == .float32, tensor.shape.rank == 4, tensor.elementCount > 0 else {
      throw FormatError(
        .mismatch,
        "the latents are \(tensor.dtype.rawValue) \(tensor.shape), not F32 [batch, channels, height, width]",
        file: path, context: Self.tensorName)
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
        .mismatch, "the latents hold values that are not finite", file: path,
        context: Self.tensorName)
    }
    self.init(values, shape: tensor.shape.dimensions)
  }

  /// Writes the tensor `latents` to a new safetensors file.
  ///
  /// - Throws: ``FormatError`` as ``ModelFormats/SafetensorsWriter``.
  public func write(to path: String, overwrite: Bool = false) throws(FormatError) {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(values.count * 4)
    for value in values {
      let bits = value.bitPattern
      for shift in stride(from: 0, to: 32, by: 8) {
        bytes.append(UInt8(truncatingIfNeeded: bits >> shift))
      }
    }
    let tensor = Tensor(
      name: Self.tensorName, dtype: .float32, shape: Shape(shape), storage: .memory(bytes))
    try Safetensors.write([tensor], to: path, overwrite: overwrite)
  }
}
