/// What a tensor is, without its values: what a writer is told first.
public struct TensorInfo: Sendable, Hashable {
  public let name: String
  public let dtype: DType
  public let shape: Shape

  public init(name: String, dtype: DType, shape: Shape) {
    self.name = name
    self.dtype = dtype
    self.shape = shape
  }
}

extension Tensor {
  public var info: TensorInfo { TensorInfo(name: name, dtype: dtype, shape: shape) }
}
