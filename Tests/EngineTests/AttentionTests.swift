import CKernels
import Glibc
import Testing

extension EngineTests {
  /// Tiled attention at each instruction set against softmax in double.
  struct AttentionTests {
    struct Case: Sendable, CustomTestStringConvertible {
      var batch = 1
      let queries: Int
      let keys: Int
      var heads = 1
      let size: Int
      var causal = false
      /// The spread of scores: the online softmax must rescale when later keys score higher.
      var spread = 1.0

      var testDescription: String {
        "\(batch)x\(queries)x\(keys), \(heads) heads of \(size)\(causal ? ", causal" : "")"
          + (spread == 1 ? "" : ", spread \(spread)")
      }
    }

    static let cases = [
      Case(queries: 1, keys: 1, size: 1),
      Case(queries: 3, keys: 5, heads: 2, size: 3),
      Case(batch: 2, queries: 64, keys: 48, heads: 2, size: 16),
      Case(batch: 2, queries: 65, keys: 49, heads: 3, size: 17),
      Case(queries: 130, keys: 77, heads: 2, size: 40),
      Case(batch: 2, queries: 77, keys: 77, heads: 2, size: 64, causal: true),
      Case(queries: 150, keys: 150, size: 8, causal: true, spread: 10),
      Case(queries: 33, keys: 200, heads: 2, size: 80, spread: 30),
      Case(queries: 20, keys: 100, size: 160),
      Case(queries: 70, keys: 300, size: 512),
      Case(queries: 20, keys: 4096, size: 40, spread: 4),
      // More queries than one tile has at any instruction set.
      Case(queries: 300, keys: 100, heads: 2, size: 40),
      Case(queries: 290, keys: 290, size: 6, causal: true),
      // Weights relative to the first keys' highest score would overflow float32.
      Case(queries: 40, keys: 500, size: 40, spread: 200),
    ]

    @Test(arguments: InstructionSet.available, cases)
    func attention(_ isa: InstructionSet, _ form: Case) {
      for type in [SDK_F32, SDK_BF16] {
        var random = SplitMix(seed: 6)
        // Rows with a stride larger than their length, as in a merged projection.
        let width = form.heads * form.size
        let stride = width + 6
        let q = Stored(
          random.normals(form.batch * form.queries * stride, deviation: form.spread), type)
        let k = Stored(random.normals(form.batch * form.keys * stride), type)
        let v = Stored(random.normals(form.batch * form.keys * stride), type)
        let scale = 1 / Double(form.size).squareRoot()
        let y = form.results(isa, q, k, v, type, stride, scale)
        let expected = form.expected(q.values, k.values, v.values, stride, scale)
        // Scores of size s carry rounding errors of about s * 2^-24, which the exponential keeps.
        let bound = type == SDK_F32 ? 1e-6 * max(1, form.spread / 2) : 0x1p-8
        #expect(relativeError(y.values, expected) < bound)
      }
    }

    /// A NaN query does not affect the others; a NaN key affects all.
    @Test(arguments: InstructionSet.available, [0, 61, 149])
    func notNumbers(_ isa: InstructionSet, _ place: Int) {
      let form = Case(queries: 150, keys: 150, size: 40)
      for type in [SDK_F32, SDK_BF16] {
        var random = SplitMix(seed: 8)
        let count = form.queries * form.size
        let (q, k, v) = (random.normals(count), random.normals(count), random.normals(count))
        let scale = 1 / Double(form.size).squareRoot()
        func results(_ q: [Float], _ k: [Float]) -> [Float] {
          form.results(
            isa, Stored(q, type), Stored(k, type), Stored(v, type), type, form.size, scale
          ).values
        }
        let sound = results(q, k)
        let row = place * form.size..<(place + 1) * form.size
        for value in [Float.nan, .infinity] {
          var spoilt = q
          spoilt[row.lowerBound] = value
          let y = results(spoilt, k)
          #expect(y[row].allSatisfy { $0.isNaN })
          #expect(y[..<row.lowerBound] == sound[..<row.lowerBound])
          #expect(y[row.upperBound...] == sound[row.upperBound...])
        }
        var spoilt = k
        spoilt[row.lowerBound] = .nan
        #expect(results(q, spoilt).allSatisfy { $0.isNaN })
      }
    }

    /// Scores beyond the exponential's precision give means of values, or NaN, never anything else.
    @Test(arguments: InstructionSet.available, [1e3, 1e8, 1e10, 1e12, 1e30])
    func scoresWithoutBounds(_ isa: InstructionSet, _ spread: Double) {
      let form = Case(queries: 70, keys: 300, size: 40)
      for type in [SDK_F32, SDK_BF16] {
        var random = SplitMix(seed: 9)
        let q = Stored(random.normals(form.queries * form.size, deviation: spread), type)
        let k = Stored(random.normals(form.keys * form.size), type)
        let v = Stored(random.normals(form.keys * form.size), type)
        let y = form.results(isa, q, k, v, type, form.size, 1).values
        let highest = v.values.max() ?? 0
        let lowest = v.values.min() ?? 0
        #expect(y.allSatisfy { $0.isNaN || (1.01 * lowest...1.01 * highest).contains($0) })
      }
    }
  }
}

extension EngineTests.AttentionTests.Case {
  fileprivate func results(
    _ isa: InstructionSet, _ q: Stored, _ k: Stored, _ v: Stored, _ type: sdk_type, _ stride: Int,
    _ scale: Double
  ) -> Stored {
    isa.using {
      Stored(count: batch * queries * heads * size, type) { y in
        let scratch = UnsafeMutableRawPointer.allocate(
          byteCount: sdk_attention_scratch(keys, size, sdk_threads()), alignment: 64)
        defer { scratch.deallocate() }
        var kernel = sdk_attention_form(
          q: q.bytes, k: k.bytes, v: v.bytes, y: y, type: type, batch: batch, queries: queries,
          keys: keys, heads: heads, size: size, q_stride: stride, k_stride: stride,
          v_stride: stride, y_stride: heads * size, scale: scale, causal: causal ? 1 : 0,
          scratch: scratch)
        sdk_attention(&kernel)
      }
    }
  }
}

extension EngineTests.AttentionTests.Case {
  fileprivate func expected(
    _ q: [Float], _ k: [Float], _ v: [Float], _ stride: Int, _ scale: Double
  ) -> [Double] {
    var y: [Double] = []
    for sample in 0..<batch {
      for query in 0..<queries {
        for head in 0..<heads {
          let seen = causal ? min(keys, query + 1) : keys
          let from = (sample * queries + query) * stride + head * size
          let scores = (0..<seen).map { key in
            let at = (sample * keys + key) * stride + head * size
            return (0..<size).reduce(0) { $0 + Double(q[from + $1]) * Double(k[at + $1]) } * scale
          }
          let highest = scores.max() ?? 0
          let weights = scores.map { exp($0 - highest) }
          let total = weights.reduce(0, +)
          y += (0..<size).map { c in
            zip(weights, 0..<seen).reduce(0) { sum, pair in
              let at = (sample * keys + pair.1) * stride + head * size
              return sum + pair.0 * Double(v[at + c])
            } / total
          }
        }
      }
    }
    return y
  }
}
