import ModelFormats
import OrderedJSON

/// The settings of a tokenizer besides vocabulary and merges: added tokens, and tokens with a role.
///
/// Source: `from_pretrained` of transformers 5. `added_tokens_decoder` in `tokenizer_config.json`
/// takes precedence over everything; without it, `special_tokens_map.json`, `added_tokens.json` and
/// the list in `tokenizer.json` are read, each overriding the previous ones.
struct TokenizerSettings {
  /// A token that a file declares with an id.
  struct Declared {
    let id: Int
    let token: DeclaredToken
    /// The file's name.
    let file: String
  }

  /// A token with a role: a string, or a token with flags.
  private enum Value {
    case null
    case text(String)
    case token(DeclaredToken)

    var text: String? {
      switch self {
      case .null: nil
      case .text(let text): text
      case .token(let token): token.content
      }
    }
  }

  /// Tokens by their roles.
  private struct Named {
    private var values: [(role: String, value: Value)] = []
    private var index: [ExactName: Int] = [:]

    subscript(role: String) -> Value? {
      get { index[ExactName(role)].map { values[$0].value } }
      set {
        guard let newValue else { return }
        if let position = index[ExactName(role)] {
          values[position].value = newValue
        } else {
          index[ExactName(role)] = values.count
          values.append((role, newValue))
        }
      }
    }

    /// In the order in which their tokens are added.
    var ordered: [(role: String, value: Value)] {
      TokenizerSettings.roles.compactMap { role in values.first { $0.role == role } }
        + values.filter { !TokenizerSettings.roles.contains($0.role) }
    }
  }

  /// The roles in the order in which their tokens are added.
  private static let roles = [
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
  ]
  private static let defaults = [
    "bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>",
    "pad_token": "<|endoftext|>",
  ]

  /// The tokens that files declare, by id.
  let declared: [Declared]
  private var values: [(role: String, value: Value)] = []
  private var extras: [Value] = []
  let maximumLength: Int?
  let splitsSpecialTokens: Bool
  private(set) var notes: [String] = []

  /// The maximum number of scalars in an added token.
  var limit: Int { 1024 }

  /// - Throws: ``FormatError`` `malformed` for an invalid token, `unsupported` for a field with an
  ///   unsupported value.
  init(_ contents: TokenizerContents) throws(FormatError) {
    let configuration = contents.configuration ?? [:]
    try Self.refuse(configuration, contents.tokenizer)
    let decoder = configuration["added_tokens_decoder"]
    let map = decoder == nil ? contents.specialTokens ?? [:] : [:]

    // Roles: those of the configuration, overridden by those of the map. For other names, strings
    // in the configuration and lists of names take precedence over the map's.
    var named = Named()
    var first = Named()
    for member in configuration.members where Self.isRole(member.key, member.value) {
      let value = try Self.value(member.value, member.key, "tokenizer_config.json")
      if member.value.string != nil, !Self.roles.contains(member.key) {
        first[member.key] = value
      } else {
        named[member.key] = value
      }
    }
    for member in map.members where Self.isRole(member.key, member.value) {
      named[member.key] = try Self.value(
        member.value, member.key, "special_tokens_map.json", isSpecial: true)
    }
    for (object, file) in [
      (configuration, "tokenizer_config.json"), (map, "special_tokens_map.json"),
    ] {
      for member in object["extra_special_tokens"]?.object?.members ?? [] {
        first[member.key] = try Self.value(member.value, member.key, file)
      }
    }
    for entry in first.ordered { named[entry.role] = entry.value }
    var special = Set(Self.roles.compactMap { named[$0]?.text }.map(ExactName.init))
    for (role, text) in Self.defaults where named[role] == nil { named[role] = .text(text) }
    values = named.ordered

    // Special tokens without a role.
    let own = Self.extras(configuration)
    extras = try Self.values(own ?? [], "tokenizer_config.json")
    extras += try Self.values(
      map["extra_special_tokens"]?.array ?? [], "special_tokens_map.json")
    special.formUnion(extras.compactMap(\.text).map(ExactName.init))
    if own == nil, map["extra_special_tokens"] == nil {
      extras += try Self.values(
        map["additional_special_tokens"]?.array ?? [], "special_tokens_map.json")
    }

    // Tokens with ids.
    var declared: [Int: Declared] = [:]
    if let decoder {
      let file = "tokenizer_config.json"
      guard let object = decoder.object else { throw Self.malformed("added_tokens_decoder", file) }
      for member in object.members {
        guard let id = Int(member.key), let token = DeclaredToken(member.value) else {
          throw Self.malformed("the added token \(member.key)", file)
        }
        declared[id] = Declared(id: id, token: token, file: file)
      }
    }
    var others: [Int: Declared] = [:]
    for entry in try Self.otherTokens(contents, special) {
      if decoder == nil { declared[entry.id] = entry } else { others[entry.id] = entry }
    }
    self.declared = declared.values.sorted { $0.id < $1.id }
    maximumLength = try Self.maximumLength(configuration)
    splitsSpecialTokens = configuration["split_special_tokens"]?.bool ?? false
    noteUnused(others.values.sorted { $0.id < $1.id })
  }

  /// Tokens of `added_tokens.json` and of `tokenizer.json`, in this order.
  private static func otherTokens(
    _ contents: TokenizerContents, _ special: Set<ExactName>
  ) throws(FormatError) -> [Declared] {
    var tokens: [Declared] = []
    for member in contents.addedTokens?.members ?? [] {
      guard let id = member.value.int else {
        throw malformed("the id of \"\(member.key)\"", "added_tokens.json")
      }
      let isSpecial = special.contains(ExactName(member.key))
      tokens.append(
        Declared(
          id: id,
          token: DeclaredToken(member.key, isNormalized: !isSpecial, isSpecial: isSpecial),
          file: "added_tokens.json"))
    }
    guard let list = contents.tokenizer?["added_tokens"] else { return tokens }
    guard let list = list.array else { throw malformed("added_tokens", "tokenizer.json") }
    for entry in list {
      guard let id = entry["id"]?.int, let token = DeclaredToken(entry) else {
        throw malformed("an added token", "tokenizer.json")
      }
      tokens.append(Declared(id: id, token: token, file: "tokenizer.json"))
    }
    return tokens
  }

  /// The text of the token with a role.
  func text(of role: String) -> String? { values.first { $0.role == role }?.value.text }

  /// The tokens to add, in order: declared tokens by id, then those with a role, then other special
  /// tokens.
  var tokensToAdd: [AddedToken] {
    let named = Set(values.compactMap(\.value.text).filter { !$0.isEmpty }.map(ExactName.init))
    let known = Set(declared.map { ExactName($0.token.content) })
    var texts: Set<ExactName> = []
    var tokens = declared.map {
      $0.token.resolved(isNamed: named.contains(ExactName($0.token.content)))
    }
    var seen: Set<AddedToken> = []
    for value in values.map(\.value) + extras {
      guard let text = value.text, !known.contains(ExactName(text)) else { continue }
      switch value {
      case .null: continue
      case .text:
        guard texts.insert(ExactName(text)).inserted else { continue }
        tokens.append(DeclaredToken(text, isSpecial: true).resolved(isNamed: true))
      case .token(let token):
        let token = token.resolved(isNamed: named.contains(ExactName(text)))
        guard seen.insert(token).inserted else { continue }
        tokens.append(token)
      }
    }
    return tokens
  }

  // MARK: Reading

  /// Whether a member names a token: one of the roles, or another key with that suffix.
  private static func isRole(_ key: String, _ value: JSON) -> Bool {
    roles.contains(key) || key.hasSuffix("_token") && (value.string != nil || value.object != nil)
  }

  private static func value(
    _ json: JSON, _ role: String, _ file: String, isSpecial: Bool? = nil
  ) throws(FormatError) -> Value {
    if json.isNull { return .null }
    if let text = json.string { return .text(text) }
    guard let token = DeclaredToken(json, isSpecial: isSpecial) else {
      throw malformed("the \(role)", file)
    }
    return .token(token)
  }

  /// The special tokens without a role listed in a configuration; nil if there are none.
  private static func extras(_ configuration: JSONObject) -> [JSON]? {
    for key in ["extra_special_tokens", "additional_special_tokens"] {
      if let list = configuration[key]?.array, !list.isEmpty { return list }
    }
    return configuration["extra_special_tokens"]?.array
  }

  private static func values(
    _ list: [JSON], _ file: String
  ) throws(FormatError) -> [Value] {
    var values: [Value] = []
    for token in list { values.append(try value(token, "special token", file, isSpecial: true)) }
    return values
  }

  private static func malformed(_ what: String, _ file: String) -> FormatError {
    FormatError(
      .malformed, "\(what) is not a token as transformers writes it", context: file,
      hint: "download the file again from the model's repository")
  }

  /// Rejects settings that would change ids.
  private static func refuse(
    _ configuration: JSONObject, _ tokenizer: JSONObject?
  ) throws(FormatError) {
    func refusal(_ message: String) -> FormatError {
      FormatError(.unsupported, message, context: "tokenizer_config.json")
    }
    if configuration["do_lower_case"]?.bool == false {
      throw refusal("do_lower_case is false; CLIP's tokenizer lowers case")
    }
    let sides = [
      ("padding_side", tokenizer?["padding"]?["direction"]),
      ("truncation_side", tokenizer?["truncation"]?["direction"]),
    ]
    for (field, other) in sides {
      let side = configuration[field]?.string ?? other?.string ?? "right"
      guard side.lowercased() == "right" else {
        throw refusal("\(field) is \(side); prompts are padded and truncated on the right")
      }
    }
  }

  /// `model_max_length`, if it is a limit: transformers writes a huge number for no limit.
  private static func maximumLength(_ configuration: JSONObject) throws(FormatError) -> Int? {
    guard let field = configuration["model_max_length"] ?? configuration["max_len"],
      !field.isNull
    else { return nil }
    guard let length = field.double else {
      throw FormatError(
        .malformed, "model_max_length is not a number", context: "tokenizer_config.json")
    }
    guard length >= 3 else {
      throw FormatError(
        .malformed, "model_max_length is \(field.text(.compact)), which leaves no room for a token",
        context: "tokenizer_config.json")
    }
    return length < 1_000_000 ? Int(length) : nil
  }

  /// Notes declared tokens that `added_tokens_decoder` makes unused.
  private mutating func noteUnused(_ others: [Declared]) {
    let known = Set(declared.map { ExactName($0.token.content) })
      .union(values.compactMap(\.value.text).map(ExactName.init))
      .union(extras.compactMap(\.text).map(ExactName.init))
    let unused = others.filter { !known.contains(ExactName($0.token.content)) }
    guard let first = unused.first else { return }
    let names = unused.prefix(4).map { "\"\($0.token.content)\"" }.joined(separator: ", ")
    let more = unused.count > 4 ? " and \(unused.count - 4) more" : ""
    notes.append(
      "added tokens of \(first.file) are not used: \(names)\(more); tokenizer_config.json has "
        + "added_tokens_decoder, and transformers then reads no other list")
  }
}
