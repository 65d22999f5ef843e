extension Tensor {
  /// Calls `body` with the contiguous little-endian values of a range of elements, in row-major
  /// order: read into `buffer`, or in place if they are already in memory.
  ///
  /// - Parameter range: elements inside the tensor; for packed types a whole number of bytes.
  /// - Throws: ``FormatError`` if reading fails.
  package func withElements<R>(
    _ range: Range<Int>, _ buffer: BlockBuffer,
    _ body: (UnsafeRawBufferPointer) throws(FormatError) -> R
  ) throws(FormatError) -> R {
    precondition(range.lowerBound >= 0 && range.upperBound <= elementCount, "no such elements")
    let start = range.lowerBound * dtype.bitWidth / 8
    let end = range.upperBound * dtype.bitWidth / 8
    switch storage {
    case .mapped(let file, let offset):
      let target = unsafe buffer.bytes(end - start)
      try unsafe file.read(into: target, at: offset + start)
      return try unsafe body(UnsafeRawBufferPointer(target))
    case .strided(let file, let offset, let strides):
      let target = unsafe buffer.bytes(end - start)
      unsafe file.withBytes(in: 0..<file.count) {
        unsafe gather(range, from: $0, offset: offset, strides: strides, into: target)
      }
      return try unsafe body(UnsafeRawBufferPointer(target))
    case .stridedMemory(let bytes, let offset, let strides):
      let target = unsafe buffer.bytes(end - start)
      unsafe bytes.withUnsafeBytes {
        unsafe gather(range, from: $0, offset: offset, strides: strides, into: target)
      }
      return try unsafe body(UnsafeRawBufferPointer(target))
    case .blocks(let file, let offset, let encoding):
      // Whole blocks that contain the range.
      let first = range.lowerBound / encoding.blockSize
      let last = (range.upperBound + encoding.blockSize - 1) / encoding.blockSize
      let from = (range.lowerBound - first * encoding.blockSize) * 4
      let target = unsafe buffer.bytes((last - first) * encoding.blockSize * 4)
      let stored =
        (offset + first * encoding.blockByteCount)..<(offset + last * encoding.blockByteCount)
      unsafe file.withBytes(in: stored) { blocks in
        unsafe encoding.decode(blocks, into: target.assumingMemoryBound(to: Float.self))
      }
      return try unsafe body(
        UnsafeRawBufferPointer(rebasing: target[from..<(from + end - start)]))
    case .scaled(let values, let scales):
      let decoder = ScaledDecoder(values, scales)
      return try unsafe values.withElements(range, buffer) { (bytes) throws(FormatError) in
        let numbers = unsafe decoder.numbers(of: bytes, first: range.lowerBound)
        return try unsafe numbers.withUnsafeBytesTyped(body)
      }
    case .memory(let bytes):
      return try unsafe bytes.withUnsafeBytesTyped { (bytes) throws(FormatError) in
        try unsafe body(UnsafeRawBufferPointer(rebasing: bytes[start..<end]))
      }
    }
  }

  /// All elements in their contiguous order.
  func gathered(from source: UnsafeRawBufferPointer, offset: Int, strides: [Int]) -> [UInt8] {
    unsafe [UInt8](unsafeUninitializedCapacity: byteCount) { output, initialized in
      let target = unsafe UnsafeMutableRawBufferPointer(
        rebasing: UnsafeMutableRawBufferPointer(output)[..<byteCount])
      unsafe gather(
        0..<elementCount, from: source, offset: offset, strides: strides, into: target)
      initialized = byteCount
    }
  }

  /// Copies elements in contiguous order, one run of adjacent elements at a time.
  private func gather(
    _ range: Range<Int>, from source: UnsafeRawBufferPointer, offset: Int, strides: [Int],
    into target: UnsafeMutableRawBufferPointer
  ) {
    guard !range.isEmpty else { return }
    let width = dtype.bitWidth / 8
    // The innermost contiguous axes form one run.
    var axis = shape.rank
    var run = 1
    while axis > 0, strides[axis - 1] == run || shape[axis - 1] == 1 {
      axis -= 1
      run *= shape[axis]
    }
    // The position of the first element in its run, and the run's index on each axis.
    var inRun = range.lowerBound % run
    var rest = range.lowerBound / run
    var index = [Int](repeating: 0, count: axis)
    var position = offset
    for outer in stride(from: axis - 1, through: 0, by: -1) {
      index[outer] = rest % shape[outer]
      rest /= shape[outer]
      position += index[outer] * strides[outer] * width
    }
    var written = 0
    while written < target.count {
      let count = min((run - inRun) * width, target.count - written)
      let from = position + inRun * width
      unsafe UnsafeMutableRawBufferPointer(rebasing: target[written..<(written + count)])
        .copyMemory(from: UnsafeRawBufferPointer(rebasing: source[from..<(from + count)]))
      written += count
      inRun = 0
      for outer in stride(from: axis - 1, through: 0, by: -1) {
        index[outer] += 1
        position += strides[outer] * width
        if index[outer] < shape[outer] { break }
        position -= strides[outer] * width * shape[outer]
        index[outer] = 0
      }
    }
  }
}
