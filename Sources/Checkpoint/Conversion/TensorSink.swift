import FlatFormat
import ModelFormats

/// A destination for tensor values, in order.
protocol TensorSink: AnyObject {
  func write(_ bytes: UnsafeRawBufferPointer) throws(FormatError)
  /// Copies bytes of a file unchanged; `seeing` is called with each piece.
  func copy(
    _ range: Range<Int>, of file: MappedFile, seeing: (UnsafeRawBufferPointer) -> Void
  ) throws(FormatError)
}

extension FlatWriter: TensorSink {}
extension SafetensorsWriter: TensorSink {}
extension TorchWriter: TensorSink {}
extension GGUFWriter: TensorSink {}
