import ModelFormats

/// Where the values of tensors go, one after the other.
protocol TensorSink: AnyObject {
  func write(_ bytes: UnsafeRawBufferPointer) throws(FormatError)
  /// Takes bytes of a file as they are, if possible without moving them through memory.
  func copy(_ range: Range<Int>, of file: MappedFile) throws(FormatError)
}

extension TensorSink {
  /// Through memory, for formats that have to see every byte.
  func copy(_ range: Range<Int>, of file: MappedFile) throws(FormatError) {
    try file.withBytes(in: range) { (bytes) throws(FormatError) in try write(bytes) }
  }
}

extension SafetensorsWriter: TensorSink {}
extension TorchWriter: TensorSink {}
extension GGUFWriter: TensorSink {}
