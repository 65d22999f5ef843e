/// The description of a tensor without values, which writers need first.
public struct TensorInfo: Sendable, Hashable {
  /// Its name in the file.
  public let name: String
  /// The type of its elements.
  public let dtype: DType
  /// The size of each axis.
  public let shape: Shape

  public init(name: String, dtype: DType, shape: Shape) {
    self.name = name
    self.dtype = dtype
    self.shape = shape
  }
}

extension Tensor {
  /// Name, type and shape without the values.
  public var info: TensorInfo { TensorInfo(name: name, dtype: dtype, shape: shape) }
}
