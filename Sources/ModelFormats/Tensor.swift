/// A named tensor in an opened file: what it is, and where its values lie.
///
/// A tensor is a view; its values are read from the mapped file when they are asked for.
public struct Tensor: Sendable {
  /// Where the values lie.
  public enum Storage: Sendable {
    /// Contiguous little-endian values at a byte offset of a file.
    case mapped(MappedFile, offset: Int)
    /// Values at `offset` plus the sum of index times stride, strides counted in elements.
    /// The reader has checked that every element lies inside its storage.
    case strided(MappedFile, offset: Int, strides: [Int])
    /// Contiguous little-endian values in memory.
    case memory([UInt8])
  }

  public let name: String
  public let dtype: DType
  public let shape: Shape
  public let storage: Storage

  public init(name: String, dtype: DType, shape: Shape, storage: Storage) {
    self.name = name
    self.dtype = dtype
    self.shape = shape
    self.storage = storage
  }

  /// The number of elements; readers refuse shapes for which there is none.
  public var elementCount: Int { shape.elementCount ?? 0 }

  /// The bytes of the contiguous values.
  public var byteCount: Int { shape.byteCount(of: dtype) ?? 0 }

  /// The file that holds the values, if one does.
  public var file: MappedFile? {
    switch storage {
    case .mapped(let file, _), .strided(let file, _, _): file
    case .memory: nil
    }
  }

  /// The byte offset in the file of the first element, if a file holds the values.
  public var offset: Int? {
    switch storage {
    case .mapped(_, let offset), .strided(_, let offset, _): offset
    case .memory: nil
    }
  }

  /// The same values under another name.
  public func renamed(_ name: String) -> Tensor {
    Tensor(name: name, dtype: dtype, shape: shape, storage: storage)
  }

  /// The same contiguous values under another shape of as many elements.
  public func reshaped(_ shape: Shape) -> Tensor {
    precondition(shape.elementCount == self.shape.elementCount, "element counts differ")
    if case .strided = storage {
      return Tensor(name: name, dtype: dtype, shape: shape, storage: .memory(contiguousBytes()))
    }
    return Tensor(name: name, dtype: dtype, shape: shape, storage: storage)
  }

  /// Calls `body` with the contiguous little-endian values: in place where the file holds them
  /// so (at any alignment), gathered into a temporary copy where it does not.
  public func withContiguousBytes<R, E: Error>(
    _ body: (UnsafeRawBufferPointer) throws(E) -> R
  ) throws(E) -> R {
    switch storage {
    case .mapped(let file, let offset):
      return try unsafe file.withBytes(in: offset..<(offset + byteCount), body)
    case .strided, .memory:
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
      return unsafe file.withBytes(in: offset..<(offset + byteCount)) { unsafe Array($0) }
    case .strided(let file, let offset, let strides):
      return gather(file, offset: offset, strides: strides)
    }
  }

  private func gather(_ file: MappedFile, offset: Int, strides: [Int]) -> [UInt8] {
    let width = dtype.bitWidth / 8
    let count = elementCount
    return unsafe [UInt8](unsafeUninitializedCapacity: count * width) { output, initialized in
      unsafe file.withBytes(in: 0..<file.count) { (source: UnsafeRawBufferPointer) in
        var index = [Int](repeating: 0, count: shape.rank)
        var position = offset
        for element in 0..<count {
          for byte in 0..<width {
            unsafe (output.baseAddress! + element * width + byte).initialize(
              to: source[position + byte])
          }
          var axis = shape.rank - 1
          while axis >= 0 {
            index[axis] += 1
            position += strides[axis] * width
            if index[axis] < shape[axis] { break }
            position -= strides[axis] * width * index[axis]
            index[axis] = 0
            axis -= 1
          }
        }
      }
      initialized = count * width
    }
  }
}

extension [UInt8] {
  /// `withUnsafeBytes` with a typed error.
  fileprivate func withUnsafeBytesTyped<R, E: Error>(
    _ body: (UnsafeRawBufferPointer) throws(E) -> R
  ) throws(E) -> R {
    let result = unsafe withUnsafeBytes { (bytes: UnsafeRawBufferPointer) -> Result<R, E> in
      do throws(E) { return .success(try unsafe body(bytes)) } catch { return .failure(error) }
    }
    return try result.get()
  }
}
