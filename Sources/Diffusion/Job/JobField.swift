import OrderedJSON

/// A field of a ``DrawingJob``: its name, what it allows, its default, and what it is for.
public struct JobField: Sendable {
  /// What a value looks like.
  public enum Kind: Sendable {
    /// True or false.
    case flag
    case integer(ClosedRange<Int>, multipleOf: Int = 1)
    /// `isAbove`: whether the lower end itself is not allowed.
    case number(ClosedRange<Double>, isAbove: Bool = false)
    /// Words that stay as they are, whatever they look like.
    case words
    /// A name, a path.
    case name
    case choice([String])
    /// A text with a form of its own. `allowed` says which, `choices` lists names that have it.
    case form(allowed: String, choices: [String] = [], isValid: @Sendable (String) -> Bool)
  }

  /// What fields are about, in the order of the help.
  public enum Group: String, Sendable, Hashable, CaseIterable {
    case prompt = "Prompt"
    case sampling = "Sampling"
    case pictures = "Pictures"
    case model = "Model"
    case networks = "Additional networks"
    case approximations = "Approximations"
    case output = "Output"
    case watching = "Watching"

    /// The heading in help texts.
    public var title: String { rawValue }
  }

  /// What a field says about files, loading and records.
  public struct Traits: OptionSet, Sendable {
    public let rawValue: Int
    public init(rawValue: Int) { self.rawValue = rawValue }

    /// Its value is a file or a directory that is read.
    public static let input = Traits(rawValue: 1)
    /// Its value is a file that is written.
    public static let output = Traits(rawValue: 2)
    /// A loaded model depends on it.
    public static let loading = Traits(rawValue: 4)
    /// An image's record has it.
    public static let recorded = Traits(rawValue: 8)
  }

  /// The key in JSON, and the flag without its dashes: `clip-skip`.
  public let name: String
  /// A second, short flag.
  public let letter: Character?
  /// What it is about.
  public let group: Group
  /// What its values look like.
  public let kind: Kind
  /// Whether it has several values.
  public let isRepeating: Bool
  /// What the value stands for in a command line: `pixels`.
  public let placeholder: String
  /// Of what the number is one: `pixels`, `steps`; nil for what has no unit.
  public let unit: String?
  /// The value if none is given; nil if it depends on the model or other fields, or if there is
  /// none.
  public let defaultValue: JSON?
  /// The default in words; nil if the value says all.
  let defaultWords: JobText?
  /// One sentence without a full stop.
  public let doc: JobText
  /// What it says about files, loading and records.
  public let traits: Traits

  let get: @Sendable (DrawingJob) -> JSON?
  let set: @Sendable (inout DrawingJob, JSON?) -> Void
  /// Takes the value over from the first job into the second.
  let copy: @Sendable (DrawingJob, inout DrawingJob) -> Void

  /// - Parameters:
  ///   - path: the property of a job.
  ///   - standard: what holds if there is none, in words.
  init<Value: JobValue>(
    _ name: String, _ path: any WritableKeyPath<DrawingJob, Value?> & Sendable, _ group: Group,
    _ kind: Kind, _ doc: JobText, letter: Character? = nil, placeholder: String = "",
    unit: String? = nil, default defaultValue: JSON? = nil, standard: JobText? = nil,
    _ traits: Traits = .recorded
  ) {
    self.name = name
    self.letter = letter
    self.group = group
    self.kind = kind
    isRepeating = Value.self is any JobList.Type
    self.placeholder = placeholder
    self.unit = unit
    self.defaultValue = defaultValue
    defaultWords = standard
    self.doc = doc
    self.traits = traits
    let isNumber = if case .words = kind { false } else { true }
    get = { $0[keyPath: path]?.json(numbers: isNumber) }
    set = { $0[keyPath: path] = $1.flatMap { Value(json: $0) } }
    copy = { $1[keyPath: path] = $0[keyPath: path] }
  }

  /// A field whose values are the names of a type.
  init<Value: JobChoice>(
    _ name: String, _ path: any WritableKeyPath<DrawingJob, Value?> & Sendable, _ group: Group,
    _ doc: JobText, placeholder: String, default defaultValue: Value? = nil,
    standard: JobText? = nil, _ traits: Traits = .recorded
  ) {
    self.name = name
    letter = nil
    self.group = group
    kind = .choice(Value.choices.map(\.rawValue))
    isRepeating = false
    self.placeholder = placeholder
    unit = nil
    self.defaultValue = defaultValue.map { .string($0.rawValue) }
    defaultWords = standard
    self.doc = doc
    self.traits = traits
    get = { $0[keyPath: path].map { .string($0.rawValue) } }
    set = { $0[keyPath: path] = $1?.string.flatMap { Value(choice: $0) } }
    copy = { $1[keyPath: path] = $0[keyPath: path] }
  }

  /// Whether it is true or false.
  public var isFlag: Bool { if case .flag = kind { true } else { false } }

  /// What is written and said, not what the image looks like.
  public var isAboutOutput: Bool { group == .output || group == .watching }

  /// What holds if none is given, in words; nil for flags, which are false then.
  public var standard: JobText? {
    if let defaultWords { return defaultWords }
    guard let defaultValue, !isFlag else { return nil }
    return "\(defaultValue.string ?? defaultValue.text(.compact))"
  }
}

// The table as a whole.
extension JobField {
  /// Every field, in the order of the help.
  public static let all: [JobField] = pictureFields + drawingFields + outputFields

  /// The fields whose files' hashes a picture's record holds, in its order.
  package static let hashed: [JobField] = [initial, mask, controlImage, lora, embedding, vae]

  private static let byName = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })

  /// The field of a name; nil where there is none.
  public static func named(_ name: String) -> JobField? { byName[name] }
}

/// A value of several.
private protocol JobList {}
extension Array: JobList {}
