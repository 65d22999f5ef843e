/// A named tensor in an open file: its description and the location of its values.
///
/// A tensor is a view; its values are read from the mapped file on demand.
public struct Tensor: Sendable {
  /// The location of the values.
  public enum Storage: Sendable {
    /// Contiguous little-endian values at a byte offset of a file.
    case mapped(MappedFile, offset: Int)
    /// Values at `offset` plus the sum of index times stride; strides count elements. The reader
    /// has checked that every element is inside its storage.
    case strided(MappedFile, offset: Int, strides: [Int])
    /// Contiguous little-endian values in memory.
    case memory([UInt8])
    /// Like `strided`, in a block of memory that several tensors may share.
    case stridedMemory([UInt8], offset: Int, strides: [Int])
    /// Quantized blocks at a byte offset of a file, over the values in row-major order; read as F32.
    case blocks(MappedFile, offset: Int, BlockEncoding)
    /// Values of an 8-bit floating-point type or F64, read as F32 times a scale: one for all, or
    /// one for each of equal runs of elements.
    indirect case scaled(Tensor, scales: [Float])
  }

  /// Its name in the file.
  public let name: String
  /// The type of its elements.
  public let dtype: DType
  /// The size of each axis.
  public let shape: Shape
  /// The location and form of the values.
  public let storage: Storage
  /// The shape in the file's tensor list, if another field gives the real shape.
  public let storedShape: Shape?

  public init(
    name: String, dtype: DType, shape: Shape, storage: Storage, storedShape: Shape? = nil
  ) {
    self.name = name
    self.dtype = dtype
    self.shape = shape
    self.storage = storage
    self.storedShape = storedShape
  }

  /// The number of elements; readers reject shapes whose count overflows.
  public var elementCount: Int { shape.elementCount ?? 0 }

  /// The bytes of the contiguous values.
  public var byteCount: Int { shape.byteCount(of: dtype) ?? 0 }

  /// The type in the file: the dtype, or the type of quantized blocks or 8-bit values that are read
  /// as F32.
  public var encoding: String {
    switch storage {
    case .blocks(_, _, let encoding): encoding.rawValue
    case .scaled(let values, _): values.encoding
    default: dtype.rawValue
    }
  }

  /// The size of the values in the file; differs from ``byteCount`` for quantized blocks and 8-bit
  /// values that are read as F32.
  public var storedByteCount: Int {
    switch storage {
    case .blocks(_, _, let encoding): elementCount / encoding.blockSize * encoding.blockByteCount
    case .scaled(let values, _): values.storedByteCount
    default: byteCount
    }
  }

  /// The file that contains the values, if any.
  public var file: MappedFile? {
    switch storage {
    case .mapped(let file, _), .strided(let file, _, _), .blocks(let file, _, _): file
    case .scaled(let values, _): values.file
    case .memory, .stridedMemory: nil
    }
  }

  /// The byte offset of the first element in the file, if the values are in a file.
  public var offset: Int? {
    switch storage {
    case .mapped(_, let offset), .strided(_, let offset, _), .blocks(_, let offset, _): offset
    case .scaled(let values, _): values.offset
    case .memory, .stridedMemory: nil
    }
  }

  /// A copy with another name.
  public func renamed(_ name: String) -> Tensor {
    Tensor(name: name, dtype: dtype, shape: shape, storage: storage, storedShape: storedShape)
  }

  /// A view of the contiguous values with another shape and the same number of elements.
  public func reshaped(_ shape: Shape) -> Tensor {
    precondition(shape.elementCount == self.shape.elementCount, "element counts differ")
    switch storage {
    case .mapped, .memory, .blocks:
      return Tensor(name: name, dtype: dtype, shape: shape, storage: storage)
    case .strided, .stridedMemory:
      return Tensor(name: name, dtype: dtype, shape: shape, storage: .memory(contiguousBytes()))
    case .scaled(let values, let scales):
      return Tensor(
        name: name, dtype: dtype, shape: shape,
        storage: .scaled(values.reshaped(shape), scales: scales))
    }
  }

  /// Calls `body` with the contiguous little-endian values: in place (at any alignment) if the file
  /// has them in this form, otherwise in a temporary copy.
  public func withContiguousBytes<R, E: Error>(
    _ body: (UnsafeRawBufferPointer) throws(E) -> R
  ) throws(E) -> R {
    switch storage {
    case .mapped(let file, let offset):
      return try unsafe file.withBytes(in: offset..<(offset + byteCount), body)
    case .memory(let bytes):
      return try unsafe bytes.withUnsafeBytesTyped(body)
    case .strided, .stridedMemory, .blocks, .scaled:
      let copy = contiguousBytes()
      return try unsafe copy.withUnsafeBytesTyped(body)
    }
  }

  /// A copy of the contiguous little-endian values.
  public func contiguousBytes() -> [UInt8] {
    switch storage {
    case .memory(let bytes):
      return bytes
    case .mapped(let file, let offset):
      return unsafe file.withBytes(in: offset..<(offset + byteCount)) { unsafe [UInt8]($0) }
    case .strided(let file, let offset, let strides):
      return unsafe file.withBytes(in: 0..<file.count) {
        unsafe gathered(from: $0, offset: offset, strides: strides)
      }
    case .stridedMemory(let bytes, let offset, let strides):
      return unsafe bytes.withUnsafeBytes {
        unsafe gathered(from: $0, offset: offset, strides: strides)
      }
    case .blocks, .scaled:
      var bytes: [UInt8] = []
      bytes.reserveCapacity(byteCount)
      unsafe withContiguousPieces { unsafe bytes.append(contentsOf: $0) }
      return bytes
    }
  }

  /// Calls `body` with the contiguous little-endian values in pieces of whole elements: in place if
  /// a file or memory has them in this form, decoded piece by piece from quantized blocks and 8-bit
  /// values.
  ///
  /// - Parameter limit: the maximum bytes of a piece; at least 1024.
  public func withContiguousPieces<E: Error>(
    limit: Int = 1 << 20, _ body: (UnsafeRawBufferPointer) throws(E) -> Void
  ) throws(E) {
    if case .scaled(let values, let scales) = storage {
      let decoder = ScaledDecoder(values, scales)
      var first = 0
      return try unsafe values.withContiguousPieces(limit: max(1024, limit) / 4) {
        (bytes) throws(E) in
        let numbers = unsafe decoder.numbers(of: bytes, first: first)
        first += numbers.count
        try unsafe numbers.withUnsafeBytesTyped(body)
      }
    }
    guard case .blocks(let file, let offset, let encoding) = storage else {
      let width = max(1, dtype.bitWidth / 8)
      let piece = max(1024, limit) / width * width
      return try unsafe withContiguousBytes { (bytes) throws(E) in
        for start in stride(from: 0, to: bytes.count, by: piece) {
          try unsafe body(
            UnsafeRawBufferPointer(rebasing: bytes[start..<min(start + piece, bytes.count)]))
        }
      }
    }
    let blockCount = storedByteCount / encoding.blockByteCount
    guard blockCount > 0 else { return }
    let step = min(blockCount, max(1024, limit) / 4 / encoding.blockSize)
    var values = [Float](repeating: 0, count: step * encoding.blockSize)
    for first in stride(from: 0, to: blockCount, by: step) {
      let count = min(step, blockCount - first)
      let begin = offset + first * encoding.blockByteCount
      unsafe file.withBytes(in: begin..<(begin + count * encoding.blockByteCount)) { blocks in
        unsafe values.withUnsafeMutableBufferPointer {
          unsafe encoding.decode(blocks, into: $0)
        }
      }
      let result = unsafe values.withUnsafeBytes { (bytes) -> Result<Void, E> in
        let used = unsafe UnsafeRawBufferPointer(
          rebasing: bytes[..<(count * encoding.blockSize * 4)])
        do throws(E) { return .success(try unsafe body(used)) } catch { return .failure(error) }
      }
      try result.get()
    }
  }

  /// Calls `body` with the stored bytes of the values: quantized blocks, or the contiguous values.
  public func withStoredBytes<R, E: Error>(
    _ body: (UnsafeRawBufferPointer) throws(E) -> R
  ) throws(E) -> R {
    if case .scaled(let values, _) = storage { return try unsafe values.withStoredBytes(body) }
    guard case .blocks(let file, let offset, _) = storage else {
      return try unsafe withContiguousBytes(body)
    }
    return try unsafe file.withBytes(in: offset..<(offset + storedByteCount), body)
  }
}

extension Array where Element: BitwiseCopyable {
  /// `withUnsafeBytes` with a typed error.
  package func withUnsafeBytesTyped<R, E: Error>(
    _ body: (UnsafeRawBufferPointer) throws(E) -> R
  ) throws(E) -> R {
    let result = unsafe withUnsafeBytes { (bytes: UnsafeRawBufferPointer) -> Result<R, E> in
      do throws(E) { return .success(try unsafe body(bytes)) } catch { return .failure(error) }
    }
    return try result.get()
  }
}

extension Tensor {
  /// An F32 tensor in memory.
  ///
  /// - Parameter values: as many as the shape has elements, the last dimension fastest.
  package init(name: String, shape: Shape, values: some Collection<Float>) {
    precondition(values.count == shape.elementCount, "as many values as the shape says")
    var bytes: [UInt8] = []
    bytes.reserveCapacity(4 * values.count)
    for value in values {
      let bits = value.bitPattern
      for shift in stride(from: 0, to: 32, by: 8) {
        bytes.append(UInt8(truncatingIfNeeded: bits >> shift))
      }
    }
    self.init(name: name, dtype: .float32, shape: shape, storage: .memory(bytes))
  }
}
