import ModelFormats

/// Where the values of tensors go, one after the other.
protocol TensorSink: AnyObject {
  func write(_ bytes: UnsafeRawBufferPointer) throws(FormatError)
  /// Takes bytes of a file as they are, if possible without moving them through memory.
  func copy(_ range: Range<Int>, of file: MappedFile) throws(FormatError)
}

/// A file of tensors that is being written.
protocol TensorFileSink: TensorSink {
  func commit() throws(FormatError)
}

extension SafetensorsWriter: TensorFileSink {}
