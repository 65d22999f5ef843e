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
      /// How far scores spread: the online softmax must rescale when later keys score higher.
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
      // Weights relative to the highest score of the first keys would be beyond all floats.
      Case(queries: 40, keys: 500, size: 40, spread: 200),
    ]

    @Test(arguments: InstructionSet.available, cases)
    func attention(_ isa: InstructionSet, _ form: Case) {
      for type in [SDK_F32, SDK_BF16] {
        var random = SplitMix(seed: 6)
        // Rows further apart than they are long, as in a merged projection.
        let width = form.heads * form.size
        let stride = width + 6
        let q = Stored(
          random.normals(form.batch * form.queries * stride, deviation: form.spread), type)
        let k = Stored(random.normals(form.batch * form.keys * stride), type)
        let v = Stored(random.normals(form.batch * form.keys * stride), type)
        let scale = 1 / Double(form.size).squareRoot()
        let y = isa.using {
          Stored(count: form.batch * form.queries * width, type) { y in
            let scratch = UnsafeMutableRawPointer.allocate(
              byteCount: sdk_attention_scratch(form.keys, form.size, sdk_threads()),
              alignment: 64)
            defer { scratch.deallocate() }
            var kernel = sdk_attention_form(
              q: q.bytes, k: k.bytes, v: v.bytes, y: y, type: type, batch: form.batch,
              queries: form.queries, keys: form.keys, heads: form.heads, size: form.size,
              q_stride: stride, k_stride: stride, v_stride: stride, y_stride: width,
              scale: scale, causal: form.causal ? 1 : 0, scratch: scratch)
            sdk_attention(&kernel)
          }
        }
        let expected = form.expected(q.values, k.values, v.values, stride, scale)
        // Scores of size s carry rounding errors of about s * 2^-24, which the exponential keeps.
        let bound = type == SDK_F32 ? 1e-6 * max(1, form.spread / 2) : 0x1p-8
        #expect(relativeError(y.values, expected) < bound)
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
