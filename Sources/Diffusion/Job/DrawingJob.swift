import OrderedJSON
import Pictures

/// What is to be drawn: images, the model that draws them, and what is written. A property is nil
/// if nothing was requested; ``JobField/all`` says of each what contains then and what it allows.
public struct DrawingJob: Sendable, Hashable {
  // Prompt.
  /// What the image shows; required unless ``promptsFrom`` is given.
  public var prompt: String?
  /// A file of prompts, one a line.
  public var promptsFrom: String?
  /// What the image should not show.
  public var negative: String?
  /// The text encoder's layer to take, counted from the last, which is 1.
  public var clipSkip: Int?
  /// How weights in prompts act.
  public var emphasis: PromptStyle.Emphasis?
  /// Whether prompts are read as diffusers does: no weights, one chunk.
  public var plainPrompt: Bool?
  /// Textual inversions: files, each with the word that stands for its vectors.
  public var embedding: [String]?
  // Sampling.
  /// Steps of the scheduler, 1 to 1000.
  public var steps: Int?
  /// The guidance scale, 0 to 100.
  public var guidance: JobNumber?
  /// The seed of the noise; each further image has the next.
  public var seed: Int?
  /// The seed of a second noise, which is mixed with that of ``seed``; each further image has the
  /// next, and ``seed`` stays.
  public var variationSeed: Int?
  /// The fraction of the second noise, 0 to 1.
  public var variationStrength: JobNumber?
  /// The size in pixels whose noise ``seed`` gives, as in `512x512`; the image's size if nil.
  public var seedResize: String?
  /// The scheduler, by the name that any of the known programs gives it.
  public var scheduler: String?
  /// How sigmas are spaced: a name, or falling numbers with commas.
  public var sigmas: String?
  /// How timesteps are spaced.
  public var spacing: SchedulerConfiguration.TimestepSpacing?
  /// What the UNet predicts; the model's own if nil.
  public var prediction: SchedulerConfiguration.PredictionType?
  /// The scheduler's eta, 0 to 1.
  public var eta: JobNumber?
  /// How PNDM starts.
  public var pndmStart: PNDMStart?
  /// The generator of the noise.
  public var rng: RandomSourceName?
  // Pictures.
  /// The width in pixels, a multiple of 8.
  public var width: Int?
  /// The height in pixels, a multiple of 8.
  public var height: Int?
  /// How many images of each prompt.
  public var count: Int?
  /// How many images are generated together.
  public var batchSize: Int?
  /// A file of noise to start from.
  public var latents: String?
  /// The init image, a file.
  public var initial: String?
  /// The denoising strength: the fraction of the steps to run.
  public var strength: JobNumber?
  /// What of the init image is repainted, a file: what is light in it.
  public var mask: String?
  /// Pixels added to the init image at its left, top, right and bottom, with commas.
  public var outpaint: String?
  /// Whether what is kept of the init image is pasted over the generated one.
  public var pasteBack: Bool?
  /// The scale of the second pass, above 1 to 8; nil for none.
  public var hires: JobNumber?
  /// The denoising strength of the second pass.
  public var hiresStrength: JobNumber?
  /// Steps of the second pass; those of the first if nil.
  public var hiresSteps: Int?
  // Model.
  /// The model: a directory, or a weights file.
  public var model: String?
  /// The VAE to use instead of the model's: a file or directory.
  public var vae: String?
  /// Which weights of a diffusers directory are read, such as `fp16`.
  public var variant: String?
  /// The precision.
  public var dtype: Arithmetic?
  /// Threads, 1 to 1024.
  public var threads: Int?
  /// What computes the networks: `native`, `onnxruntime` or `onnxruntime:PROVIDER`.
  public var engine: String?
  /// The library of ONNX Runtime.
  public var onnxRuntime: String?
  // Additional networks.
  /// Adapters: files, each with its scale.
  public var lora: [String]?
  /// ControlNets: files or directories.
  public var control: [String]?
  /// The image that each ControlNet follows, a file.
  public var controlImage: [String]?
  /// How strongly ControlNets are followed: one value for all, or one each.
  public var controlScale: [JobNumber]?
  /// The fraction of the steps from which they are followed, likewise.
  public var controlStart: [JobNumber]?
  /// The fraction of the steps up to which they are followed, likewise.
  public var controlEnd: [JobNumber]?
  /// A tiny autoencoder: a file or directory.
  public var tinyVAE: String?
  /// What the tiny autoencoder decodes.
  public var tinyVAEFor: TinyAutoencoderUse?
  /// Whether the model's safety checker is left out.
  public var noSafetyChecker: Bool?
  // Approximations.
  /// Run the whole UNet every so many evaluations; 1 is exact.
  public var cacheInterval: Int?
  /// The fraction of the steps in which guidance applies, as in `0.1:0.8`.
  public var guidanceInterval: String?
  /// The fraction of similar tokens that are merged, 0 to 0.75.
  public var tokenMerging: JobNumber?
  /// How large images are decoded: `auto`, `off`, or the longest side of a tile.
  public var vaeTile: String?
  /// Whether weights are kept in a temporary file instead of memory.
  public var lowMemory: Bool?
  // Output.
  /// The image file to write.
  public var output: String?
  /// The format to write, whatever the file's name.
  public var format: PictureFormat?
  /// The quality of JPEG and WebP, 1 to 100.
  public var quality: Int?
  /// Whether nothing is written into the image about how it was made.
  public var noMetadata: Bool?
  /// Whether the hash of the model's file is written into the image.
  public var modelHash: Bool?
  /// Whether a JSON file is written next to each image.
  public var sidecar: Bool?
  /// The file that latents and noise are written to.
  public var saveLatents: String?
  /// The file that the text encoder's output is written to.
  public var saveEmbeddings: String?
  /// Whether JSON is printed instead of text.
  public var json: Bool?
  /// Whether only errors are printed.
  public var quiet: Bool?
  /// Whether files that exist are replaced.
  public var force: Bool?
  // Watching.
  /// Write a preview after every so many evaluations.
  public var previewEvery: Int?
  /// How latents become a preview.
  public var preview: PreviewKind?
  /// The file that an image of chosen evaluations is written to.
  public var contactSheet: String?
  /// What it shows of each evaluation, in rows: `latents`, `decoded`, `predicted`, `noise`.
  public var contactSheetRows: String?
  /// The file that an animation of all predictions is written to.
  public var animation: String?
  /// Whether times are printed.
  public var profile: Bool?
  /// The file that a trace of every layer is written to.
  public var trace: String?
  /// Whether the image is shown in the terminal.
  public var show: Bool?
  /// The terminal's graphics protocol.
  public var showAs: TerminalProtocol?

  /// A job that asks for nothing.
  public init() {}

  /// Reads a job from JSON.
  ///
  /// - Throws: ``JobError`` for a name that is not a field's, and for a value that the field does
  ///   not allow.
  public init(_ object: JSONObject) throws(JobError) {
    self.init()
    for member in object.members {
      guard let field = JobField.named(member.key) else {
        throw JobError(
          .unknownField, member.key, got: member.value.text(.compact),
          "there is no argument called \(member.key)")
      }
      try set(field, member.value)
    }
  }

  /// The value of a field; nil if nothing was requested.
  public subscript(field: JobField) -> JSON? { field.get(self) }

  /// Sets a field, or with nil leaves it to its default.
  ///
  /// - Throws: ``JobError`` for a value that the field does not allow.
  public mutating func set(_ field: JobField, _ value: JSON?) throws(JobError) {
    guard let value else {
      field.set(&self, nil)
      return
    }
    field.set(&self, try field.value(of: value))
  }

  /// What was requested, in the order of the fields.
  public var object: JSONObject {
    JobField.all.reduce(into: JSONObject()) { $0[$1.name] = self[$1] }
  }

  /// The fields that were requested.
  public var fields: [JobField] { JobField.all.filter { self[$0] != nil } }

  /// The files that a field names.
  package func files(_ field: JobField) -> [String] {
    guard let value = self[field] else { return [] }
    return (value.array ?? [value]).map { $0.string ?? $0.text(.compact) }
  }

  /// The same with other files in a field.
  package mutating func setFiles(_ field: JobField, _ files: [String]) {
    field.set(
      &self,
      field.isRepeating ? .array(files.map { .string($0) }) : files.first.map { .string($0) })
  }

  /// Some of the fields.
  package func filtered(_ isIncluded: (JobField) -> Bool) -> DrawingJob {
    var result = self
    for field in JobField.all where !isIncluded(field) { field.set(&result, nil) }
    return result
  }

  /// The same with files by their names alone.
  package var withoutFolders: DrawingJob {
    var result = self
    for field in JobField.all where field.traits.contains(.input) && self[field] != nil {
      result.setFiles(field, files(field).map(PicturePath.name))
    }
    return result
  }

  /// This job over `others`: what both ask for is as here.
  public func over(_ others: DrawingJob) -> DrawingJob {
    var result = others
    // Noise levels of this go before those that the name of the others' scheduler says.
    if sigmas != nil || spacing != nil { result.scheduler = others.withOwnSchedulerName.scheduler }
    for field in fields { field.copy(self, &result) }
    // A scheduler's name that says the noise levels goes before others' noise levels.
    if withOwnSchedulerName.sigmas != nil {
      if sigmas == nil { result.sigmas = nil }
      if spacing == nil { result.spacing = nil }
    }
    return result
  }

  /// The same with the scheduler by its name here, and the noise levels that its name said apart.
  package var withOwnSchedulerName: DrawingJob {
    guard let scheduler, let label = SamplerLabel(name: scheduler) else { return self }
    var result = self
    result.scheduler = label.scheduler
    if sigmas == nil { result.sigmas = label.sigmas }
    return result
  }
}

extension DrawingJob: Codable {
  private struct Key: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  public init(from decoder: any Decoder) throws {
    self.init()
    let container = try decoder.container(keyedBy: Key.self)
    for key in container.allKeys {
      guard let field = JobField.named(key.stringValue) else {
        throw JobError(
          .unknownField, key.stringValue, "there is no argument called \(key.stringValue)")
      }
      try set(field, container.decode(JobJSON.self, forKey: key).json)
    }
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: Key.self)
    for member in object.members {
      try container.encode(JobJSON(json: member.value), forKey: Key(stringValue: member.key))
    }
  }
}

/// A value of a job in another coder's hands: a flag, a number, a text, or several.
private struct JobJSON: Codable {
  let json: JSON

  init(json: JSON) { self.json = json }

  init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if container.decodeNil() {
      json = .null
    } else if let value = try? container.decode(Bool.self) {
      json = .bool(value)
    } else if let value = try? container.decode(Int.self) {
      json = .integer(value)
    } else if let value = try? container.decode(Double.self) {
      json = .number(value)
    } else if let value = try? container.decode(String.self) {
      json = .string(value)
    } else {
      json = .array(try container.decode([JobJSON].self).map(\.json))
    }
  }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    switch json {
    case .bool(let value): try container.encode(value)
    case .integer(let value): try container.encode(value)
    case .number(let value): try container.encode(value)
    case .string(let value): try container.encode(value)
    case .array(let values): try container.encode(values.map { JobJSON(json: $0) })
    case .null, .object: try container.encodeNil()
    }
  }
}
