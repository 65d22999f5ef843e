import ModelFormats
import TestSupport
import Testing

@Suite struct SafetensorsTests {
  /// A file that must be rejected, and the expected message.
  struct Refusal: CustomTestStringConvertible {
    let testDescription: String
    let bytes: [UInt8]
    let code: FormatError.Code
    let message: String
    let offset: Int?
    let context: String?

    init(
      _ name: String, _ bytes: [UInt8], _ code: FormatError.Code, _ message: String,
      at offset: Int?, in context: String? = nil
    ) {
      testDescription = name
      self.bytes = bytes
      self.code = code
      self.message = message
      self.offset = offset
      self.context = context
    }
  }

  static let refusals: [Refusal] = [
    Refusal(
      "header too large", littleEndian(UInt64(100_000_001)) + Array("{}".utf8), .malformed,
      "the header says that it is 100000001 bytes long; 100000000 is the limit", at: 0),
    Refusal(
      "header longer than the file", littleEndian(UInt64(60)) + Array("{}".utf8), .truncated,
      "the header is 60 bytes long, but only 2 bytes follow its length", at: 0),
    Refusal(
      "not UTF-8", littleEndian(UInt64(5)) + Array("{\"a".utf8) + [0xFF] + Array("}".utf8),
      .malformed, "the header is not UTF-8", at: 11),
    Refusal(
      "not JSON", safetensors("{\"a\" 1}"), .malformed,
      "the header's JSON is wrong: a byte stands where JSON does not allow it", at: 13),
    Refusal(
      "JSON ends early", safetensors("{\"a\":{"), .malformed,
      "the header's JSON is wrong: the text ends inside a value", at: 14, in: "a"),
    Refusal(
      "something after the header", safetensors("{} {}"), .malformed,
      "the header's JSON is wrong: something follows the value", at: 11),
    Refusal(
      "duplicate name",
      safetensors(
        #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"#
          + #""\u0061":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#, data: [1, 2]),
      .malformed, "duplicate tensor name in the header", at: 61, in: "a"),
    Refusal(
      "duplicate field", safetensors(#"{"a":{"dtype":"U8","dtype":"U8"}}"#), .malformed,
      "the field \"dtype\" is duplicated", at: 27, in: "a"),
    Refusal(
      "entry is no object", safetensors(#"{"a":[]}"#), .malformed,
      "the tensor's entry is not an object", at: 13, in: "a"),
    Refusal(
      "unknown dtype", safetensors(#"{"a":{"dtype":"F7","shape":[],"data_offsets":[0,1]}}"#),
      .malformed, "the dtype \"F7\" is none of the format's", at: 22, in: "a"),
    Refusal(
      "PyTorch's own dtype",
      safetensors(#"{"a":{"dtype":"C128","shape":[],"data_offsets":[0,1]}}"#),
      .malformed, "the dtype \"C128\" is none of the format's", at: 22, in: "a"),
    Refusal(
      "dtype is no string", safetensors(#"{"a":{"dtype":8}}"#), .malformed,
      "dtype is not a string", at: 22, in: "a"),
    Refusal(
      "no dtype", safetensors(#"{"a":{"shape":[],"data_offsets":[0,1]}}"#), .malformed,
      "the field \"dtype\" is missing", at: 9, in: "a"),
    Refusal(
      "no shape", safetensors(#"{"a":{"dtype":"U8","data_offsets":[0,1]}}"#), .malformed,
      "the field \"shape\" is missing", at: 9, in: "a"),
    Refusal(
      "no offsets", safetensors(#"{"a":{"dtype":"U8","shape":[]}}"#), .malformed,
      "the field \"data_offsets\" is missing", at: 9, in: "a"),
    Refusal(
      "three offsets", safetensors(#"{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1,2]}}"#),
      .malformed, "data_offsets holds 3 numbers instead of 2", at: 9, in: "a"),
    Refusal(
      "shape is no array", safetensors(#"{"a":{"dtype":"U8","shape":1,"data_offsets":[0,1]}}"#),
      .malformed, "shape is not an array", at: 35, in: "a"),
    Refusal(
      "negative size", safetensors(#"{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}}"#),
      .malformed, "shape holds something that is no size", at: 36, in: "a"),
    Refusal(
      "fraction", safetensors(#"{"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}}"#),
      .malformed, "shape holds something that is no size", at: 36, in: "a"),
    Refusal(
      "exponent", safetensors(#"{"a":{"dtype":"U8","shape":[1e0],"data_offsets":[0,1]}}"#),
      .malformed, "shape holds something that is no size", at: 36, in: "a"),
    Refusal(
      "size beyond 64 bits",
      safetensors(#"{"a":{"dtype":"U8","shape":[],"data_offsets":[0,18446744073709551616]}}"#),
      .malformed, "data_offsets holds something that is no size", at: 56, in: "a"),
    Refusal(
      "leading zero", safetensors(#"{"a":{"dtype":"U8","shape":[01],"data_offsets":[0,1]}}"#),
      .malformed, "the header's JSON is wrong: a number is not written as JSON writes numbers",
      at: 37, in: "a"),
    Refusal(
      "element count overflows",
      safetensors(
        #"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,1]}}"#, data: [0]),
      .malformed, "the shape [4294967296, 4294967296] has too many elements",
      at: 9, in: "a"),
    Refusal(
      "bit count overflows",
      safetensors(
        #"{"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,1]}}"#, data: [0]),
      .malformed, "the shape [4611686018427387904] has too many elements",
      at: 9, in: "a"),
    Refusal(
      "wrong size",
      safetensors(#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, data: [0, 0, 0, 0]),
      .malformed, "[2] elements of F32 take 8 bytes; data_offsets give 4", at: 9, in: "a"),
    Refusal(
      "end before beginning",
      safetensors(#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}}"#, data: [0]),
      .malformed, "its values end at 0, before they begin at 1", at: 9, in: "a"),
    Refusal(
      "half a byte", safetensors(#"{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}}"#),
      .malformed, "[3] elements of F4 do not fill whole bytes", at: 9, in: "a"),
    Refusal(
      "gap at the start",
      safetensors(#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#, data: [0, 0]),
      .malformed, "its values begin at 1, which leaves a gap after 0", at: 9, in: "a"),
    Refusal(
      "overlap",
      safetensors(
        #"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"#
          + #""b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}"#, data: [0, 0, 0]),
      .malformed, "its values begin at 1, inside those of another tensor, which end at 2",
      at: 61, in: "b"),
    Refusal(
      "values missing",
      safetensors(#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, data: [0, 0, 0]),
      .truncated,
      "the file is truncated: its header describes 8 bytes of values, 3 are there, so 5 are "
        + "missing (92 % of the file is present)", at: 65, in: "a"),
    Refusal(
      "trailing bytes",
      safetensors(#"{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}"#, data: [0, 0, 0]),
      .malformed, "2 bytes follow the last tensor's values", at: 61),
    Refusal(
      "data without tensors", safetensors("{}", data: [0]), .malformed,
      "1 byte follows the last tensor's values", at: 10),
    Refusal(
      "metadata key twice", safetensors(#"{"__metadata__":{"a":"1","\u0061":"2"}}"#), .malformed,
      "the key \"a\" is duplicated", at: 33, in: "__metadata__"),
    Refusal(
      "metadata twice", safetensors(#"{"__metadata__":{},"__metadata__":{}}"#), .malformed,
      "duplicate tensor name in the header", at: 27, in: "__metadata__"),
    Refusal(
      "negative offset",
      safetensors(#"{"a":{"dtype":"U8","shape":[],"data_offsets":[-1,0]}}"#), .malformed,
      "data_offsets holds something that is no size", at: 54, in: "a"),
    Refusal(
      "text after the header", safetensors("{}x"), .malformed,
      "the header's JSON is wrong: something follows the value", at: 10),
    Refusal(
      "a line break in a name", safetensors("{\"a\n\":1}"), .malformed,
      "the header's JSON is wrong: a byte stands where JSON does not allow it", at: 11),
    Refusal(
      "ten tensors on one range",
      safetensors(
        many(10) { #""t\#($0)":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"# },
        data: [0, 0, 0, 0]), .malformed,
      "its values begin at 0, inside those of another tensor, which end at 4", at: 63, in: "t1"),
    Refusal(
      "metadata is no object", safetensors(#"{"__metadata__":1}"#), .malformed,
      "__metadata__ is not an object", at: 24, in: "__metadata__"),
    Refusal(
      "metadata value is no string", safetensors(#"{"__metadata__":{"a":1}}"#), .malformed,
      "the value of \"a\" is not a string", at: 29, in: "__metadata__"),
    Refusal(
      // A field may contain 64 levels; its value begins at byte 18.
      "nested deeply", safetensors(#"{"a":"# + String(repeating: "{\"b\":", count: 100)),
      .malformed, "the header's JSON is wrong: values are nested too deeply", at: 343, in: "a"),
  ]

  @Test(arguments: refusals)
  func malformedFileIsRefused(_ refusal: Refusal) throws {
    let error = try #require(try openingError(refusal.bytes))
    #expect(error.code == refusal.code)
    #expect(error.message == refusal.message)
    #expect(error.offset == refusal.offset)
    #expect(error.context == refusal.context)
  }

  static func many(_ count: Int, _ member: (Int) -> String) -> String {
    "{" + (0..<count).map(member).joined(separator: ",") + "}"
  }

  enum Budget: CaseIterable {
    case tensors, pairs, fields, values, text, textWithEscapes

    var limit: Int {
      switch self {
      case .tensors, .pairs: 65536
      case .fields: 64
      // The list counts as a value, as do dtype, shape's number and the two offsets.
      case .values: (512 << 10) - 5
      case .text, .textWithEscapes: 16 << 20
      }
    }

    var message: String {
      switch self {
      case .tensors: "the header describes more than 65536 tensors"
      case .pairs: "__metadata__ holds more than 65536 pairs"
      case .fields: "the entry has more than 64 fields"
      case .values: "the header's JSON is wrong: it holds more values than any real one"
      case .text, .textWithEscapes:
        "the header's JSON is wrong: a text is longer than any real one"
      }
    }

    /// A header that uses `count` of the limited quantity.
    func header(_ count: Int) -> String {
      let entry = #""dtype":"U8","shape":[0],"data_offsets":[0,0]"#
      switch self {
      case .tensors: return SafetensorsTests.many(count) { #""\#($0)":{\#(entry)}"# }
      case .pairs:
        return #"{"__metadata__":"# + SafetensorsTests.many(count) { #""\#($0)":"""# } + "}"
      case .fields:
        let more = (3..<count).map { #","\#($0)":0"# }.joined()
        return #"{"a":{"# + entry + more + "}}"
      case .values:
        let zeros = [String](repeating: "0", count: count).joined(separator: ",")
        return #"{"a":{"# + entry + #","b":["# + zeros + "]}}"
      case .text:
        return #"{"__metadata__":{"a":""# + String(repeating: "x", count: count) + "\"}}"
      case .textWithEscapes:
        return #"{"__metadata__":{"a":"\n"# + String(repeating: "x", count: count - 2) + "\"}}"
      }
    }
  }

  /// At the limit, and one beyond.
  @Test(arguments: Budget.allCases)
  func budgetsHold(_ budget: Budget) throws {
    let sound = try openingError(safetensors(budget.header(budget.limit)))
    #expect(sound == nil)
    let error = try #require(try openingError(safetensors(budget.header(budget.limit + 1))))
    #expect(error.message == budget.message)
    #expect(error.offset != nil)
  }

  /// Names that look alike but differ in bytes are two tensors, when written and when read.
  @Test func namesThatLookAlikeAreTold() throws {
    let tensors = [
      Tensor(name: "\u{E9}", dtype: .uint8, shape: [1], storage: .memory([1])),
      Tensor(name: "e\u{301}", dtype: .uint8, shape: [2], storage: .memory([2, 3])),
    ]
    let directory = try ScratchDirectory()
    try Safetensors.write(tensors, to: directory.path("out"))
    let file = try TensorFile.open(directory.path("out"))
    #expect(file.tensors.map { $0.contiguousBytes() } == [[1], [2, 3]])
    #expect(file["e\u{301}"]?.elementCount == 2)
  }

  @Test func nullIsNoMetadata() throws {
    let directory = try ScratchDirectory()
    let bytes = safetensors(
      #"{"__metadata__":null,"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#,
      data: [0, 0, 0x80, 0x3F])
    let file = try TensorFile.open(try directory.write(bytes))
    #expect(file.metadata.isEmpty && file.warnings.isEmpty)
    #expect(file["a"]?.contiguousBytes() == [0, 0, 0x80, 0x3F])
  }

  @Test func unknownFieldsAreToldOnce() throws {
    let header = SafetensorsTests.many(3) {
      #""t\#($0)":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"note":[{"a":"b"}]}"#
    }
    let directory = try ScratchDirectory()
    let file = try TensorFile.open(try directory.write(safetensors(header)))
    #expect(
      file.warnings == [
        #"t0: the header's field "note" is not known and was ignored, as were 2 more"#
      ])
  }

  @Test func fileOfFewerThanEightBytesIsRefused() throws {
    let directory = try ScratchDirectory()
    let file = try MappedFile(path: try directory.write([2, 0, 0]))
    let error = try #require(throws: FormatError.self) { try Safetensors.read(file) }
    #expect(error.code == .truncated)
    #expect(error.file == file.path)
  }

  @Test(arguments: DType.allCases.filter(\.isSafetensors))
  func everyTypeIsRead(_ dtype: DType) throws {
    // Eight elements of any bit width fill whole bytes.
    let data = (0..<dtype.bitWidth).map { UInt8($0) }
    let header =
      #"{"x":{"dtype":"\#(dtype.rawValue)","shape":[2,4],"data_offsets":[0,\#(data.count)]}}"#
    let directory = try ScratchDirectory()
    let file = try TensorFile.open(try directory.write(safetensors(header, data: data)))
    let tensor = try #require(file["x"])
    #expect(file.format == .safetensors)
    #expect(tensor.dtype == dtype)
    #expect(tensor.shape == [2, 4])
    #expect(tensor.offset == 8 + header.utf8.count)
    #expect(tensor.contiguousBytes() == data)
  }

  @Test func oddButSoundFilesAreRead() throws {
    // White space around the header, a field unknown to the format, an empty tensor, a scalar,
    // data in another order than the header's.
    let header =
      #"  {"b":{"dtype":"U8","shape":[],"data_offsets":[2,3],"note":{"x":[1]}},"#
      + #""e":{"dtype":"F32","shape":[2,0],"data_offsets":[2,2]},"#
      + #""a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"__metadata__":{"k":"v"}}  "#
    let directory = try ScratchDirectory()
    let file = try TensorFile.open(try directory.write(safetensors(header, data: [1, 2, 3])))
    #expect(file.tensors.map(\.name) == ["b", "e", "a"])
    #expect(file.tensors.map { $0.contiguousBytes() } == [[3], [], [1, 2]])
    #expect(file.metadata.map(\.key) == ["k"])
    #expect(file.warnings == [#"b: the header's field "note" is not known and was ignored"#])
  }

  @Test func writtenFileReadsBack() throws {
    let tensors = [
      Tensor(name: "β.weight", dtype: .bfloat16, shape: [3], storage: .memory([1, 2, 3, 4, 5, 6])),
      Tensor(name: "a \"quoted\"", dtype: .bool, shape: [], storage: .memory([1])),
      Tensor(name: "empty", dtype: .int64, shape: [0, 4], storage: .memory([])),
    ]
    let directory = try ScratchDirectory()
    var steps: [Int] = []
    try Safetensors.write(
      tensors, metadata: [("format", "pt"), ("title", "é\n")], to: directory.path("out"),
      progress: { written, total in
        steps.append(written)
        #expect(total == 7)
      })
    #expect(steps == [6, 7])
    let file = try TensorFile.open(directory.path("out"))
    #expect(file.tensors.map(\.info) == tensors.map(\.info))
    #expect(file.tensors.map { $0.contiguousBytes() } == tensors.map { $0.contiguousBytes() })
    #expect(file.metadata.map(\.value) == ["pt", "é\n"])
    #expect(try #require(file.tensors[0].offset) % 8 == 0)
  }

  @Test(arguments: [
    (
      [
        TensorInfo(name: "a", dtype: .bool, shape: []),
        TensorInfo(name: "a", dtype: .bool, shape: []),
      ],
      FormatError.Code.mismatch, "duplicate tensor name"
    ),
    (
      [TensorInfo(name: "__metadata__", dtype: .bool, shape: [])],
      .mismatch, "safetensors keeps this name for itself"
    ),
    (
      [TensorInfo(name: "a", dtype: .complex128, shape: [])],
      .unsupported, "safetensors has no type for C128"
    ),
    (
      [TensorInfo(name: "a", dtype: .float4, shape: [3])],
      .unsupported, "[3] elements of F4 do not fill whole bytes"
    ),
    (
      [TensorInfo(name: "a", dtype: .float32, shape: [.max, 2])],
      .unsupported, "[9223372036854775807, 2] elements of F32 do not fill whole bytes"
    ),
  ])
  func unwritableTensorsAreRefused(
    tensors: [TensorInfo], code: FormatError.Code, message: String
  ) throws {
    let directory = try ScratchDirectory()
    let error = try #require(throws: FormatError.self) {
      _ = try SafetensorsWriter(path: directory.path("out"), tensors: tensors)
    }
    #expect(error.code == code)
    #expect(error.message == message)
    #expect(try directory.names == [])
  }

  @Test func incompleteFileIsNotCommitted() throws {
    let directory = try ScratchDirectory()
    let writer = try SafetensorsWriter(
      path: directory.path("out"),
      tensors: [TensorInfo(name: "a", dtype: .int16, shape: [2])])
    #expect(throws: FormatError.self) { try writer.commit() }
  }
}
