import Diffusion
import Foundation
import ModelFormats
import Pictures
import TestSupport
import Testing

/// Views of an image in progress.
@Suite(.serialized) struct WatchingTests {
  /// If the last step ends at zero noise, its prediction is the finished latents.
  @Test(arguments: [SchedulerDescriptor.euler, .dpmppMultistep, .lms])
  func theLastPredictionIsThePicture(_ scheduler: SchedulerDescriptor) throws {
    var request = GenerationTests.small
    request.scheduler = scheduler
    request.steps = 5
    let (steps, generation) = try GenerationTests.model.get().steps(request)
    let predictions = steps.compactMap(\.prediction)
    #expect(predictions.count == 5)
    if scheduler != .lms {
      #expect(
        Difference.relative(predictions[4].picture.values, generation.latents.values) < 1e-4)
    }
    // Noise decreases at each step, and so does the distance from the finished image.
    let sigmas = predictions.map(\.sigma)
    #expect(sigmas == sigmas.sorted(by: >) && sigmas[0] > 10)
    let errors = predictions.map {
      Difference.relative($0.picture.values, generation.latents.values)
    }
    #expect(errors[4] < errors[0] / 2)
  }

  /// A linear map is recovered.
  @Test func projectionsAreFitted() {
    let latents = Latents(
      (0..<4 * 64).map { Float(($0 * 7919) % 101) / 60 - 0.8 }, shape: [1, 4, 8, 8])
    let weights: [[Float]] = [
      [30, 10, 0], [-20, 25, 5], [0, -15, 40], [12, 0, -9], [120, 130, 125],
    ]
    var pixels: [UInt8] = []
    for row in 0..<64 {
      for column in 0..<64 {
        for channel in 0..<3 {
          let place = row / 8 * 8 + column / 8
          let value = (0..<4).reduce(weights[4][channel]) {
            $0 + weights[$1][channel] * latents.values[$1 * 64 + place]
          }
          pixels.append(UInt8(value.rounded()))
        }
      }
    }
    let image = Image(width: 64, height: 64, pixels: pixels)
    let preview = LatentProjection(fitting: latents, to: image).image(of: latents)
    #expect((preview.width, preview.height) == (8, 8))
    for place in 0..<64 {
      for channel in 0..<3 {
        let exact = image.pixels[3 * (place / 8 * 8 * 64 + place % 8 * 8) + channel]
        #expect(abs(Int(preview.pixels[3 * place + channel]) - Int(exact)) <= 2)
      }
    }
  }

  /// Latents of Stable Diffusion 1: gray if they are 0, and never beyond a byte.
  @Test func theKnownProjection() {
    let zero = LatentProjection.stableDiffusion.image(
      of: Latents([0, 0, 0, 0], shape: [1, 4, 1, 1]))
    #expect(zero.pixels == [125, 120, 114])
    let loud = LatentProjection.stableDiffusion.image(
      of: Latents([90, -90, .nan, 1e30], shape: [1, 4, 1, 1]))
    #expect(loud.pixels.count == 3)
  }

  @Test(arguments: [(1, [0]), (3, [0, 1, 2]), (8, Array(0..<8)), (0, [])])
  func shortRunsAreShownWhole(total: Int, chosen: [Int]) {
    #expect(ContactSheet.evaluations(of: total) == chosen)
  }

  @Test(arguments: [9, 20, 21, 50, 1000])
  func chosenSteps(total: Int) {
    let chosen = ContactSheet.evaluations(of: total)
    #expect(chosen.count == 8)
    #expect(chosen.first == 0 && chosen.last == total - 1)
    #expect(zip(chosen, chosen.dropFirst()).allSatisfy { $0 < $1 })
  }

  @Test(arguments: [
    ContactSheet.Row.standard, [.latents, .decoded, .predicted, .noise], [.noise],
  ])
  func sheetsOfAnyShape(rows: [ContactSheet.Row]) throws {
    var configuration = try SchedulerConfiguration(SchedulerTests.stableDiffusion)
    configuration.stepsOffset = 0
    let scheduler = try configuration.scheduler(.ddim, steps: 10)
    for (width, height) in [(64, 64), (512, 128), (8, 80)] {
      let latents = Latents(
        [Float](repeating: 0.5, count: 4 * width * height / 64),
        shape: [1, 4, height / 8, width / 8])
      func image(_ level: UInt8) -> Image {
        Image(
          width: width, height: height,
          pixels: [UInt8](repeating: level, count: 3 * width * height))
      }
      let entry = ContactSheet.Entry(
        evaluation: 1,
        Prediction(scheduler, at: 0, latents: latents, output: latents.values, type: .epsilon),
        picture: image(200), decoded: image(201))
      let sheet = try #require(ContactSheet([entry, entry], rows: rows).image())
      let tile = PictureGrid.tileSize(width: width, height: height)
      #expect(sheet.width > 2 * tile.width && sheet.height > rows.count * tile.height)
      // The labels are there, and the images of these rows only.
      #expect(sheet.pixels.contains(222))
      #expect(sheet.pixels.contains(200) == rows.contains(.predicted))
      #expect(sheet.pixels.contains(201) == rows.contains(.decoded))
    }
    #expect(ContactSheet([]).image() == nil)
  }

  @Test func rowsOfSheets() {
    #expect(ContactSheet.Row.list("noise,latents") == [.noise, .latents])
    for text in ["", "latents,", "latents,latents", "pictures", "latents, noise"] {
      #expect(ContactSheet.Row.list(text) == nil)
    }
  }

  static var frames: [Animation.Frame] {
    (0..<3).map { index in
      Animation.Frame(
        Image(
          width: 16, height: 8, pixels: (0..<384).map { UInt8(($0 * (index + 3)) % 256) }),
        milliseconds: 100)
    }
  }

  /// Chunks in the order and with the sequence numbers of the specification; programs without
  /// animation support show the first frame.
  @Test func animatedPNG() throws {
    let bytes = try Animation(Self.frames).encode(as: PictureFile.Compression(.png))
    #expect(try PNG.decode(bytes).image == Self.frames[0].image)
    var names: [String] = []
    var sequence: [UInt32] = []
    var position = 8
    while position < bytes.count {
      let length = bytes[position..<position + 4].reduce(0) { $0 << 8 | Int($1) }
      let name = String(decoding: bytes[position + 4..<position + 8], as: UTF8.self)
      let body = bytes[position + 8..<position + 8 + length]
      let checksum = bytes[(position + 8 + length)..<(position + 12 + length)]
        .reduce(0) { $0 << 8 | UInt32($1) }
      #expect(CRC32.of(bytes[position + 4..<position + 8 + length]) == checksum)
      if name == "fcTL" || name == "fdAT" {
        sequence.append(body.prefix(4).reduce(0) { $0 << 8 | UInt32($1) })
      }
      names.append(name)
      position += 12 + length
    }
    #expect(names == ["IHDR", "acTL", "fcTL", "IDAT", "fcTL", "fdAT", "fcTL", "fdAT", "IEND"])
    #expect(sequence == [0, 1, 2, 3, 4])
  }

  @Test func animatedWebP() throws {
    let bytes = try Animation(Self.frames).encode(as: PictureFile.Compression(.webp))
    #expect(PictureFormat(content: bytes) == .webp)
    let error = #expect(throws: FormatError.self) { try PictureFile(decoding: bytes) }
    #expect(error?.message.contains("animat") == true)
    #expect(throws: FormatError.self) {
      try Animation(Self.frames).encode(as: PictureFile.Compression(.jpeg))
    }
  }

  /// Both kinds as Pillow reads them, frame by frame.
  @Test(.python("PIL")) func pillowReadsAnimations() throws {
    let python = try #require(Tool.python)
    try withTemporaryFolder { folder in
      let expected = Self.frames.map { $0.image.pixels.reduce(0) { $0 + Int($1) } }
      for (format, name) in [(PictureFormat.png, "a.png"), (.webp, "a.webp")] {
        let bytes = try Animation(Self.frames).encode(as: PictureFile.Compression(format))
        try Data(bytes).write(to: URL(filePath: "\(folder)/\(name)"))
        let result = try Tool.launch(
          python,
          [
            "-c",
            "import sys; from PIL import Image, ImageSequence as s; "
              + "print([sum(f.convert('RGB').tobytes()) for f in s.Iterator(Image.open(sys.argv[1]))])",
            "\(folder)/\(name)",
          ])
        #expect(result.output == "\(expected)\n", "\(result.errors)")
      }
    }
  }
}
