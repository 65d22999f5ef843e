import ArgumentParser
import Diffusion
import ModelFormats
import OrderedJSON
import Terminal

extension Failure {
  /// A job's error for display; JSON also has field, value and allowed values.
  init(_ error: JobError) {
    self = .usage(error.message.text { "--" + $0 }, hint: Self.hint(error))
    members["field"] = .string(error.field)
    members["got"] = error.got.map { .string($0) } ?? .null
    members["allowed"] = error.allowed.map { .string($0) } ?? .null
  }

  private static func hint(_ error: JobError) -> String? {
    switch error.reason {
    case .unknownField:
      ForeignOption.hint("--" + error.field).map { "use \($0), here without dashes" }
        ?? Spelling.nearest(to: "--" + error.field, in: JobField.all.map { "--" + $0.name })
        .map { "did you mean \($0.dropFirst(2))?" }
        ?? "use the names in sdgen generate --help, without dashes"
    case .kind: error.got == "null" ? "omit \(error.field) if it has no value" : nil
    case .zeroCharacter: "remove it"
    case .infinite: "see sdgen generate --help for ranges"
    case .range, .combination: nil
    }
  }
}

extension DrawingJob {
  /// - Throws: ``Failure`` `usage`, as ``init(_:)``.
  init(line object: JSONObject) throws(Failure) {
    do throws(JobError) {
      try self.init(object)
    } catch {
      throw Failure(error)
    }
  }

  /// Rejects jobs that no model supports.
  ///
  /// - Throws: ``Failure`` `usage`.
  func requireDrawable() throws(Failure) {
    do {
      try scheduler.map {
        try SchedulerChoice(argument: $0).check(besides: noiseLevelsApart, spacing)
      }
      for file in lora ?? [] {
        guard let scaled = ScaledFile(argument: file) else {
          throw ValidationError("missing file name after --lora")
        }
        try scaled.check("--lora")
      }
      try check()
    } catch {
      throw Failure(checking: error)
    }
  }

  /// Rejects an unknown scheduler, which no other field can correct.
  ///
  /// - Throws: ``Failure`` `usage`.
  func requireKnownScheduler() throws(Failure) {
    do {
      try scheduler.map { try SchedulerChoice(argument: $0).check(besides: nil) }
    } catch {
      throw Failure(checking: error, hint: "run it with --help")
    }
  }

  private var noiseLevelsApart: SigmaSpacing? { sigmas.flatMap { SigmaSpacing(text: $0) } }
}

extension Failure {
  fileprivate init(checking error: any Error, hint: String? = nil) {
    switch error {
    case let error as JobError: self.init(error)
    case let error as ValidationError: self = .usage(error.message, hint: hint)
    default: self.init(wrapping: error)
    }
  }
}
