import CKernels
import Checkpoint
import Engine
import Glibc
import ModelGraph
import TestSupport
import Testing

extension EngineTests {
  /// Token merging at each instruction set against double precision; then in the whole UNet.
  struct MergingTests {
    struct Case: Sendable, CustomTestStringConvertible {
      var batch = 1
      let height: Int
      let width: Int
      let channels: Int
      let merged: Int
      var seed: UInt32 = 0

      var tokens: Int { height * width }
      var testDescription: String {
        "\(batch)x\(height)x\(width)x\(channels), \(merged) merged, seed \(seed)"
      }
    }

    static let cases = [
      Case(height: 1, width: 1, channels: 4, merged: 0),
      Case(height: 1, width: 8, channels: 6, merged: 4),
      Case(height: 2, width: 2, channels: 8, merged: 3),
      Case(batch: 2, height: 16, width: 16, channels: 32, merged: 128),
      Case(batch: 3, height: 9, width: 13, channels: 33, merged: 58, seed: 77),
      Case(batch: 2, height: 24, width: 10, channels: 320, merged: 180, seed: 0x443e_8000),
      Case(height: 40, width: 40, channels: 40, merged: 0),
      Case(height: 40, width: 40, channels: 40, merged: 700, seed: 5),
    ]

    @Test(arguments: InstructionSet.available, cases)
    func places(_ isa: InstructionSet, _ form: Case) {
      for type in [SDK_F32, SDK_BF16] {
        var random = SplitMix(seed: 31)
        let x = Stored(random.normals(form.batch * form.tokens * form.channels), type)
        let places = isa.using { form.places(x.bytes, type) }
        let values = x.values
        for sample in 0..<form.batch {
          let range = sample * form.tokens..<(sample + 1) * form.tokens
          let size = form.tokens * form.channels
          let expected = form.expected(Array(values[sample * size..<(sample + 1) * size]))
          let wrong = zip(places[range], expected).count { $0 != $1 }
          #expect(wrong == 0, "sample \(sample)")
        }
      }
    }

    /// A token equally near to two destinations goes to the first; of equally near tokens, the
    /// first are merged.
    @Test(arguments: InstructionSet.available)
    func ties(_ isa: InstructionSet) {
      let form = Case(height: 8, width: 8, channels: 4, merged: 20)
      let x = Stored([Float](repeating: 1, count: 64 * 4), SDK_F32)
      let places = isa.using { form.places(x.bytes, SDK_F32) }
      let isDestination = { (token: Int) in token / 8 % 2 == 0 && token % 2 == 0 }
      let gone = (0..<64).filter { !isDestination($0) }.prefix(20)
      var expected = [Int32](repeating: 0, count: 64)
      var next: Int32 = 0
      for token in 0..<64 where !gone.contains(token) {
        expected[token] = next
        next += 1
      }
      #expect(places == expected)
    }

    @Test(arguments: [2, 3], [4, 7])
    func threads(count: Int32, index: Int) {
      let form = Self.cases[index]
      let before = sdk_threads()
      defer { sdk_set_threads(before) }
      var random = SplitMix(seed: 3)
      let x = Stored(random.normals(form.batch * form.tokens * form.channels), SDK_BF16)
      sdk_set_threads(1)
      let alone = form.places(x.bytes, SDK_BF16)
      sdk_set_threads(count)
      #expect(form.places(x.bytes, SDK_BF16) == alone)
    }

    /// NaN neither hangs nor causes indices outside the image.
    @Test func notNumbers() {
      let form = Case(height: 6, width: 6, channels: 8, merged: 20)
      let x = Stored([Float](repeating: .nan, count: 36 * 8), SDK_F32)
      let places = form.places(x.bytes, SDK_F32)
      #expect(places.allSatisfy { (0..<16).contains($0) })
      #expect(Set(places).count == 16)
    }

    @Test(arguments: InstructionSet.available, [SDK_F32, SDK_BF16])
    func meansAndBack(_ isa: InstructionSet, _ type: sdk_type) {
      var random = SplitMix(seed: 8)
      for channels in [1, 7, 32, 300] {
        let (batch, tokens, left) = (2, 11, 4)
        let places = (0..<batch * tokens).map {
          Int32($0 % tokens < left ? $0 % tokens : $0 * 7 % left)
        }
        let x = Stored(random.normals(batch * tokens * channels), type)
        let residual = Stored(random.normals(batch * tokens * channels), type)
        let merged = isa.using {
          Stored(count: batch * left * channels, type) { y in
            let scratch = UnsafeMutableRawPointer.allocate(
              byteCount: sdk_merging_scratch(batch, tokens, left), alignment: 64)
            defer { scratch.deallocate() }
            sdk_merge_tokens(x.bytes, places, y, type, batch, tokens, left, channels, scratch)
          }
        }
        var sums = [Double](repeating: 0, count: batch * left * channels)
        var counts = [Double](repeating: 0, count: batch * left)
        let values = x.values
        for token in 0..<batch * tokens {
          let row = token / tokens * left + Int(places[token])
          counts[row] += 1
          for c in 0..<channels { sums[row * channels + c] += Double(values[token * channels + c]) }
        }
        let means = sums.indices.map { sums[$0] / counts[$0 / channels] }
        #expect(relativeError(merged.values, means) < (type == SDK_F32 ? 1e-6 : 0x1p-8))

        let back = isa.using {
          Stored(count: batch * tokens * channels, type) { y in
            sdk_unmerge_tokens(
              merged.bytes, places, residual.bytes, y, type, batch, tokens, left, channels)
          }
        }
        let (rows, others) = (merged.values, residual.values)
        let expected = (0..<batch * tokens * channels).map { index in
          let token = index / channels
          let row = token / tokens * left + Int(places[token])
          return Double(others[index]) + Double(rows[row * channels + index % channels])
        }
        #expect(relativeError(back.values, expected) < (type == SDK_F32 ? 1e-6 : 0x1p-8))
      }
    }

    // MARK: In the UNet

    static func unet(
      merging thousandths: Int, sizes: Sizes = ExecutableTests.sizes
    ) throws -> Executable {
      try GoldenTests.executable(.unet, .unet, sizes: sizes) {
        try #require($0.mergingTokens(thousandths: thousandths))
      }
    }

    /// Against diffusers' UNet with merging written next to it in torch (Oracle/token_merging.py).
    @Test(arguments: [250, 500, 750])
    func unet(merging thousandths: Int) throws {
      let golden = try Golden(path: Fixtures.path("engine/token-merging.safetensors"))
      let unet = try Self.unet(merging: thousandths)
      for timestep in ["0", "321"] {
        let inputs = try ExecutableTests.inputs(timestep: #require(Float(timestep)))
        let output = try unet.run(inputs)["out_sample"]
        try #expect(
          relativeError(output, golden.value("out_\(thousandths)_\(timestep)")) < 1e-5)
      }
      let odd = try Golden(path: Fixtures.path("engine/odd-sizes.safetensors"))
      let output = try unet.run([
        "sample": odd.value("sample"), "encoder_hidden_states": odd.value("states"),
        "timestep": Value([700], shape: [1]),
      ])["out_sample"]
      try #expect(relativeError(output, golden.value("odd_\(thousandths)")) < 1e-5)
    }

    /// Five self-attentions are at the highest resolution of SD v1.5's UNet, three of the small
    /// one.
    @Test func changesTheHighestResolutionAlone() throws {
      let graph = try ExecutableTests.unet().graph
      let merging = try #require(graph.mergingTokens(thousandths: 500))
      func count(_ kind: String) -> Int { merging.nodes.count { $0.operation.kind == kind } }
      #expect(count("match_tokens") == 3)
      #expect(count("merge_tokens") == 3)
      #expect(count("unmerge_tokens") == 3)
      #expect(merging.nodes.count == graph.nodes.count + 6)
      #expect(merging.parameters == graph.parameters)
      let whole = LayerCost.total(graph.costs(ExecutableTests.sizes))
      #expect(LayerCost.total(merging.costs(ExecutableTests.sizes)).macs < whole.macs)
      let decoder = try GoldenTests.executable(
        .vae, .vaeDecoder, sizes: ExecutableTests.sizes
      ).graph
      #expect(decoder.mergingTokens(thousandths: 500) == nil)
    }
  }
}

extension EngineTests.MergingTests.Case {
  /// The kernel's result.
  fileprivate func places(_ x: UnsafeRawPointer, _ type: sdk_type) -> [Int32] {
    var places = [Int32](repeating: .min, count: batch * tokens)
    places.withUnsafeMutableBufferPointer { places in
      var form = sdk_matching_form(
        x: x, type: type, batch: batch, height: height, width: width, channels: channels,
        merged: merged, seed: seed, places: places.baseAddress, scratch: nil)
      let scratch = UnsafeMutableRawPointer.allocate(
        byteCount: sdk_matching_scratch(&form, sdk_threads()), alignment: 64)
      defer { scratch.deallocate() }
      form.scratch = scratch
      sdk_match_tokens(&form)
    }
    return places
  }

  /// Of one sample.
  fileprivate func expected(_ x: [Float]) -> [Int32] {
    var destinations: [Int] = []
    let columns = (width + 1) / 2
    for window in 0..<(height + 1) / 2 * columns {
      var z = seed &* 0x9e37_79b1 &+ UInt32(window)
      z = (z ^ (z >> 16)) &* 0x7feb_352d
      z = (z ^ (z >> 15)) &* 0x846c_a68b
      z = seed == 0 ? 0 : z ^ (z >> 16)
      let (row, column) = (window / columns * 2, window % columns * 2)
      destinations.append(
        (row + (z & 2 != 0 && row + 1 < height ? 1 : 0)) * width + column
          + (z & 1 != 0 && column + 1 < width ? 1 : 0))
    }
    func likeness(_ a: Int, _ b: Int) -> Double {
      var (product, first, second) = (0.0, 0.0, 0.0)
      for c in 0..<channels {
        let (p, q) = (Double(x[a * channels + c]), Double(x[b * channels + c]))
        product += p * q
        first += p * p
        second += q * q
      }
      return product / (first * second).squareRoot()
    }
    let others = (0..<tokens).filter { !destinations.contains($0) }
    let nearest = others.map { other in
      destinations.map { (likeness: likeness(other, $0), destination: $0) }
        .max { $0.likeness < $1.likeness } ?? (likeness: 0, destination: 0)
    }
    let order = others.indices.sorted { nearest[$0].likeness > nearest[$1].likeness }
    let gone = Dictionary(
      uniqueKeysWithValues: order.prefix(merged).map { (others[$0], nearest[$0].destination) })
    var places = [Int32](repeating: 0, count: tokens)
    var next: Int32 = 0
    for token in 0..<tokens where gone[token] == nil {
      places[token] = next
      next += 1
    }
    for (token, destination) in gone { places[token] = places[destination] }
    return places
  }
}
