import Checkpoint
import Engine
import Glibc
import ModelFormats
import ModelGraph
import OrderedJSON

extension CLIPModel {
  /// Loads a whole CLIP: a directory with `config.json`, weights, `preprocessor_config.json` and the
  /// tokenizer's files.
  ///
  /// - Parameter progress: called with the number of tensors loaded and in total, by component.
  /// - Throws: ``FormatError`` if a network, the projections, the scale or the tokenizer is missing,
  ///   or a configuration is not supported; ``EngineError``.
  public init(
    _ checkpoint: ModelCheckpoint, options: EngineOptions = EngineOptions(),
    progress: ((DiffusionModel.LoadProgress) -> Void)? = nil
  ) throws {
    guard let text = checkpoint[.textEncoder], let image = checkpoint[.imageEncoder] else {
      throw FormatError(
        .mismatch, "not a whole CLIP, which has a text encoder and an image encoder",
        file: checkpoint.path,
        hint: "this is \(Recognition(checkpoint).title); use a directory such as "
          + "openai/clip-vit-base-patch32")
    }
    try text.requireComplete()
    try image.requireComplete()
    let texts = try DiffusionModel.configuration(of: text, CLIPTextConfiguration.init)
    let images = try DiffusionModel.configuration(of: image, ImageEncoderConfiguration.init)
    let width = images.projectionWidth
    textProjection = try Self.values(
      "text_projection.weight", [width, texts.hiddenSize], of: [text], checkpoint)
    let logarithm = try Self.values("logit_scale", [], of: checkpoint.components, checkpoint)
    scale = exp(logarithm[0])
    textEnd = text.configuration?.object["eos_token_id"]?.int ?? 49_407
    self.width = width
    pictureSize = images.pictureSize
    (preparation, warnings) = try Self.preparation(of: checkpoint, side: images.pictureSize)
    let definition = try TokenizerDefinition(
      TokenizerFiles(
        in: checkpoint.files.map {
          AuxiliaryFile(
            path: TokenizerFiles.directory + "/" + Self.fileName($0), location: $0.location,
            bytes: $0.bytes)
        }), of: checkpoint.path)
    try definition.check(embeddings: texts.vocabularySize, of: checkpoint.path)
    let tokenizer = Tokenizer(definition)
    self.tokenizer = tokenizer
    let limit = tokenizer.length(positions: texts.maximumPositions)
    tokenLimit = limit
    let factory = NetworkFactory(options)
    func network(_ component: Component, _ name: GraphName) throws -> any Network {
      func report(loaded: Int, total: Int) {
        progress?(
          DiffusionModel.LoadProgress(component: component.name, loaded: loaded, total: total))
      }
      return try factory.network(
        component.graph(name), sizes: Sizes(batch: 1, sequence: limit),
        parameters: { try component.tensor(named: $0) }, progress: report)
    }
    textEncoder = try network(text, .textEncoder)
    imageEncoder = try network(image, .imageEncoder)
  }

  private static func fileName(_ file: AuxiliaryFile) -> String {
    String(file.path.split(separator: "/").last ?? "")
  }

  /// The preprocessing of images; OpenAI's, with a warning, if there is no file.
  private static func preparation(
    of checkpoint: ModelCheckpoint, side: Int
  ) throws(FormatError) -> (PictureChecker.Preparation, [String]) {
    guard let file = checkpoint.files.first(where: { fileName($0) == "preprocessor_config.json" })
    else {
      var usual = PictureChecker.Preparation()
      usual.shortestSide = side
      return (
        usual, ["no preprocessor_config.json; images are preprocessed as for OpenAI's CLIP"]
      )
    }
    do throws(FormatError) {
      let object = try file.jsonObject()
      if let crop = object["crop_size"] {
        let (height, width) = (crop.int ?? crop["height"]?.int, crop.int ?? crop["width"]?.int)
        guard height == side, width == side else {
          throw FormatError(
            .mismatch,
            "images are cropped to \(crop.text(.compact)), but the image encoder needs \(side)",
            context: "crop_size", hint: "use the file from the model's own repository")
        }
      }
      return (try PictureChecker.Preparation(object), [])
    } catch {
      throw error.inFile(file.location)
    }
  }

  /// The values of a tensor outside the networks' graphs.
  private static func values(
    _ name: String, _ shape: [Int], of components: [Component], _ checkpoint: ModelCheckpoint
  ) throws(FormatError) -> [Float] {
    guard let tensor = components.lazy.compactMap({ $0[name] }).first,
      tensor.shape == Shape(shape) || shape.isEmpty && tensor.elementCount == 1
    else {
      throw FormatError(
        .mismatch, "the model has no tensor \(name) of shape \(Shape(shape))",
        file: checkpoint.path, context: name,
        hint: "use the weights of a whole CLIP, as transformers' CLIPModel saves them")
    }
    var values: [Float] = []
    try tensor.withPieces(as: .float32) { bytes in
      for index in stride(from: 0, to: bytes.count, by: 4) {
        values.append(bytes.loadUnaligned(fromByteOffset: index, as: Float.self))
      }
    }
    return values
  }
}
