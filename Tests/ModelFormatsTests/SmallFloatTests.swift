import Foundation
import ModelFormats
import TestSupport
import Testing

/// 8-bit floating-point numbers, and tensors of them that are read as F32 times scales.
///
/// The values are those of the formats' own tables: OCP 8-bit Floating Point Specification, table
/// 2, and Noune et al., 2022, for FNUZ. All 256 of each are compared with torch in EightBitTests.
@Suite struct SmallFloatTests {
  struct Number: Sendable {
    let dtype: DType
    let byte: UInt8
    let value: Double

    init(_ dtype: DType, _ byte: UInt8, _ value: Double) {
      (self.dtype, self.byte, self.value) = (dtype, byte, value)
    }
  }

  static let numbers = [
    Number(.float8E4M3, 0x00, 0), Number(.float8E4M3, 0x01, 0x1p-9),
    Number(.float8E4M3, 0x07, 0x7p-9),
    Number(.float8E4M3, 0x08, 0x1p-6), Number(.float8E4M3, 0x38, 1), Number(.float8E4M3, 0x7E, 448),
    Number(.float8E4M3, 0xFE, -448), Number(.float8E4M3, 0x7F, .nan),
    Number(.float8E4M3, 0xFF, .nan),
    Number(.float8E5M2, 0x01, 0x1p-16), Number(.float8E5M2, 0x04, 0x1p-14),
    Number(.float8E5M2, 0x3C, 1), Number(.float8E5M2, 0x7B, 57344),
    Number(.float8E5M2, 0x7C, .infinity),
    Number(.float8E5M2, 0xFC, -.infinity), Number(.float8E5M2, 0x7D, .nan),
    Number(.float8E5M2, 0xFF, .nan),
    Number(.float8E4M3FNUZ, 0x01, 0x1p-10), Number(.float8E4M3FNUZ, 0x40, 1),
    Number(.float8E4M3FNUZ, 0x7F, 240), Number(.float8E4M3FNUZ, 0x80, .nan),
    Number(.float8E5M2FNUZ, 0x01, 0x1p-17), Number(.float8E5M2FNUZ, 0x40, 1),
    Number(.float8E5M2FNUZ, 0x7F, 57344), Number(.float8E5M2FNUZ, 0x80, .nan),
    Number(.float8E8M0, 0x00, 0x1p-127), Number(.float8E8M0, 0x7F, 1),
    Number(.float8E8M0, 0xFE, 0x1p127),
    Number(.float8E8M0, 0xFF, .nan),
    Number(.int8, 0xFF, -1), Number(.uint8, 0xFF, 255), Number(.bool, 2, 1), Number(.bool, 0, 0),
  ]

  @Test(arguments: numbers)
  func bytesStandForNumbers(_ number: Number) {
    let value = number.dtype.number(of: number.byte)
    #expect(value.isNaN ? number.value.isNaN : value == number.value)
  }

  /// E4M3 `[2, 4]`: 1, 2, 3, 4 and -1, 0.5, 0, 448.
  static let bytes: [UInt8] = [0x38, 0x40, 0x44, 0x48, 0xB8, 0x30, 0x00, 0x7E]
  static let values: [Float] = [1, 2, 3, 4, -1, 0.5, 0, 448]

  static func floats(_ tensor: Tensor) -> [Float] {
    var bytes: [UInt8] = []
    tensor.withContiguousPieces { bytes.append(contentsOf: $0) }
    return bytes.withUnsafeBytes { buffer in
      stride(from: 0, to: buffer.count, by: 4).map {
        buffer.loadUnaligned(fromByteOffset: $0, as: Float.self)
      }
    }
  }

  static let scales: [[Float]] = [[1], [0.5], [2, 0.25], [1, 2, 4, 8]]

  /// One scale for all, for each row, or for each half of a row.
  @Test(arguments: scales)
  func valuesAreMultiplied(_ scales: [Float]) throws {
    let values = Tensor(
      name: "w", dtype: .float8E4M3, shape: [2, 4], storage: .memory(SmallFloatTests.bytes))
    let tensor = values.decoded(scales: scales)
    let run = 8 / scales.count
    let expected = SmallFloatTests.values.enumerated().map { $1 * scales[$0 / run] }
    #expect(tensor.dtype == .float32 && tensor.isEightBit && tensor.encoding == "F8_E4M3")
    #expect(tensor.byteCount == 32 && tensor.storedByteCount == 8)
    #expect(SmallFloatTests.floats(tensor) == expected)
    #expect(tensor.withStoredBytes { [UInt8]($0) } == SmallFloatTests.bytes)
    #expect(SmallFloatTests.floats(tensor.reshaped([8])) == expected)
    #expect(SmallFloatTests.floats(tensor.rows(1..<2)) == Array(expected[4...]))
    let buffer = BlockBuffer()
    let middle = try tensor.withElements(3..<6, buffer) { [UInt8]($0) }
    #expect(
      middle == expected[3..<6].flatMap { value in withUnsafeBytes(of: value) { [UInt8]($0) } })
    #expect(tensor.renamed("v").name == "v")
  }

  @Test func otherTypesAreNotDecoded() {
    let tensor = Tensor(name: "w", dtype: .int8, shape: [2], storage: .memory([1, 2]))
    #expect(tensor.decoded().dtype == .int8 && !tensor.isEightBit)
  }

  /// A file's tensors, read in place.
  @Test func valuesOfFilesAreDecoded() throws {
    let file = try TensorFile.open(Fixtures.path("formats/eight_bit.safetensors"))
    let eightBit = file.tensors.filter { $0.dtype.isEightBitFloat && $0.elementCount > 0 }
    #expect(eightBit.count >= 4)
    for tensor in eightBit {
      let decoded = tensor.decoded()
      #expect(decoded.offset == tensor.offset && decoded.file != nil)
      let expected = tensor.contiguousBytes().map { Float(tensor.dtype.number(of: $0)) }
      let found = SmallFloatTests.floats(decoded)
      #expect(zip(found, expected).allSatisfy { $0 == $1 || $0.isNaN && $1.isNaN })
    }
  }
}

/// Links of the Hugging Face cache whose target is missing.
@Suite struct DanglingLinkTests {
  @Test func missingTargetsAreNamed() throws {
    let scratch = try ScratchDirectory()
    let root = scratch.path("model")
    let files = FileManager.default
    try files.createDirectory(atPath: root + "/blobs", withIntermediateDirectories: true)
    try files.createDirectory(atPath: root + "/unet", withIntermediateDirectories: true)
    let link = root + "/unet/weights.safetensors"
    try files.createSymbolicLink(atPath: link, withDestinationPath: "../blobs/abc")
    let lone = try #require(DanglingLink(link))
    #expect(lone.name == "weights.safetensors" && lone.target == "../blobs/abc")
    #expect(lone.unfinished.isEmpty)
    #expect(
      lone.sentence.hasPrefix("weights.safetensors is a link to ../blobs/abc, which does not"))
    for name in ["abc.incomplete", "other.incomplete", "whole"] {
      _ = files.createFile(atPath: root + "/blobs/" + name, contents: Data([1]))
    }
    let partial = try #require(DanglingLink(link))
    #expect(partial.unfinished == ["abc.incomplete"])
    #expect(partial.predicate.contains("abc.incomplete"))
    #expect(DanglingLink.unfinished(in: root + "/blobs") == ["abc.incomplete", "other.incomplete"])
    _ = files.createFile(atPath: root + "/blobs/abc", contents: Data([1]))
    #expect(DanglingLink(link) == nil && DanglingLink(root) == nil)
    #expect(DanglingLink(root + "/nothing") == nil && DanglingLink.unfinished(in: link).isEmpty)
  }
}
