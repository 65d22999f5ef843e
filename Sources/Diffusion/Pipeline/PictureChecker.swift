import Checkpoint
import Engine
import ModelFormats
import ModelGraph
import OrderedJSON
import Pictures

/// What the safety checker found in a picture.
public struct SafetyVerdict: Sendable, Hashable {
  /// How far the picture is above the threshold of each concept; flagged where above 0.
  public let conceptScores: [Float]
  /// The same for what makes it look twice.
  public let specialCareScores: [Float]

  /// The concepts that the picture was found to show, by their rows in the checker's file.
  public var concepts: [Int] { conceptScores.indices.filter { conceptScores[$0] > 0 } }
  /// Whether it shows any; then a black picture is given out in its place.
  public var isFlagged: Bool { !concepts.isEmpty }
}

/// Stable Diffusion's safety checker: a vision model, and concepts to compare its view with.
///
/// Source: diffusers' `StableDiffusionSafetyChecker` and the feature extractor of CLIP.
package struct PictureChecker: Sendable {
  private let network: any Network
  private let side: Int
  private let preparation: Preparation
  private let concepts: Concepts
  private let specialCare: Concepts

  /// Unit vectors and their thresholds.
  struct Concepts: Sendable {
    let vectors: [[Float]]
    let thresholds: [Float]

    /// Cosine less threshold, rounded to thousandths as the reference does before it compares.
    func scores(of picture: [Float], adjustment: Float) -> [Float] {
      zip(vectors, thresholds).map { vector, threshold in
        let cosine = zip(vector, picture).reduce(Float(0)) { $0 + $1.0 * $1.1 }
        return ((cosine - threshold + adjustment) * 1000).rounded(.toNearestOrEven) / 1000
      }
    }
  }

  init(
    _ network: any Network, side: Int, preparation: Preparation, concepts: Concepts,
    specialCare: Concepts
  ) {
    self.network = network
    self.side = side
    self.preparation = preparation
    self.concepts = concepts
    self.specialCare = specialCare
  }

  /// Looks at a picture.
  ///
  /// - Throws: ``EngineError``; ``GenerationError`` where the network's view is not finite.
  package func check(
    _ image: Image, observer: ((StepTiming) -> Void)? = nil
  ) throws -> SafetyVerdict {
    let outputs = try network.run(
      ["clip_input": preparation.value(of: image, side: side)], inputVersions: [:],
      observer: observer)
    let view = try outputs.require("image_embeds").reals
    guard view.allSatisfy(\.isFinite) else {
      throw GenerationError(
        .notFinite, "the safety checker's output contains infinity or NaN",
        hint: "check the safety checker's weights, or generate with \(set: .safetyChecker, "off")")
    }
    return verdict(view)
  }

  /// The verdict on a picture's place among concepts.
  func verdict(_ view: [Float]) -> SafetyVerdict {
    let unit = Self.unit(view)
    var adjustment: Float = 0
    var special: [Float] = []
    // What needs care lowers the thresholds of what comes after.
    for index in specialCare.vectors.indices {
      let one = Concepts(
        vectors: [specialCare.vectors[index]], thresholds: [specialCare.thresholds[index]])
      special += one.scores(of: unit, adjustment: adjustment)
      if special[index] > 0 { adjustment = 0.01 }
    }
    return SafetyVerdict(
      conceptScores: concepts.scores(of: unit, adjustment: adjustment), specialCareScores: special)
  }

  static func unit(_ vector: [Float]) -> [Float] {
    let length = vector.reduce(Float(0)) { $0 + $1 * $1 }.squareRoot()
    return vector.map { $0 / max(length, 1e-12) }
  }
}

extension PictureChecker {
  /// How a picture is made ready for the vision model: CLIP's feature extractor.
  package struct Preparation: Sendable, Hashable {
    /// Pixels of the shorter side before the middle is cut out.
    var shortestSide = 224
    var mean: [Float] = [0.48145466, 0.4578275, 0.40821073]
    var deviation: [Float] = [0.26862954, 0.26130258, 0.27577711]

    package init() {}

    /// - Throws: ``FormatError`` `unsupported` naming a field that asks for something else.
    package init(_ object: JSONObject) throws(FormatError) {
      func failure(_ field: String) -> FormatError {
        FormatError(
          .unsupported,
          "\(field) is \(object[field]?.text(.compact) ?? "missing"), which is not supported",
          context: field, hint: "take the file from the model's own repository")
      }
      for field in ["do_resize", "do_center_crop", "do_normalize", "do_rescale"]
      where object[field]?.bool == false {
        throw failure(field)
      }
      if let resample = object["resample"], resample.int != 3 { throw failure("resample") }
      if let size = object["size"] {
        guard let side = size.int ?? size["shortest_edge"]?.int, (1...4096).contains(side) else {
          throw failure("size")
        }
        shortestSide = side
      }
      for (field, path) in [("image_mean", \Preparation.mean), ("image_std", \.deviation)] {
        guard let numbers = object[field] else { continue }
        let values = numbers.array?.compactMap { $0.double.map { Float($0) } } ?? []
        guard values.count == 3, values.allSatisfy(\.isFinite),
          field == "image_mean" || !values.contains(0)
        else { throw failure(field) }
        self[keyPath: path] = values
      }
    }

    /// `[1, 3, side, side]`: the middle of the picture, its shorter side first made shorter still.
    package func value(of image: Image, side: Int) -> Value {
      let shorter = min(image.width, image.height)
      let longer = shortestSide * max(image.width, image.height) / shorter
      let isWide = image.width > image.height
      var small = image.resampled(
        width: isWide ? longer : shortestSide, height: isWide ? shortestSide : longer,
        filter: .bicubic)
      if (small.width, small.height) != (side, side) {
        small = small.centred(side: side)
      }
      let count = side * side
      var values = [Float](repeating: 0, count: 3 * count)
      for channel in 0..<3 {
        for pixel in 0..<count {
          let level = Float(small.pixels[3 * pixel + channel]) * (1 / Float(255))
          values[channel * count + pixel] = (level - mean[channel]) / deviation[channel]
        }
      }
      return Value(values, shape: [1, 3, side, side])
    }
  }
}

extension Image {
  /// The square in the middle, black where the picture does not reach.
  fileprivate func centred(side: Int) -> Image {
    if width >= side, height >= side {
      return cropped(
        x: (width - side) / 2, y: (height - side) / 2, width: side, height: side)
    }
    var pixels = [UInt8](repeating: 0, count: 3 * side * side)
    let (left, top) = ((side - width + 1) / 2, (side - height + 1) / 2)
    for y in 0..<side {
      for x in 0..<side where (0..<height).contains(y - top) && (0..<width).contains(x - left) {
        let source = 3 * ((y - top) * width + x - left)
        for channel in 0..<3 {
          pixels[3 * (y * side + x) + channel] = self.pixels[source + channel]
        }
      }
    }
    return Image(width: side, height: side, pixels: pixels)
  }

  /// A black picture of the same size.
  var blackened: Image {
    Image(width: width, height: height, pixels: [UInt8](repeating: 0, count: pixels.count))
  }
}
