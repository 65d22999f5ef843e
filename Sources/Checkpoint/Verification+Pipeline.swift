import ModelFormats
import OrderedJSON

/// The small files of a pipeline: whether they are sound and fit together.
extension Verification {
  // MARK: Tokenizer

  mutating func checkTokenizer(of checkpoint: ModelCheckpoint) {
    let isListed = checkpoint.lists("tokenizer")
    let files = checkpoint.files.filter { $0.path.hasPrefix("tokenizer/") }
    guard isListed || !files.isEmpty else { return }
    // What a file has no place for a pipeline takes from elsewhere.
    if files.isEmpty, checkpoint.layout != .repository {
      notes.append("the file holds no tokenizer")
      return
    }
    // A tokenizer in another form, as newer repositories have it, is not read here.
    if checkpoint.file(named: "tokenizer/vocab.json") == nil,
      checkpoint.file(named: "tokenizer/tokenizer.json") != nil
    {
      unchecked.append("tokenizer: tokenizer.json without vocab.json and merges.txt is not read")
      return
    }
    guard let vocabularyFile = required("tokenizer/vocab.json", of: checkpoint),
      let mergesFile = required("tokenizer/merges.txt", of: checkpoint)
    else { return }
    guard let vocabulary = object(vocabularyFile, limit: AuxiliaryFile.sizeLimit) else { return }
    let tokens = checkTokens(vocabulary, limit: checkpoint.vocabularySize)
    let merges = checkMerges(mergesFile, tokens: tokens)
    checkSpecialTokens(of: checkpoint, tokens: tokens)
    checked.append("\(tokens.count) tokens and \(merges) merges")
  }

  /// Token ids are distinct and have a row in the text encoder's table.
  private mutating func checkTokens(_ vocabulary: JSONObject, limit: Int?) -> Set<ExactName> {
    var tokens: Set<ExactName> = []
    var ids: Set<Int> = []
    var faults: [String] = []
    for member in vocabulary.members {
      tokens.insert(ExactName(member.key))
      guard let id = member.value.int, id >= 0 else {
        faults.append("the id of \"\(member.key)\" is no token id")
        continue
      }
      if !ids.insert(id).inserted { faults.append("the id \(id) stands twice") }
      if let limit, id >= limit {
        faults.append("the id \(id) is beyond the text encoder's \(limit) tokens")
      }
    }
    add(faults, of: "tokenizer/vocab.json")
    return tokens
  }

  /// Each merge is two tokens, which joined are a token too; returns how many there are.
  private mutating func checkMerges(_ file: AuxiliaryFile, tokens: Set<ExactName>) -> Int {
    var faults: [String] = []
    var count = 0
    guard let text = String(validating: file.bytes, as: UTF8.self) else {
      problems.append("tokenizer/merges.txt: this is not UTF-8")
      return 0
    }
    for (number, line) in text.utf8.split(separator: 0x0A, omittingEmptySubsequences: false)
      .enumerated()
    {
      let line = line.last == 0x0D ? line.dropLast() : line
      if line.isEmpty || (number == 0 && line.starts(with: "#version".utf8)) { continue }
      count += 1
      let words = line.split(separator: 0x20, omittingEmptySubsequences: false).map {
        String(decoding: $0, as: UTF8.self)
      }
      guard words.count == 2 else {
        faults.append("line \(number + 1) is not two tokens")
        continue
      }
      let known = [words[0], words[1], words[0] + words[1]].map(ExactName.init)
      if !known.allSatisfy(tokens.contains) {
        faults.append("line \(number + 1) names a token that the vocabulary does not hold")
      }
    }
    add(faults, of: "tokenizer/merges.txt")
    return count
  }

  private mutating func checkSpecialTokens(
    of checkpoint: ModelCheckpoint, tokens: Set<ExactName>
  ) {
    for path in ["tokenizer/special_tokens_map.json", "tokenizer/tokenizer_config.json"] {
      guard let file = checkpoint.file(named: path),
        let object = object(file, limit: AuxiliaryFile.sizeLimit)
      else { continue }
      var faults: [String] = []
      for role in ["bos_token", "eos_token", "pad_token", "unk_token"] {
        guard let text = object[role]?.string ?? object[role]?["content"]?.string else { continue }
        if !tokens.contains(ExactName(text)) {
          faults.append("the \(role) \"\(text)\" is not in the vocabulary")
        }
      }
      let positions =
        checkpoint[.textEncoder]?.configuration?.object["max_position_embeddings"]?.int ?? 77
      if let length = object["model_max_length"]?.int, length > positions,
        // transformers writes a huge number where there is no limit.
        length < 1_000_000
      {
        faults.append(
          "model_max_length is \(length); the text encoder has \(positions) positions")
      }
      add(faults, of: path)
    }
  }

  // MARK: Scheduler

  mutating func checkScheduler(of checkpoint: ModelCheckpoint) {
    let path = "scheduler/scheduler_config.json"
    let isListed = checkpoint.lists("scheduler")
    guard isListed || checkpoint.file(named: path) != nil else { return }
    if checkpoint.file(named: path) == nil, checkpoint.layout != .repository {
      notes.append("the file holds no scheduler's configuration")
      return
    }
    guard let file = required(path, of: checkpoint),
      let object = object(file, limit: Configuration.sizeLimit)
    else { return }
    var faults: [String] = []
    if object["_class_name"]?.string == nil {
      faults.append("_class_name does not say which it is")
    }
    if let steps = object["num_train_timesteps"], !(1...1_000_000).contains(steps.int ?? 0) {
      faults.append("num_train_timesteps is \(steps.text(.compact))")
    }
    let start = object["beta_start"]?.double
    let end = object["beta_end"]?.double
    for (field, beta) in [("beta_start", start), ("beta_end", end)] {
      if let beta, !(beta > 0 && beta < 1) { faults.append("\(field) is \(beta), not in 0...1") }
    }
    if let start, let end, start > end { faults.append("beta_start is above beta_end") }
    let known: [(String, [String])] = [
      ("prediction_type", ["epsilon", "sample", "v_prediction"]),
      ("beta_schedule", ["linear", "scaled_linear", "squaredcos_cap_v2"]),
    ]
    for (field, values) in known {
      if let value = object[field], !value.isNull, !values.contains(value.string ?? "") {
        faults.append(
          "\(field) is \(value.text(.compact)); known: \(values.joined(separator: ", "))")
      }
    }
    add(faults, of: path)
    checked.append("scheduler")
  }

  // MARK: Files

  private mutating func required(
    _ path: String, of checkpoint: ModelCheckpoint
  ) -> AuxiliaryFile? {
    let file = checkpoint.file(named: path)
    if file == nil {
      if checkpoint.layout == .repository {
        problems.append("\(path) is missing")
      } else {
        notes.append("the file holds no \(path)")
      }
    }
    return file
  }

  private mutating func object(_ file: AuxiliaryFile, limit: Int) -> JSONObject? {
    do throws(FormatError) {
      return try file.jsonObject(limit: limit)
    } catch {
      problems.append(error.description)
      return nil
    }
  }

  /// The first few faults of a file, and how many more there are.
  private mutating func add(_ faults: [String], of path: String) {
    problems += faults.prefix(3).map { "\(path): \($0)" }
    if faults.count > 3 { problems.append("\(path): \(faults.count - 3) faults more") }
  }
}

extension ModelCheckpoint {
  /// Whether `model_index.json` lists a part of that name.
  fileprivate func lists(_ name: String) -> Bool {
    let index = try? file(named: "model_index.json")?.jsonObject()
    return index?[name]?.array?.last?.string != nil
  }

  /// The rows of the text encoder's table.
  fileprivate var vocabularySize: Int? {
    self[.textEncoder]?.configuration?.object["vocab_size"]?.int
  }
}
