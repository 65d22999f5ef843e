/// A reference to a storage by a pickle's persistent ID.
struct TorchStorageReference: Hashable {
  let key: String
  /// The element type; nil for an untyped storage, whose size is in bytes.
  let dtype: DType?
  /// The size of the storage in bytes.
  let byteCount: Int
  /// The device it was saved from: `cpu`, `cuda:0`, `meta`…
  let location: String
  /// The byte range of a view in the storage.
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

/// A source of a checkpoint's storages.
protocol TorchStorageSource {
  /// The size of the file, which limits the total size of its tensors.
  var byteCount: Int { get }

  /// Nonempty storages: the key of each, and its name in messages.
  var storages: [(key: String, name: String, byteCount: Int)] { get }

  /// The tensor of a persistent ID; nil if it refers to a storage.
  func tensor(_ identifier: PickleValue) throws(FormatError) -> TorchTensor?

  /// The bytes of a storage, little-endian for numbers of `swapWidth` bytes.
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
  /// The dtype of `torch.FloatStorage` and similar classes; nil for quantized types and other
  /// names.
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

  /// The dtype with this name in `torch`; nil for unsupported types.
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
  /// The `torch` storage class for these elements; nil for types newer than these classes.
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

  /// The `torch` name of a type newer than typed storages.
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
