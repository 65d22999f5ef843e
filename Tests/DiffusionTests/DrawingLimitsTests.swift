import Checkpoint
import Diffusion
import Foundation
import ModelFormats
import TestSupport
import Testing

/// Checks of requests by configurations alone.
@Suite struct DrawingLimitsTests {
  @Test func theCheckpointSaysWhatTheModelSays() throws {
    let checkpoint = try ModelCheckpoint.open(Fixtures.path("shapes-v2"))
    let (early, late) = (try DrawingLimits(of: checkpoint), try GenerationTests.model.get().limits)
    #expect(early.scheduler == late.scheduler)
    #expect(early.textLayers == late.textLayers && early.textLayers == 4)
    #expect(early.latentChannels == late.latentChannels)
    #expect(early.unetChannels == late.unetChannels)
    #expect(early.defaultSide == late.defaultSide && early.defaultSide == 128)
    #expect(early.readsPictures && late.readsPictures)
  }

  @Test func inpaintingModelsWantAMask() throws {
    let sound = try GenerationTests.model.get()
    let limits = DiffusionModel(
      tokenizer: sound.tokenizer, textEncoder: sound.textEncoder, unet: sound.unet,
      codec: sound.codec, scheduler: sound.scheduler, sampleSize: 16, unetChannels: 9
    ).limits
    let none = #expect(throws: GenerationError.self) { try limits.check(GenerationTests.small) }
    #expect(none?.hint?.mentions(.initialPicture) == true)
    let unmasked = #expect(throws: GenerationError.self) {
      try limits.check(InitialPictureTests.small(strength: 1))
    }
    #expect(unmasked?.hint?.mentions(.mask) == true)
    try limits.check(InitialPictureTests.small(strength: 1, mask: InitialPictureTests.rightHalf))
  }

  /// Without the VAE's encoder there is neither img2img nor hires fix.
  @Test func picturesWantAnEncoder() throws {
    let sound = try GenerationTests.model.get()
    let codec = LatentCodec(decoder: sound.codec.decoder, scale: sound.codec.scale)
    let limits = DiffusionModel(
      tokenizer: sound.tokenizer, textEncoder: sound.textEncoder, unet: sound.unet, codec: codec,
      scheduler: sound.scheduler, sampleSize: 16
    ).limits
    var request = GenerationTests.small
    try limits.check(request)
    request.hiresPass = HiresPass(scale: 2, steps: 4)
    for request in [request, try InitialPictureTests.small(strength: 1)] {
      let error = #expect(throws: GenerationError.self) { try limits.check(request) }
      #expect(error?.message.contains("no VAE encoder") == true)
    }
  }

  @Test(arguments: [0, -1, 1001, 5000])
  func stepsMustBeThere(steps: Int) throws {
    let limits = try GenerationTests.model.get().limits
    var request = GenerationTests.small
    request.steps = steps
    let error = #expect(throws: GenerationError.self) { try limits.check(request) }
    #expect(error?.code == .request && error?.hint?.contains("1 to 1000") == true)
    request.steps = 4
    request.hiresPass = HiresPass(scale: 2, steps: steps)
    #expect(throws: GenerationError.self) { try limits.check(request) }
  }

  /// If only the noise gives the size, the second pass has that size times the scale.
  @Test func noiseSaysTheSizeOfTheSecondPass() throws {
    let limits = try GenerationTests.model.get().limits
    var request = GenerationTests.small
    (request.width, request.height) = (nil, nil)
    request.noise = Latents([Float](repeating: 0, count: 4 * 8 * 200), shape: [1, 4, 8, 200])
    request.hiresPass = HiresPass(scale: 5)
    try limits.check(request)
    request.hiresPass = HiresPass(scale: 6)
    let error = #expect(throws: GenerationError.self) { try limits.check(request) }
    #expect(error?.message.contains("9600") == true)
  }
}
