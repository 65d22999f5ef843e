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

  /// Other programs write half precision.
  @Test func halfPrecision() throws {
    try Self.withDirectory { directory in
      let path = directory + "/latents.safetensors"
      let values: [Float16] = [1.5, -0.25, 3, 0]
      let bytes = values.withUnsafeBytes { Array($0) }
      let tensor = Tensor(
        name: "any", dtype: .float16, shape: [1, 4, 1, 1], storage: .memory(bytes))
      try Safetensors.write([tensor], to: path)
      #expect(try Latents(noiseAt: path).values == [1.5, -0.25, 3, 0])
      #expect(try SavedLatents(at: path).latents.values == [1.5, -0.25, 3, 0])
    }
  }

  /// ComfyUI's files contain the VAE's own latents, marked by an empty tensor; its first ones did not.
  @Test(arguments: [true, false]) func comfyUI(isMarked: Bool) throws {
    try Self.withDirectory { directory in
      let path = directory + "/a.latent"
      var tensors = [
        Tensor(name: "latent_tensor", shape: [1, 4, 1, 1], values: [1, 2, 3, 4] as [Float])
      ]
      if isMarked {
        tensors.append(
          Tensor(name: "latent_format_version_0", shape: [0], values: [] as [Float]))
      }
      try Safetensors.write(tensors, to: path)
      let saved = try SavedLatents(at: path)
      #expect(saved.isUnscaled == isMarked && saved.name == "latent_tensor")
      let picture = saved.picture(0, LatentScale(factor: 0.5, shift: 1))
      #expect(picture.values == (isMarked ? [0, 0.5, 1, 1.5] : [1, 2, 3, 4]))
    }
  }

  @Test(
    arguments: [
      ("latents", DType.float32, [4, 2, 2], Float(0)),
      ("latents", .int32, [1, 4, 2, 2], 0), ("latents", .float32, [1, 4, 0, 2], 0),
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
