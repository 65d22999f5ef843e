import Diffusion
import Foundation
import ModelFormats
import TestSupport
import Testing

@Suite struct LatentsTests {
  static func withDirectory(_ body: (String) throws -> Void) throws {
    let directory = FileManager.default.temporaryDirectory.path + "/latents-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    try body(directory)
  }

  @Test func roundTrip() throws {
    try Self.withDirectory { directory in
      var random = TorchRandom(seed: 3)
      let pictures = (0..<2).map { _ in
        let values = random.normal(count: 2 * 4 * 3 * 5)
        return (
          noise: Latents(Array(values[..<60]), shape: [1, 4, 3, 5]),
          latents: Latents(Array(values[60...]), shape: [1, 4, 3, 5])
        )
      }
      let path = directory + "/latents.safetensors"
      try Latents.write(pictures, to: path)
      let tensors = try TestTensors(path: path)
      #expect(tensors["latents"].shape == [2, 4, 3, 5])
      #expect(tensors["latents"].floats == pictures.flatMap(\.latents.values))
      // The returned noise generates the same image.
      let noise = try Latents(noiseAt: path)
      #expect(noise.picture(0) == pictures[0].noise)
      #expect(noise.picture(1) == pictures[1].noise)
      #expect(throws: FormatError.self) { try Latents.write(pictures, to: path) }
    }
  }

  @Test(
    arguments: [
      ("latents", DType.float32, [4, 2, 2], Float(0)),
      ("latents", .float16, [1, 4, 2, 2], 0), ("latents", .float32, [1, 4, 0, 2], 0),
      ("latents", .float32, [1, 4, 2, 2], .nan),
    ] as [(String, DType, [Int], Float)])
  func refused(name: String, dtype: DType, shape: [Int], value: Float) throws {
    try Self.withDirectory { directory in
      let path = directory + "/latents.safetensors"
      let count = shape.reduce(1, *)
      let bytes = [Float](repeating: value, count: count).withUnsafeBytes { Array($0) }
      let tensor = Tensor(
        name: name, dtype: dtype, shape: Shape(shape),
        storage: .memory(Array(bytes.prefix(count * dtype.bitWidth / 8))))
      try Safetensors.write([tensor], to: path)
      let error = #expect(throws: FormatError.self) { try Latents(noiseAt: path) }
      #expect(error?.code == .mismatch)
    }
  }
}
