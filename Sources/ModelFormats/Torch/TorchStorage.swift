/// A reference to a storage, as a pickle's persistent identifier makes it.
struct TorchStorageReference: Hashable {
  let key: String
  /// The type of its elements; nil for an untyped storage, which is counted in bytes.
  let dtype: DType?
  /// The bytes of the whole storage.
  let byteCount: Int
  /// The device that it was saved from: `cpu`, `cuda:0`, `meta`…
  let location: String
  /// Where a view of the storage begins in it, and its size, both in bytes.
  let view: Range<Int>?
}

/// The bytes of a storage.
enum TorchStorage {
  case mapped(MappedFile, offset: Int, byteCount: Int)
  case memory([UInt8])

  var byteCount: Int {
    switch self {
    case .mapped(_, _, let byteCount): byteCount
    case .memory(let bytes): bytes.count
    }
  }
}

/// Where storages of a checkpoint come from.
protocol TorchStorageSource {
  /// The size of the file, which bounds what its tensors may hold together.
  var byteCount: Int { get }

  /// The storages that hold bytes: the key of each, and its name in a message.
  var storages: [(key: String, name: String, byteCount: Int)] { get }

  /// The tensor that a persistent identifier stands for; nil where it stands for a storage.
  func tensor(_ identifier: PickleValue) throws(FormatError) -> TorchTensor?

  /// The bytes of a whole storage, little-endian where its numbers take `swapWidth` bytes.
  ///
  /// - Throws: ``FormatError`` without a file.
  mutating func storage(
    _ reference: TorchStorageReference, swapWidth: Int
  ) throws(FormatError) -> TorchStorage
}

extension TorchStorageSource {
  func tensor(_ identifier: PickleValue) throws(FormatError) -> TorchTensor? { nil }
}

extension DType {
  /// The type of `torch.FloatStorage` and its kind; nil for those of quantized tensors and for
  /// names that are no storage's.
  init?(torchStorage name: String) {
    switch name {
    case "DoubleStorage": self = .float64
    case "FloatStorage": self = .float32
    case "HalfStorage": self = .float16
    case "BFloat16Storage": self = .bfloat16
    case "LongStorage": self = .int64
    case "IntStorage": self = .int32
    case "ShortStorage": self = .int16
    case "CharStorage": self = .int8
    case "ByteStorage": self = .uint8
    case "BoolStorage": self = .bool
    case "ComplexFloatStorage": self = .complex64
    case "ComplexDoubleStorage": self = .complex128
    default: return nil
    }
  }

  /// The type that `torch` names so; nil for types that are not read.
  init?(torchName name: String) {
    switch name {
    case "float64", "double": self = .float64
    case "float32", "float": self = .float32
    case "float16", "half": self = .float16
    case "bfloat16": self = .bfloat16
    case "int64", "long": self = .int64
    case "int32", "int": self = .int32
    case "int16", "short": self = .int16
    case "int8": self = .int8
    case "uint64": self = .uint64
    case "uint32": self = .uint32
    case "uint16": self = .uint16
    case "uint8": self = .uint8
    case "bool": self = .bool
    case "complex32", "chalf": self = .complex32
    case "complex64", "cfloat": self = .complex64
    case "complex128", "cdouble": self = .complex128
    case "float8_e4m3fn": self = .float8E4M3
    case "float8_e5m2": self = .float8E5M2
    case "float8_e4m3fnuz": self = .float8E4M3FNUZ
    case "float8_e5m2fnuz": self = .float8E5M2FNUZ
    case "float8_e8m0fnu": self = .float8E8M0
    default: return nil
    }
  }
}

extension DType {
  /// The class of `torch` that holds such elements; nil for types younger than these classes.
  var torchStorage: String? {
    switch self {
    case .float64: "DoubleStorage"
    case .float32: "FloatStorage"
    case .float16: "HalfStorage"
    case .bfloat16: "BFloat16Storage"
    case .int64: "LongStorage"
    case .int32: "IntStorage"
    case .int16: "ShortStorage"
    case .int8: "CharStorage"
    case .uint8: "ByteStorage"
    case .bool: "BoolStorage"
    case .complex64: "ComplexFloatStorage"
    case .complex128: "ComplexDoubleStorage"
    default: nil
    }
  }

  /// The name in `torch` of a type younger than typed storages.
  var torchName: String? {
    switch self {
    case .uint16: "uint16"
    case .uint32: "uint32"
    case .uint64: "uint64"
    case .complex32: "complex32"
    case .float8E4M3: "float8_e4m3fn"
    case .float8E5M2: "float8_e5m2"
    case .float8E4M3FNUZ: "float8_e4m3fnuz"
    case .float8E5M2FNUZ: "float8_e5m2fnuz"
    case .float8E8M0: "float8_e8m0fnu"
    default: nil
    }
  }
}
