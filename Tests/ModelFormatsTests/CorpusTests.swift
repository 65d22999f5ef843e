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

  /// Differences of an opened file from the expectation: names, types, shapes or values.
  func differences(from file: TensorFile) -> [String] {
    guard let tensors else { return [] }
    var differences: [String] = []
    if Set(file.tensors.map(\.name)) != Set(tensors.keys)
      || file.tensors.count != tensors.keys.count
    {
      differences.append("names: \(file.tensors.map(\.name)) instead of \(tensors.keys)")
    }
    for member in tensors.members {
      guard let tensor = file[member.key] else { continue }
      if tensor.dtype.torchSpelling != member.value["dtype"]?.string {
        differences.append("\(member.key): \(tensor.dtype.rawValue)")
      }
      if tensor.shape.dimensions != member.value["shape"]?.array?.compactMap(\.int) {
        differences.append("\(member.key): \(tensor.shape)")
      }
      let digest = tensor.withContiguousBytes { SHA256.hash(data: $0) }
      let hash = digest.map { String(format: "%02x", $0) }.joined()
      if hash != member.value["sha256"]?.string { differences.append("\(member.key): \(hash)") }
    }
    return differences
  }

  /// Compares an opened file with the expectation, names, types, shapes and values.
  func check(_ file: TensorFile) {
    #expect(differences(from: file) == [])
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

/// Third-party files from the shared directory next to the project; on a machine without them the
/// files in Fixtures/formats are used.
@Suite(.shared("corpus/manifest.json"))
struct CorpusTests {
  static let files = ExpectedFile.manifest(Fixtures.shared("corpus/manifest.json"))

  @Test(arguments: files.filter { $0.tensors != nil })
  func fileHoldsWhatItsReferenceReads(_ expected: ExpectedFile) throws {
    let path = try #require(Fixtures.shared("corpus/\(expected.file)"))
    expected.check(try TensorFile.open(path))
  }

  /// A file that the reference rejects may open or be rejected, but only with our errors.
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

  /// Files that are not models, and the expected message.
  @Test(arguments: [
    (
      "stable-diffusion-web-ui-custom__models__VAE-approx__model.pt",
      "this is a Git LFS pointer to a file of 213777 bytes, SHA-256 4f88c907"
    ),
    (
      "runwayml-stable-diffusion-v1-5__v1-5-pruned.ckpt",
      "this is a Git LFS pointer to a file of 7703807346 bytes, SHA-256 e1441589"
    ),
    ("sd-webui-forge-docker__models__VAE-approx__model.pt", "this is an HTML page (\"<!DOCTYPE"),
    ("safetensors_util__test__duplicate_keys_in_header.safetensors", "duplicate tensor name"),
    ("picklescan__tests__data__benign0_v0.pkl", "this is a pickle, but not from torch.save"),
    ("picklescan__tests__data__malicious0.pkl", "names __builtin__.globals, which reaches into"),
    (
      "picklescan__tests__data__malicious3.pkl", "names httplib.HTTPSConnection, which uses the net"
    ),
    (
      "picklescan__tests__data__malicious4.pickle", "names requests.api.get, which uses the network"
    ),
    (
      "picklescan__tests__data__malicious5.pickle", "names aiohttp.client.ClientSession, which uses"
    ),
    ("picklescan__tests__data__malicious6.pkl", "names requests.api.get, which uses the network"),
    ("picklescan__tests__data__malicious11.pkl", "names os.system, which runs commands"),
    ("picklescan__tests__data__malicious14.pkl", "names runpy._run_code, which runs code"),
    ("picklescan__tests__data__malicious15b.pkl", "names bdb.Bdb.run, which runs code"),
    ("picklescan__tests__data__malicious16.pkl", "names pip.main, which runs commands"),
    ("picklescan__tests__data__malicious19.pkl", "names functools.partial, which calls whatever"),
    ("picklescan__tests__data__malicious20.pkl", "names venv.create, which runs commands"),
    (
      "modelaudit__tests__assets__pickles__multiple_stream_attack.pkl",
      "names builtins.eval, which runs code"
    ),
    (
      "modelaudit__tests__assets__pickles__stack_global_attack.pkl",
      "names posix.system, which runs commands"
    ),
    (
      "modelaudit__tests__assets__samples__archives__safe_model.zip",
      "it contains model/weights.txt, README.txt"
    ),
    (
      "burn__crates__burn-store__src__pytorch__tests__reader__test_data__broken.pt",
      "this is text (\"abc\")"
    ),
  ])
  func refusalNamesWhatTheFileIs(file: String, says: String) throws {
    let path = try #require(Fixtures.shared("corpus/\(file)"))
    let error = try #require(throws: FormatError.self) { try TensorFile.open(path) }
    #expect(error.message.contains(says))
    #expect(error.hint != nil || error.code == .malformed)
  }

  /// A real file with its line endings changed, as by a text-mode transfer.
  @Test func mangledFileIsTold() throws {
    let path = try #require(
      Fixtures.shared("corpus/stable-diffusion-webui-forge__models__VAE-approx__model.pt"))
    var mangled: [UInt8] = []
    for byte in try Data(contentsOf: URL(filePath: path)) {
      if byte == 0x0A, mangled.last == 0x0D { mangled.removeLast() }
      mangled.append(byte)
    }
    let error = try #require(try openingError(mangled))
    #expect(error.code == .malformed)
    #expect(error.message.contains("4 bytes are missing and no CR LF is left"))
  }

  /// No ordinary file is called dangerous for the names in it.
  @Test(arguments: files.filter { $0.tensors != nil })
  func saneFileRaisesNoAlarm(_ expected: ExpectedFile) throws {
    let path = try #require(Fixtures.shared("corpus/\(expected.file)"))
    let alarms = try TensorFile.open(path).warnings.filter { $0.contains("nothing was run here") }
    #expect(alarms == [])
  }

  /// The corpus's totals, printed for the documentation.
  @Test func countsAreAsTheyWere() throws {
    var equal = 0
    var beyond: [String] = []
    var refused: [String] = []
    for expected in CorpusTests.files {
      let path = try #require(Fixtures.shared("corpus/\(expected.file)"))
      switch (expected.tensors, try? TensorFile.open(path)) {
      case (_?, let file?) where expected.differences(from: file) == []: equal += 1
      case (nil, let file?): beyond.append("\(expected.file) (\(file.tensors.count) tensors)")
      case (nil, nil): refused.append(expected.file)
      default: break
      }
    }
    print(
      "corpus: \(CorpusTests.files.count) files; \(equal) read as the reference reads them, "
        + "\(beyond.count) read beyond it, \(refused.count) refused by both")
    print("read beyond the reference: \(beyond.joined(separator: ", "))")
    #expect(equal == CorpusTests.files.filter { $0.tensors != nil }.count)
    #expect(equal + beyond.count + refused.count == CorpusTests.files.count)
  }
}
