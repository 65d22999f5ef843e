import Checkpoint
import Crypto
import Foundation
import ModelFormats
import ModelGraph
import OrderedJSON
import TestSupport
import Testing

/// 8-bit floating-point weights, with scales and without: counted, checked and cast.
@Suite struct EightBitTests {
  static let file = Fixtures.path("formats/eight_bit.safetensors")

  /// The SHA-256 of each weight's values by torch, by type: Fixtures/formats/make_eight_bit.py.
  static let expected: [String: [String: String]] = {
    let text = (try? Fixtures.text("formats/eight_bit.json")) ?? ""
    let members = (try? JSON(parsing: text).object?.members) ?? []
    return Dictionary(
      uniqueKeysWithValues: members.map { member in
        let digests = (member.value.object?.members ?? []).map { ($0.key, $0.value.string ?? "") }
        return (member.key, Dictionary(uniqueKeysWithValues: digests))
      })
  }()

  /// The digest of the values, with every NaN given the same bits.
  static func digest(_ tensor: Tensor) -> String {
    var bytes = tensor.contiguousBytes()
    let width = tensor.dtype.bitWidth / 8
    let nan: [UInt8] =
      switch tensor.dtype {
      case .float32: [0, 0, 0xC0, 0x7F]
      case .float16: [0, 0x7E]
      default: [0xC0, 0x7F]
      }
    for start in stride(from: 0, to: bytes.count, by: width) {
      let bits = bytes[start..<(start + width)].reversed().reduce(UInt32(0)) {
        $0 << 8 | UInt32($1)
      }
      let isNaN =
        switch tensor.dtype {
        case .float32: Float(bitPattern: bits).isNaN
        case .float16: Float16(bitPattern: UInt16(bits)).isNaN
        default: Float(bitPattern: bits << 16).isNaN
        }
      if isNaN { bytes.replaceSubrange(start..<(start + width), with: nan) }
    }
    return hexadecimal(SHA256.hash(data: bytes))
  }

  /// Every value of every type, and values times scales of all forms, as torch casts them.
  @Test(arguments: [DType.float32, .float16, .bfloat16])
  func valuesAreCastAsTorchCasts(_ dtype: DType) throws {
    let scratch = try Scratch()
    let conversion = try Conversion(
      of: ModelCheckpoint.open(EightBitTests.file), to: .safetensors, at: scratch.path("o"),
      options: .init(dtype: dtype))
    try conversion.execute()
    let result = try TensorFile.open(scratch.path("o"))
    #expect(EightBitTests.expected.count == 12)
    #expect(
      Set(result.tensors.map(\.name)) == Set(EightBitTests.expected.keys).union(["comfy.bias"]))
    for (name, digests) in EightBitTests.expected {
      let tensor = try #require(result[name])
      #expect(tensor.dtype == dtype)
      #expect(EightBitTests.digest(tensor) == digests[dtype.rawValue], "\(name)")
    }
    let dropped = conversion.drops.map(\.name)
    #expect(dropped.count == 10)
    #expect(dropped.contains("scaled_fp8") && dropped.contains("comfy.scale_input"))
  }

  /// Without a cast, bytes and scales stay unchanged; a target that cannot store the scales is
  /// rejected.
  @Test func scalesAreNeverLost() throws {
    let scratch = try Scratch()
    let source = try ModelCheckpoint.open(EightBitTests.file)
    try Conversion(of: source, to: .safetensors, at: scratch.path("o")).execute()
    ConversionTests.expectEqual(source, try ModelCheckpoint.open(scratch.path("o")))
    let error = try #require(
      try failure { _ = try Conversion(of: source, to: .sdflat, at: scratch.path("f")) })
    #expect(error.code == .unsupported)
    #expect(error.message.hasPrefix("8 8-bit weights have scales that the target cannot keep: "))
    #expect(error.hint?.mentions(.dtype) == true)
  }

  @Test func scaleThatDoesNotFitIsRefused() throws {
    let weight = Tensor.zeros("a.weight", .float8E4M3, [4, 6])
    let component = Component(
      name: .model, architecture: nil, configuration: nil, path: "weights", format: .safetensors,
      tensors: [weight, .floats("a.weight_scale", [1, 2, 3])])
    let error = try #require(try failure { _ = try component.scales.decoded(weight) })
    #expect(error.code == .unsupported)
    #expect(error.context == "a.weight")
    #expect(
      error.message.hasPrefix("its scale a.weight_scale F32 [3] does not fit its shape [4, 6]"))
  }

  /// A network of such weights: the embedded VAE, its matrices and convolutions as E4M3.
  static func model(_ scratch: Scratch, scaled: Bool = false) throws -> String {
    try scratch.repository(vae: { tensors in
      tensors.flatMap { tensor -> [Tensor] in
        guard tensor.shape.rank > 1 else { return [tensor] }
        let bytes = (0..<tensor.elementCount).map { UInt8(truncatingIfNeeded: $0 &* 37) & 0x77 }
        let weight = Tensor(
          name: tensor.name, dtype: .float8E4M3, shape: tensor.shape, storage: .memory(bytes))
        let scale = tensor.name.dropLast("weight".count) + "scale_weight"
        return scaled ? [weight, .floats(String(scale), [0.5])] : [weight]
      }
    })
  }

  @Test(arguments: [false, true])
  func networkIsSoundAndCounted(isScaled: Bool) throws {
    let scratch = try Scratch()
    let whole = Summary(try ModelCheckpoint.open(ConversionTests.model))
    let checkpoint = try ModelCheckpoint.open(try EightBitTests.model(scratch, scaled: isScaled))
    let summary = Summary(checkpoint)
    #expect(summary.parameters == whole.parameters)
    let (left, right) = (
      try #require(summary.components.first { $0.name == .vae }),
      try #require(whole.components.first { $0.name == .vae })
    )
    #expect(left.misfits == [] && left.unexpected == [])
    if !isScaled {
      #expect(left.bytesAsF32 == right.bytesAsF32 && left.bytesAsF16 == right.bytesAsF16)
    }
    let result = try Verification(of: checkpoint)
    #expect(result.problems == [] && result.unchecked == [])
    #expect(
      result.notes.contains {
        $0.hasPrefix("vae: ") && $0.contains("8-bit floating-point values (F8_E4M3)")
      })
  }

  /// In every layout a cast returns the values times their scale; readers of single tensors, such
  /// as the engine, get the same.
  @Test(arguments: [Conversion.Target.diffusers, .ldm, .sdflat, .gguf])
  func networkIsCast(_ target: Conversion.Target) throws {
    let scratch = try Scratch()
    let plain = try ModelCheckpoint.open(try EightBitTests.model(scratch))
    let vae = try #require(plain[.vae])
    let manifest = try #require(vae.manifest)
    let other = try Scratch()
    let scaled = try ModelCheckpoint.open(try EightBitTests.model(other, scaled: true))
    for (source, factor) in [(plain, Float(1)), (scaled, 0.5)] {
      try Conversion(
        of: source, to: target, at: scratch.path("o"),
        options: .init(dtype: .float32, overwrite: true)
      ).execute()
      let result = try #require(try ModelCheckpoint.open(scratch.path("o"))[.vae])
      #expect(result.manifest?.unexpected.map(\.name) == [])
      for parameter in manifest.parameters where parameter.shape.count > 1 {
        let bytes = try vae.tensor(for: parameter, decoding: false).contiguousBytes()
        let expected = bytes.map { DType.float8E4M3.number(of: $0) }.map { Float($0) * factor }
        let written = try result.tensor(for: parameter)
        #expect(written.dtype == .float32)
        #expect(
          written.contiguousBytes() == Tensor.floats("", expected).contiguousBytes(),
          "\(parameter.name)")
        let read = try #require(source[.vae]).tensor(for: parameter)
        #expect(read.contiguousBytes() == written.contiguousBytes())
      }
    }
  }

  /// GGUF has no such type: without --dtype the values are F16, exactly.
  @Test func ggufHoldsThemAsF16() throws {
    let scratch = try Scratch()
    let source = try ModelCheckpoint.open(try EightBitTests.model(scratch))
    let conversion = try Conversion(of: source, to: .gguf, at: scratch.path("o"))
    try conversion.execute()
    let types = Set(
      conversion.parts[0].tensors.filter { $0.component == .vae && $0.tensor.shape.rank > 1 }
        .map(\.dtype))
    #expect(types == [.float16])
  }

  @Test func rowsOfScaledTensorsKeepTheirScales() {
    let bytes = (0..<12).map { UInt8(0x30 + $0) }
    let tensor = Tensor(
      name: "w", dtype: .float8E4M3, shape: [3, 4], storage: .memory(bytes))
    let whole = tensor.decoded(scales: [1, 2, 4])
    let values = (0..<12).map {
      Float(DType.float8E4M3.number(of: bytes[$0])) * [1, 2, 4][$0 / 4]
    }
    func floats(_ range: Range<Int>) -> [UInt8] {
      Tensor.floats("", Array(values[range])).contiguousBytes()
    }
    #expect(whole.contiguousBytes() == floats(0..<12))
    #expect(whole.rows(1..<3).contiguousBytes() == floats(4..<12))
    #expect(whole.reshaped([2, 6]).contiguousBytes() == floats(0..<12))
    #expect(whole.encoding == "F8_E4M3" && whole.storedByteCount == 12 && whole.byteCount == 48)
    #expect(whole.withStoredBytes { Array($0) } == bytes)
  }
}
