import ArgumentParser
import OrderedJSON
import Terminal

/// The arguments of `sdgen generate` as data: what a line of a batch holds, and what a picture
/// remembers. Names are the flags' without dashes; a flag is true, a repeated option an array.
struct JobArguments: Sendable, Hashable {
  private(set) var object = JSONObject()

  init() {}

  /// - Throws: ``Failure`` `usage` for a name that is no argument, or a value that is none.
  init(_ object: JSONObject) throws(Failure) {
    for member in object.members {
      guard let entry = ArgumentTable.generate[member.key] else {
        throw .usage(
          "there is no argument called \(member.key)",
          hint: ForeignOption.hint("--" + member.key).map { "give \($0), here without dashes" }
            ?? ArgumentTable.generate.nearest(to: "--" + member.key)
            .map { "did you mean \($0.dropFirst(2))?" }
            ?? "names are those of sdgen generate --help, without dashes")
      }
      try Self.check(member.value, of: entry)
    }
    self.object = object
  }

  private static func check(_ value: JSON, of entry: ArgumentTable.Entry) throws(Failure) {
    let elements = entry.isRepeating ? value.array ?? [value] : [value]
    for element in elements {
      switch element {
      case .bool where entry.isFlag: break
      case .string(let text) where !entry.isFlag:
        // The system's calls end a name there.
        guard !text.utf8.contains(0) else {
          throw .usage("\(entry.name) holds a zero character", hint: "leave it out")
        }
      case .integer where !entry.isFlag: break
      case .number(let number) where !entry.isFlag:
        guard number.isFinite else {
          throw .usage(
            "\(entry.name) is too large a number",
            hint: "sdgen generate --help lists the ranges")
        }
      default:
        throw .usage(
          "\(entry.name) is \(value.text(.compact)); it takes "
            + (entry.isFlag
              ? "true or false" : "a text or a number" + (entry.isRepeating ? ", or several" : "")),
          hint: value.isNull ? "leave \(entry.name) out where it has no value" : nil)
      }
    }
  }

  /// Reads words of a command line.
  ///
  /// - Throws: ``Failure`` `usage` for a word that is no argument.
  init(commandLine words: [String]) throws(Failure) {
    var isOver = false
    var position = 0
    while position < words.count {
      let word = words[position]
      position += 1
      if word == "--", !isOver {
        isOver = true
        continue
      }
      guard !isOver, word.hasPrefix("-"), word != "-" else {
        guard let entry = ArgumentTable.generate.positional, self[entry.name] == nil else {
          throw .usage("the argument \(word) is one too many")
        }
        object[entry.name] = .string(word)
        continue
      }
      let equals = word.firstIndex(of: "=")
      let spelling = String(word[..<(equals ?? word.endIndex)])
      guard let entry = ArgumentTable.generate.entry(spelled: spelling) else {
        throw .usage(
          "there is no option \(spelling)",
          hint: ForeignOption.hint(spelling)
            ?? ArgumentTable.generate.nearest(to: spelling).map { "did you mean \($0)?" }
            ?? "sdgen generate --help lists those that there are")
      }
      guard !entry.isFlag else {
        object[entry.name] = true
        continue
      }
      var value = equals.map { String(word[word.index(after: $0)...]) }
      if value == nil, position < words.count {
        value = words[position]
        position += 1
      }
      guard let value else { throw .usage("\(spelling) has no value") }
      add(Self.json(value, of: entry), to: entry)
    }
  }

  private mutating func add(_ value: JSON, to entry: ArgumentTable.Entry) {
    guard entry.isRepeating else {
      object[entry.name] = value
      return
    }
    object[entry.name] = .array((object[entry.name]?.array ?? []) + [value])
  }

  /// Numbers become numbers where they are written as JSON writes them back.
  private static func json(_ value: String, of entry: ArgumentTable.Entry) -> JSON {
    guard !entry.isPositional, entry.name != "negative" else { return .string(value) }
    if let number = Int(value), String(number) == value { return .integer(number) }
    if let number = Double(value), number.isFinite, "\(number)" == value { return .number(number) }
    return .string(value)
  }

  subscript(name: String) -> JSON? {
    get { object[name] }
    set { object[name] = newValue }
  }

  /// The value as the command line spells it.
  func text(_ name: String) -> String? { self[name].map(Self.text) }

  private static func text(_ value: JSON) -> String {
    value.string ?? value.text(.compact)
  }

  var names: [String] { object.keys }

  /// These arguments over `others`: what both name is as here.
  func over(_ others: JobArguments) -> JobArguments {
    var result = others
    if self["sigmas"] != nil || self["spacing"] != nil {
      // Noise levels of these go before those that the name of others' scheduler says.
      result["scheduler"] = others.withOwnSchedulerName["scheduler"]
    }
    for member in object.members { result.object[member.key] = member.value }
    // A scheduler's name that says the noise levels goes before others' noise levels.
    if withOwnSchedulerName["sigmas"] != nil {
      for name in ["sigmas", "spacing"] where self[name] == nil { result[name] = nil }
    }
    return result
  }

  /// Those that `isIncluded` says.
  func filtered(_ isIncluded: (ArgumentTable.Entry) -> Bool) -> JobArguments {
    var result = JobArguments()
    for member in object.members {
      guard let entry = ArgumentTable.generate[member.key], isIncluded(entry) else { continue }
      result.object[member.key] = member.value
    }
    return result
  }

  /// The same with files by their names alone.
  var withoutFolders: JobArguments {
    func bare(_ value: JSON) -> JSON {
      let path = Self.text(value)
      return .string(
        path.lastIndex(of: "/").map { String(path[path.index(after: $0)...]) } ?? path)
    }
    var result = self
    for member in object.members where ArgumentTable.generate[member.key]?.isFile == true {
      result.object[member.key] =
        member.value.array.map { .array($0.map(bare)) } ?? bare(member.value)
    }
    return result
  }

  /// The same, in the order of the help.
  var inOrder: JobArguments {
    var result = JobArguments()
    for entry in ArgumentTable.generate.entries { result.object[entry.name] = object[entry.name] }
    return result
  }

  /// The arguments as words of a command line.
  var commandLine: [String] {
    var words: [String] = []
    var positional: [String] = []
    for member in object.members {
      guard let entry = ArgumentTable.generate[member.key] else { continue }
      if entry.isFlag {
        if member.value == true { words.append("--" + entry.name) }
      } else if entry.isPositional {
        positional.append(Self.text(member.value))
      } else {
        for value in member.value.array ?? [member.value] {
          words.append("--\(entry.name)=\(Self.text(value))")
        }
      }
    }
    return words + (positional.isEmpty ? [] : ["--"] + positional)
  }

  /// Refuses values that no other argument can make right.
  ///
  /// - Throws: ``Failure`` `usage`.
  func checkValues() throws(Failure) {
    do {
      if let name = text("scheduler") { try SchedulerChoice(argument: name).check(besides: nil) }
      let isComplete = self["prompt"] != nil || self["prompts-from"] != nil
      _ = try GenerateCommand.parse(commandLine + (isComplete ? [] : ["--", "a"]))
    } catch let error as ValidationError {
      throw .usage(error.message, hint: "run it with --help")
    } catch {
      // Values are read first; whether they go with one another may be up to the arguments missing.
      let message = GenerateCommand.message(for: error)
      guard message.hasPrefix("The value '") else { return }
      throw .usage(message, hint: "run it with --help")
    }
  }

  /// The command that these arguments stand for, with every value checked.
  ///
  /// - Throws: ``Failure`` `usage`.
  func command() throws(Failure) -> GenerateCommand {
    do {
      return try GenerateCommand.parse(commandLine)
    } catch {
      throw .usage(GenerateCommand.message(for: error))
    }
  }
}
