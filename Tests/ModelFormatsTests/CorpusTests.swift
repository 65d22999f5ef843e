import Crypto
import Foundation
import ModelFormats
import OrderedJSON
import TestSupport
import Testing

/// What a reference library says a file holds: `file`, and `tensors` (name to `dtype`, `shape`,
/// `sha256` of the contiguous little-endian values) or `refused_by_oracle`.
struct ExpectedFile: CustomTestStringConvertible, Sendable {
  let file: String
  let oracle: String?
  let tensors: JSONObject?

  var testDescription: String { file }

  static func manifest(_ path: String?) -> [ExpectedFile] {
    guard let path, let text = try? String(contentsOfFile: path, encoding: .utf8),
      let entries = try? JSON(parsing: text).array
    else { return [] }
    return entries.compactMap { entry in
      entry["file"]?.string.map {
        ExpectedFile(file: $0, oracle: entry["oracle"]?.string, tensors: entry["tensors"]?.object)
      }
    }
  }

  /// Compares an opened file with the expectation, names, types, shapes and values.
  func check(_ file: TensorFile) {
    guard let tensors else { return }
    #expect(Set(file.tensors.map(\.name)) == Set(tensors.keys))
    #expect(file.tensors.count == tensors.members.count)
    for member in tensors.members {
      guard let tensor = file[member.key] else { continue }
      #expect(tensor.dtype.torchSpelling == member.value["dtype"]?.string, "\(member.key)")
      #expect(
        tensor.shape.dimensions == member.value["shape"]?.array?.compactMap(\.int),
        "\(member.key)")
      let digest = tensor.withContiguousBytes { SHA256.hash(data: $0) }
      let hash = digest.map { String(format: "%02x", $0) }.joined()
      #expect(hash == member.value["sha256"]?.string, "\(member.key)")
    }
  }
}

extension DType {
  /// The name of the type in `torch`.
  var torchSpelling: String {
    switch self {
    case .bool: "bool"
    case .float4: "float4_e2m1fn_x2"
    case .float6E2M3: "float6_e2m3"
    case .float6E3M2: "float6_e3m2"
    case .uint8: "uint8"
    case .int8: "int8"
    case .float8E5M2: "float8_e5m2"
    case .float8E4M3: "float8_e4m3fn"
    case .float8E8M0: "float8_e8m0fnu"
    case .float8E4M3FNUZ: "float8_e4m3fnuz"
    case .float8E5M2FNUZ: "float8_e5m2fnuz"
    case .int16: "int16"
    case .uint16: "uint16"
    case .float16: "float16"
    case .bfloat16: "bfloat16"
    case .int32: "int32"
    case .uint32: "uint32"
    case .float32: "float32"
    case .complex32: "complex32"
    case .complex64: "complex64"
    case .complex128: "complex128"
    case .float64: "float64"
    case .int64: "int64"
    case .uint64: "uint64"
    }
  }
}

/// Foreign files, from the shared folder beside the project; absent on a fresh machine, where the
/// files of Fixtures/formats stand in for them.
@Suite(.enabled(if: Fixtures.shared("corpus/manifest.json") != nil, "needs ../shared/corpus"))
struct CorpusTests {
  static let files = ExpectedFile.manifest(Fixtures.shared("corpus/manifest.json"))

  @Test(arguments: files.filter { $0.tensors != nil })
  func fileHoldsWhatItsReferenceReads(_ expected: ExpectedFile) throws {
    let path = try #require(Fixtures.shared("corpus/\(expected.file)"))
    expected.check(try TensorFile.open(path))
  }

  /// A file that the reference refuses may open here or be refused, but with an error of ours.
  @Test(arguments: files.filter { $0.tensors == nil })
  func refusedFileDoesNoHarm(_ expected: ExpectedFile) throws {
    let path = try #require(Fixtures.shared("corpus/\(expected.file)"))
    do {
      for tensor in try TensorFile.open(path).tensors { _ = tensor.contiguousBytes() }
    } catch {
      #expect(error.file == path)
      #expect(!error.message.isEmpty)
    }
  }
}
