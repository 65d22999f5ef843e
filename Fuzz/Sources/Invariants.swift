import ModelFormats
import OrderedJSON

/// Stops the program: a crash is how the fuzzer detects an error.
func require(_ condition: Bool, _ message: @autoclosure () -> String) {
  if !condition { fatalError(message()) }
}

/// Limits what is read of one file, so that an input takes milliseconds.
private let valuesLimit = 4 << 20

/// Checks the guarantees of every opened file, and reads what a user would read.
func check(_ file: TensorFile, of source: MappedFile) {
  var left = valuesLimit
  for tensor in file.tensors {
    let name = tensor.name
    guard let elements = tensor.shape.elementCount else {
      fatalError("\(name): no number of elements")
    }
    guard let byteCount = tensor.shape.byteCount(of: tensor.dtype) else {
      fatalError("\(name): no number of bytes")
    }
    require(elements == tensor.elementCount && byteCount == tensor.byteCount, "\(name): counts")
    require(file[name] != nil, "\(name): not found by its name")
    checkPlace(of: tensor, byteCount: byteCount, in: source)
    guard byteCount <= left else { continue }
    left -= byteCount
    tensor.withContiguousBytes { bytes in
      require(bytes.count == byteCount, "\(name): \(bytes.count) bytes instead of \(byteCount)")
      // Reads every byte, so that one outside the file is detected.
      var sum: UInt8 = 0
      for byte in bytes { sum &+= byte }
      consume(sum)
    }
  }
  for warning in file.warnings { require(!warning.isEmpty, "an empty warning") }
}

@inline(never)
private func consume(_ value: UInt8) {}

private func checkPlace(of tensor: Tensor, byteCount: Int, in source: MappedFile) {
  let name = tensor.name
  switch tensor.storage {
  case .mapped(_, let offset):
    require(
      offset >= 0 && offset <= source.count && byteCount <= source.count - offset,
      "\(name): \(byteCount) bytes at \(offset) of \(source.count)")
  case .blocks(_, let offset, _):
    require(
      offset >= 0 && offset <= source.count && tensor.storedByteCount <= source.count - offset,
      "\(name): \(tensor.storedByteCount) bytes at \(offset) of \(source.count)")
  case .scaled(let values, let scales):
    require(
      !scales.isEmpty && values.elementCount.isMultiple(of: scales.count), "\(name): scales")
    checkPlace(of: values, byteCount: values.byteCount, in: source)
  case .memory(let bytes):
    require(bytes.count == byteCount, "\(name): \(bytes.count) bytes in memory")
  case .strided(_, let offset, let strides):
    checkEnd(of: tensor, offset: offset, strides: strides, limit: source.count)
  case .stridedMemory(let bytes, let offset, let strides):
    checkEnd(of: tensor, offset: offset, strides: strides, limit: bytes.count)
  }
}

private func checkEnd(of tensor: Tensor, offset: Int, strides: [Int], limit: Int) {
  require(strides.count == tensor.shape.rank && offset >= 0, "\(tensor.name): strides")
  guard tensor.elementCount > 0 else { return }
  var last = 0
  for (size, stride) in zip(tensor.shape.dimensions, strides) { last += (size - 1) * stride }
  let end = offset + (last + 1) * tensor.dtype.bitWidth / 8
  require(last >= 0 && end <= limit, "\(tensor.name): ends at \(end) of \(limit)")
}

/// Checks the guarantees of every error: it has a message, and its offset is in the file.
func check(_ error: FormatError, in count: Int) {
  require(!error.message.isEmpty, "an error without a message")
  require(error.code != .inputOutput, "\(error)")
  if let offset = error.offset {
    require(offset >= 0 && offset <= count, "an error at \(offset) of \(count): \(error)")
  }
  // Messages may quote names from the file, but nothing longer.
  require(
    error.message.utf8.count <= count + 4096, "a message of \(error.message.utf8.count) bytes")
}

/// Reads an in-memory file with `reader` and checks the result or error.
func run(
  _ bytes: [UInt8], _ reader: (MappedFile) throws(FormatError) -> TensorFile
) {
  let file = MappedFile(contents: bytes, path: "input")
  do throws(FormatError) {
    check(try reader(file), of: file)
  } catch {
    require(error.file != nil, "an error without its file: \(error)")
    // An ONNX model may name a file next to it, which is missing, or is a directory.
    if error.file == "input" { check(error, in: bytes.count) }
  }
}
