import FlatFormat
import ModelFormats

/// Where the values of tensors go, one after the other.
protocol TensorSink: AnyObject {
  func write(_ bytes: UnsafeRawBufferPointer) throws(FormatError)
  /// Takes bytes of a file as they are; `seeing` is called with each piece as it passes.
  func copy(
    _ range: Range<Int>, of file: MappedFile, seeing: (UnsafeRawBufferPointer) -> Void
  ) throws(FormatError)
}

extension FlatWriter: TensorSink {}
extension SafetensorsWriter: TensorSink {}
extension TorchWriter: TensorSink {}
extension GGUFWriter: TensorSink {}
