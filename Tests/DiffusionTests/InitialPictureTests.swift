import Diffusion
import Engine
import Foundation
import ModelFormats
import OrderedJSON
import Pictures
import TestSupport
import Testing

/// Image-to-image and inpainting on the bundled model, against diffusers' pipelines
/// (Fixtures/images/make.py).
@Suite(.serialized) struct InitialPictureTests {
  struct Reference: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let json: JSON

    static let all: [Reference] = {
      let text = try? String(
        contentsOfFile: Fixtures.path("pictures/drawn.json"), encoding: .utf8)
      let rows = text.flatMap { try? JSON(parsing: $0) }?.array ?? []
      return rows.map { Reference(testDescription: $0["name"]?.string ?? "", json: $0) }
    }()

    func request() throws -> GenerationRequest {
      var request = GenerationRequest(prompt: json["prompt"]?.string ?? "")
      request.seed = UInt64(json["seed"]?.int ?? 0)
      request.steps = json["steps"]?.int ?? 0
      request.guidanceScale = Float(json["guidance"]?.double ?? 0)
      request.scheduler = SchedulerDescriptor(name: json["scheduler"]?.string ?? "")
      let width = json["width"]?.int ?? 0
      let height = json["height"]?.int ?? 0
      func picture(_ name: String) throws -> Image {
        try PictureFile.read(Fixtures.path("pictures/\(name)")).image
          .resized(width: width, height: height)
      }
      request.initial = InitialPicture(
        try picture("source.png"), strength: json["strength"]?.double ?? 0,
        mask: json["mask"] == true ? Mask(try picture("mask.png")) : nil)
      return request
    }
  }

  @Test func referencesAreThere() {
    #expect(Reference.all.count == 20)
  }

  @Test(arguments: Reference.all)
  func matchesTheReference(_ reference: Reference) throws {
    let file = try TensorFile.open(Fixtures.path("pictures/drawn.safetensors"))
    let golden = try #require(file["\(reference.testDescription)/image"])
    let shape = golden.shape.dimensions
    let expected = golden.withContiguousBytes { bytes in
      Image(width: shape[1], height: shape[0], pixels: Array(bytes))
    }
    let latents = try #require(file["\(reference.testDescription)/latents"])
    let values = latents.withContiguousBytes { bytes in
      (0..<latents.elementCount).map {
        bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self)
      }
    }
    let generation = try GenerationTests.model.get().draw(reference.request())
    #expect(Difference.relative(generation.latents.values, values) < 1e-3)
    let ratio = peakSignalToNoise(generation.image, expected)
    #expect(ratio > 50, "\(ratio) dB")
  }

  static func small(strength: Double, mask: Mask? = nil) throws -> GenerationRequest {
    var request = GenerationTests.small
    request.steps = 4
    request.initial = InitialPicture(
      try PictureFile.read(Fixtures.path("pictures/source.png")).image.resized(
        width: 64, height: 64),
      strength: strength, mask: mask)
    return request
  }

  @Test func strengthDecidesTheSteps() throws {
    let model = try GenerationTests.model.get()
    for (strength, steps) in [(0.25, 1), (0.5, 2), (1.0, 4)] {
      let generation = try model.draw(Self.small(strength: strength))
      #expect(generation.timings.unet.count == steps)
    }
    let error = #expect(throws: GenerationError.self) {
      try model.draw(Self.small(strength: 0.2))
    }
    #expect(error?.code == .request)
  }

  /// If nothing is inpainted, only the autoencoder changes the image.
  @Test func whatIsKeptStays() throws {
    let model = try GenerationTests.model.get()
    let kept = try model.draw(
      Self.small(strength: 0.75, mask: .keeping(width: 64, height: 64)))
    let passed = try model.draw(
      Self.small(strength: 0.25, mask: .keeping(width: 64, height: 64)))
    #expect(kept.latents == passed.latents)
    let free = try model.draw(Self.small(strength: 0.75))
    #expect(free.latents != kept.latents)
  }

  @Test func sizesMustFit() throws {
    let model = try GenerationTests.model.get()
    var request = try Self.small(strength: 1)
    request.width = 72
    let error = #expect(throws: GenerationError.self) { try model.draw(request) }
    #expect(error?.code == .request)
    var odd = try Self.small(strength: 1)
    (odd.width, odd.height) = (nil, nil)
    odd.initial = InitialPicture(
      Image(width: 37, height: 23, pixels: [UInt8](repeating: 9, count: 3 * 37 * 23)))
    #expect(throws: GenerationError.self) { try model.draw(odd) }
  }

  /// The second pass is img2img from the first pass's image, enlarged.
  @Test func hiresPass() throws {
    let model = try GenerationTests.model.get()
    var request = GenerationTests.small
    request.hiresPass = HiresPass(scale: 1.6, strength: 0.5, steps: 4)
    let (steps, drawn) = try model.steps(request)
    #expect(steps.filter { $0.stage == .encoding }.map(\.pass) == [1, 2])
    #expect(steps.count { $0.stage == .finished } == 1)
    #expect((drawn.image.width, drawn.image.height) == (96, 96))
    #expect(drawn.timings.unet.count == 2 + 2)
    var second = GenerationTests.small
    let first = try model.draw(second)
    (second.width, second.height, second.steps) = (nil, nil, 4)
    second.initial = InitialPicture(first.image.resized(width: 96, height: 96), strength: 0.5)
    #expect(try model.draw(second).image == drawn.image)
    #expect(drawn.noise == first.noise)
    request.hiresPass = HiresPass(scale: 200)
    #expect(throws: GenerationError.self) { try model.draw(request) }
  }

  static let rightHalf = Mask(
    width: 64, height: 64, isRepainted: (0..<64 * 64).map { $0 % 64 >= 32 })

  /// The second pass keeps what the first one kept.
  @Test func enlargementKeepsTheMask() throws {
    let model = try GenerationTests.model.get()
    let plain = try Self.small(strength: 0.75, mask: Self.rightHalf)
    var request = plain
    request.hiresPass = HiresPass(scale: 1.5, strength: 0.75)
    let drawn = try model.draw(request)
    let first = try model.draw(plain)
    var second = plain
    (second.width, second.height) = (96, 96)
    second.initial = InitialPicture(
      first.image.resized(width: 96, height: 96), strength: 0.75,
      mask: Mask(width: 96, height: 96, isRepainted: (0..<96 * 96).map { $0 % 96 >= 48 }))
    #expect(try model.draw(second).image == drawn.image)
    second.initial?.mask = nil
    #expect(try model.draw(second).image != drawn.image)
  }

  /// The kept area is pasted over the result, blended where the mask is gray; latents and the
  /// generated area are unaffected.
  @Test func whatIsKeptIsPutBack() throws {
    let model = try GenerationTests.model.get()
    var request = try Self.small(strength: 0.75, mask: Self.rightHalf)
    let source = try #require(request.initial).image
    let drawn = try model.draw(request)
    let ramp = Coverage(
      width: 64, height: 64,
      shares: (0..<64 * 64).map { UInt8(max(0, min(255, ($0 % 64 - 24) * 16))) })
    request.initial?.coverage = ramp
    let pasted = try model.draw(request)
    #expect(pasted.latents == drawn.latents)
    #expect(pasted.image != drawn.image)
    for index in source.pixels.indices {
      let share = Int(ramp.shares[index / 3])
      let mean =
        Double(share) / 255 * Double(drawn.image.pixels[index])
        + Double(255 - share) / 255 * Double(source.pixels[index])
      #expect(abs(Double(pasted.image.pixels[index]) - mean) <= 0.501)
      if share == 0 { #expect(pasted.image.pixels[index] == source.pixels[index]) }
      if share == 255 { #expect(pasted.image.pixels[index] == drawn.image.pixels[index]) }
    }
    // With two passes: the second pass's image, and the enlarged original.
    request.hiresPass = HiresPass(scale: 1.5, strength: 0.75)
    let large = try model.draw(request).image
    request.initial?.coverage = nil
    let plain = try model.draw(request).image
    #expect(
      large
        == ramp.resized(width: 96, height: 96).blended(
          plain, over: source.resized(width: 96, height: 96)))
    #expect(large != plain)
  }

  @Test func coverage() {
    let mask = Image(width: 2, height: 1, pixels: [0, 0, 0, 200, 200, 200])
    let coverage = Coverage(mask)
    #expect(coverage.shares == [0, 200])
    let padded = coverage.padded(Image.Padding(left: 1, top: 0, right: 0, bottom: 1))
    #expect(padded == Coverage(width: 3, height: 2, shares: [255, 0, 200, 255, 255, 255]))
    let (drawn, other) = (
      Image(width: 2, height: 1, pixels: [9, 9, 9, 255, 0, 100]),
      Image(width: 2, height: 1, pixels: [1, 2, 3, 0, 255, 100])
    )
    #expect(coverage.blended(drawn, over: other).pixels == [1, 2, 3, 200, 55, 100])
    #expect(coverage.resized(width: 2, height: 1) == coverage)
    // Away from a hard edge, pixels are fully kept or fully generated, at any size.
    let edge = Coverage(width: 16, height: 8, shares: (0..<128).map { $0 % 16 < 8 ? 0 : 255 })
    for scale in [2, 3] {
      let large = edge.resized(width: 16 * scale, height: 8 * scale)
      for (index, share) in large.shares.enumerated() {
        let column = index % (16 * scale)
        if column < 5 * scale { #expect(share == 0) }
        if column >= 11 * scale { #expect(share == 255) }
      }
    }
    #expect(Coverage.nothing(width: 2, height: 1).blended(drawn, over: other) == other)
  }

  /// The suggested scale works.
  @Test func leastScales() {
    for side in stride(from: 8, to: 8192, by: 8) {
      let scale = HiresPass.leastScale(of: side) ?? 0
      #expect(HiresPass(scale: scale).side(side) == side + 8)
    }
    #expect(HiresPass.leastScale(of: 8192) == nil)
  }

  /// An impossible second pass is rejected before the first is run.
  @Test func enlargementIsCheckedFirst() throws {
    let model = try GenerationTests.model.get()
    var request = GenerationTests.small
    for hiresPass in [
      HiresPass(scale: 2, strength: 0.1, steps: 4), HiresPass(scale: 2, steps: 5000),
    ] {
      request.hiresPass = hiresPass
      let error = #expect(throws: GenerationError.self) {
        try GenerationLoop(model, [request])
      }
      #expect(error?.code == .request)
    }
  }

  /// An inpainting UNet's extra inputs: the mask, then the latents of the kept area.
  @Test func inpaintingModelsSeeTheMask() throws {
    let sound = try GenerationTests.model.get()
    let watcher = Watcher(sound.unet)
    let model = DiffusionModel(
      tokenizer: sound.tokenizer, textEncoder: sound.textEncoder, unet: watcher,
      codec: sound.codec, scheduler: sound.scheduler, sampleSize: 16, unetChannels: 9)
    _ = try model.draw(Self.small(strength: 1, mask: Self.rightHalf))
    let sample = try #require(watcher.samples.first)
    #expect(sample.shape == [2, 9, 8, 8])
    let plane = 64
    let mask = Array(sample.reals[4 * plane..<5 * plane])
    #expect(mask == (0..<plane).map { $0 % 8 >= 4 ? 1 : 0 })
    // Both images of a guided batch see the same, and every step too.
    let extra = Array(sample.reals[4 * plane..<9 * plane])
    #expect(extra == Array(sample.reals[(9 + 4) * plane..<18 * plane]))
    #expect(watcher.samples.allSatisfy { Array($0.reals[4 * plane..<9 * plane]) == extra })
    var enlarged = try Self.small(strength: 1, mask: Self.rightHalf)
    enlarged.hiresPass = HiresPass(scale: 1.5, strength: 0.5)
    _ = try model.draw(enlarged)
    let larger = try #require(watcher.samples.last)
    #expect(larger.shape == [2, 9, 12, 12])
    #expect(
      Array(larger.reals[4 * 144..<5 * 144]) == (0..<144).map { $0 % 12 >= 6 ? 1 : 0 })
    let error = #expect(throws: GenerationError.self) { try model.draw(GenerationTests.small) }
    #expect(error?.code == .request)
  }
}
