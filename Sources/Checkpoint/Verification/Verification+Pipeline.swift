import ModelFormats
import OrderedJSON

/// Checks that the small files of a pipeline are valid and consistent.
extension Verification {
  // MARK: Tokenizer

  mutating func checkTokenizer(of checkpoint: ModelCheckpoint) {
    let isListed = checkpoint.lists("tokenizer")
    let files = checkpoint.files.filter { $0.path.hasPrefix("tokenizer/") }
    guard isListed || !files.isEmpty else { return }
    // Files that a single file cannot contain come from elsewhere.
    if files.isEmpty, checkpoint.layout != .repository {
      notes.append("the file contains no tokenizer")
      return
    }
    let tokenizer = checkpoint.tokenizerFiles
    switch tokenizer.form {
    case .foreign(let kind): unchecked.append("tokenizer: \(kind), which is not read here")
    case .incomplete, .none:
      _ = required("tokenizer/vocab.json", of: checkpoint)
        .flatMap { _ in required("tokenizer/merges.txt", of: checkpoint) }
    case .tokenizerFile, .vocabularyAndMerges: check(tokenizer, of: checkpoint)
    }
  }

  private mutating func check(_ files: TokenizerFiles, of checkpoint: ModelCheckpoint) {
    let contents: TokenizerContents
    do throws(FormatError) {
      contents = try TokenizerContents(files, of: checkpoint.path)
    } catch {
      if error.code == .unsupported {
        unchecked.append("tokenizer: \(error.message)")
      } else {
        problems.append(error.description)
      }
      return
    }
    let limit = checkpoint.vocabularySize
    let known = problems.count
    let file = "tokenizer/\(contents.vocabularyContext)"
    let tokens = checkTokens(contents.vocabulary, of: file, limit: limit)
    let merges = checkMerges(contents.merges, tokens: tokens)
    checkSpecialTokens(of: checkpoint, contents, tokens: tokens)
    do throws(FormatError) {
      let definition = try TokenizerDefinition(contents)
      notes += definition.notes
      let others = definition.tokenCount - tokens.count
      let added = others > 0 ? " (\(others) more are added)" : ""
      checked.append("\(tokens.count.of("token")) and \(merges.of("merge"))\(added)")
      guard let limit, problems.count == known else { return }
      notes += definition.note(onEmbeddings: limit).map { [$0] } ?? []
      try definition.check(embeddings: limit, of: checkpoint.path)
    } catch {
      // The problems above describe the same in detail.
      if problems.count == known { problems.append("tokenizer: \(error.message)") }
    }
  }

  /// Checks that token ids are distinct and have a row in the text encoder's embedding.
  private mutating func checkTokens(
    _ vocabulary: [JSONObject.Member], of file: String, limit: Int?
  ) -> Set<ExactName> {
    var tokens: Set<ExactName> = []
    var ids: Set<Int> = []
    var faults: [String] = []
    for member in vocabulary {
      tokens.insert(ExactName(member.key))
      guard let id = member.value.int, id >= 0 else {
        faults.append("the id of \"\(member.key)\" is not a token id")
        continue
      }
      if !ids.insert(id).inserted { faults.append("the id \(id) is duplicated") }
      if let limit, id >= limit {
        faults.append(
          "the id \(id) is beyond the text encoder's \(limit) tokens: \"\(member.key)\"")
      }
    }
    add(faults, of: file)
    return tokens
  }

  /// Checks that each merge is two tokens whose concatenation is also a token; returns the number
  /// of merges.
  private mutating func checkMerges(_ merges: MergeList, tokens: Set<ExactName>) -> Int {
    var faults: [String] = []
    var count = 0
    merges.visit { merge in
      count += 1
      guard let pair = merge.pair else {
        faults.append("\(merge.place) is not two tokens")
        return
      }
      let known = [pair.left, pair.right, pair.left + pair.right].map {
        ExactName(String(decoding: $0, as: UTF8.self))
      }
      if !known.allSatisfy(tokens.contains) {
        faults.append("\(merge.place) names a token that the vocabulary does not contain")
      }
    }
    add(faults, of: "tokenizer/\(merges.context)")
    return count
  }

  /// Checks that roles refer to existing tokens, and that prompts are not longer than the text
  /// encoder supports.
  private mutating func checkSpecialTokens(
    of checkpoint: ModelCheckpoint, _ contents: TokenizerContents, tokens: Set<ExactName>
  ) {
    let declared = (try? TokenizerSettings(contents))?.declared ?? []
    let known = tokens.union(declared.map { ExactName($0.token.content) })
    for (object, path) in [
      (contents.specialTokens, "tokenizer/special_tokens_map.json"),
      (contents.configuration, "tokenizer/tokenizer_config.json"),
    ] {
      guard let object else { continue }
      var faults: [String] = []
      for role in ["bos_token", "eos_token", "pad_token", "unk_token"] {
        guard let text = object[role]?.string ?? object[role]?["content"]?.string else { continue }
        if !known.contains(ExactName(text)) {
          faults.append("the \(role) \"\(text)\" is not in the vocabulary")
        }
      }
      let positions =
        checkpoint[.textEncoder]?.configuration?.object["max_position_embeddings"]?.int ?? 77
      if let length = object["model_max_length"]?.int, length > positions,
        // transformers writes a huge number for no limit.
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
      notes.append("the file contains no scheduler configuration")
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
        notes.append("the file contains no \(path)")
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

  /// Adds the first few problems of a file, and the number of others.
  private mutating func add(_ faults: [String], of path: String) {
    problems += faults.prefix(3).map { "\(path): \($0)" }
    if faults.count > 3 { problems.append("\(path): \(faults.count - 3) faults more") }
  }
}

extension ModelCheckpoint {
  /// Whether `model_index.json` lists this component.
  fileprivate func lists(_ name: String) -> Bool {
    let index = try? file(named: "model_index.json")?.jsonObject()
    return index?[name]?.array?.last?.string != nil
  }

  /// The rows of the text encoder's embedding.
  fileprivate var vocabularySize: Int? {
    self[.textEncoder]?.configuration?.object["vocab_size"]?.int
  }
}
