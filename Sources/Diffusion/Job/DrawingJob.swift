import OrderedJSON
import Pictures

/// What is to be drawn: pictures, the model that draws them, and what is written. A property is nil
/// where nothing was asked for; ``JobField/all`` says of each what holds then and what it allows.
public struct DrawingJob: Sendable, Hashable {
  // Prompt.
  public var prompt: String?
  public var promptsFrom: String?
  public var negative: String?
  public var clipSkip: Int?
  public var emphasis: PromptStyle.Emphasis?
  public var plainPrompt: Bool?
  public var embedding: [String]?
  // Sampling.
  public var steps: Int?
  public var guidance: JobNumber?
  public var seed: Int?
  public var variationSeed: Int?
  public var variationStrength: JobNumber?
  public var seedResize: String?
  public var scheduler: String?
  public var sigmas: String?
  public var spacing: SchedulerConfiguration.TimestepSpacing?
  public var prediction: SchedulerConfiguration.PredictionType?
  public var eta: JobNumber?
  public var pndmStart: PNDMStart?
  public var rng: RandomSourceName?
  // Pictures.
  public var width: Int?
  public var height: Int?
  public var count: Int?
  public var batchSize: Int?
  public var latents: String?
  public var initial: String?
  public var strength: JobNumber?
  public var mask: String?
  public var outpaint: String?
  public var pasteBack: Bool?
  public var hires: JobNumber?
  public var hiresStrength: JobNumber?
  public var hiresSteps: Int?
  // Model.
  public var model: String?
  public var vae: String?
  public var variant: String?
  public var dtype: Arithmetic?
  public var threads: Int?
  // Additional networks.
  public var lora: [String]?
  public var control: [String]?
  public var controlImage: [String]?
  public var controlScale: [JobNumber]?
  public var controlStart: [JobNumber]?
  public var controlEnd: [JobNumber]?
  public var tinyVAE: String?
  public var tinyVAEFor: TinyAutoencoderUse?
  public var noSafetyChecker: Bool?
  // Approximations.
  public var cacheInterval: Int?
  public var guidanceInterval: String?
  public var tokenMerging: JobNumber?
  public var vaeTile: String?
  public var lowMemory: Bool?
  // Output.
  public var output: String?
  public var format: PictureFormat?
  public var quality: Int?
  public var noMetadata: Bool?
  public var modelHash: Bool?
  public var sidecar: Bool?
  public var saveLatents: String?
  public var json: Bool?
  public var quiet: Bool?
  public var force: Bool?
  // Watching.
  public var previewEvery: Int?
  public var preview: PreviewKind?
  public var contactSheet: String?
  public var animation: String?
  public var profile: Bool?
  public var trace: String?
  public var show: Bool?
  public var showAs: TerminalProtocol?

  public init() {}

  /// Reads a job from JSON.
  ///
  /// - Throws: ``JobError`` for a name that is no field's, and for a value that the field does not
  ///   allow.
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

  /// The value of a field; nil where nothing was asked for.
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

  /// What was asked for, in the order of the fields.
  public var object: JSONObject {
    JobField.all.reduce(into: JSONObject()) { $0[$1.name] = self[$1] }
  }

  /// The fields that were asked for.
  public var fields: [JobField] { JobField.all.filter { self[$0] != nil } }

  /// The files that a field names.
  public func files(_ field: JobField) -> [String] {
    guard let value = self[field] else { return [] }
    return (value.array ?? [value]).map { $0.string ?? $0.text(.compact) }
  }

  /// The same with other files in a field.
  public mutating func setFiles(_ field: JobField, _ files: [String]) {
    field.set(
      &self,
      field.isRepeating ? .array(files.map { .string($0) }) : files.first.map { .string($0) })
  }

  /// Some of the fields.
  public func filtered(_ isIncluded: (JobField) -> Bool) -> DrawingJob {
    var result = self
    for field in JobField.all where !isIncluded(field) { field.set(&result, nil) }
    return result
  }

  /// The same with files by their names alone.
  public var withoutFolders: DrawingJob {
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
  public var withOwnSchedulerName: DrawingJob {
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
