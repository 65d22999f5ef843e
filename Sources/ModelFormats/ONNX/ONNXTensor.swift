/// An ONNX tensor type, by its number in `TensorProto.DataType`.
struct ONNXDataType {
  let number: Int

  init(_ number: Int) {
    self.number = number
  }

  /// The dtype of its values; nil for strings and for 2-bit and 4-bit types, which have no integer
  /// equivalent in checkpoint formats.
  var dtype: DType? {
    switch number {
    case 1: .float32
    case 2: .uint8
    case 3: .int8
    case 4: .uint16
    case 5: .int16
    case 6: .int32
    case 7: .int64
    case 9: .bool
    case 10: .float16
    case 11: .float64
    case 12: .uint32
    case 13: .uint64
    case 14: .complex64
    case 15: .complex128
    case 16: .bfloat16
    case 17: .float8E4M3
    case 18: .float8E4M3FNUZ
    case 19: .float8E5M2
    case 20: .float8E5M2FNUZ
    case 23: .float4
    case 24: .float8E8M0
    default: nil
    }
  }

  var name: String {
    if let dtype { return dtype.rawValue }
    switch number {
    case 8: return "STRING"
    case 21: return "UINT4"
    case 22: return "INT4"
    case 25: return "UINT2"
    case 26: return "INT2"
    default: return "number \(number)"
    }
  }
}

/// The contents of a `TensorProto` and the location of its values.
///
///     1 dims*, 2 data_type, 4 float_data*, 5 int32_data*, 6 string_data*, 7 int64_data*, 8 name,
///     9 raw_data, 10 double_data*, 11 uint64_data*, 13 external_data*, 14 data_location
struct ONNXTensor {
  /// The typed value fields, by number.
  enum TypedField: Int {
    case float = 4
    case int32 = 5
    case string = 6
    case int64 = 7
    case double = 10
    case uint64 = 11
  }

  private(set) var name = ""
  private(set) var shape: Shape = []
  private(set) var raw: Range<Int>?
  /// The pieces of the typed field, packed or one value each.
  private(set) var typed: [ProtobufReader.Field] = []
  private(set) var typedField: TypedField?
  private(set) var external: [(key: String, value: String)] = []
  private(set) var isExternal = false
  private var type = ONNXDataType(0)

  var dtype: DType? { type.dtype }
  var typeName: String { type.name }

  init(_ file: MappedFile, _ range: Range<Int>) throws(FormatError) {
    var reader = ProtobufReader(file, range, what: "a tensor")
    var dimensions: [Int] = []
    var hasType = false
    var problem: FormatError?
    while let field = try reader.next() {
      switch field.number {
      case 1:
        try reader.integers(field) { (dimension) throws(FormatError) in
          guard dimension >= 0, dimensions.count < 64 else {
            throw FormatError(
              .malformed,
              dimension < 0
                ? "negative dimension \(dimension)"
                : "the tensor has more than 64 dimensions", offset: field.offset)
          }
          dimensions.append(dimension)
        }
      case 2:
        type = ONNXDataType(try reader.integer(field))
        hasType = true
      case 3: problem = problem ?? reader.malformed("is cut into segments", at: field.offset)
      case 4, 5, 6, 7, 10, 11:
        let kind = TypedField(rawValue: field.number)
        guard typedField == nil || typedField == kind else {
          problem = problem ?? reader.malformed("holds values of two types", at: field.offset)
          continue
        }
        typedField = kind
        // Current writers pack the values of a field into one piece.
        guard typed.count < ONNX.valueLimit else {
          throw FormatError(
            .unsupported, "its values stand one by one, and are more than \(ONNX.valueLimit)",
            offset: field.offset, context: name.isEmpty ? nil : name,
            hint: "save the model again with onnx.save")
        }
        typed.append(field)
      case 8: name = try reader.text(field)
      case 9: raw = try reader.range(field)
      case 13 where external.count >= 16:
        problem = problem ?? reader.malformed("describes external data at length", at: field.offset)
      case 13: external.append(try ONNX.pair(file, try reader.range(field)))
      case 14: isExternal = try reader.integer(field) == 1
      default: break
      }
    }
    shape = Shape(dimensions)
    if !hasType {
      problem = problem ?? reader.malformed("has no type", at: range.lowerBound)
    }
    if var problem {
      problem.context = name.isEmpty ? nil : name
      throw problem
    }
  }
}
