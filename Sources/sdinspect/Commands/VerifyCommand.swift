import ArgumentParser
import Checkpoint
import ModelFormats
import OrderedJSON
import Terminal

/// Checks a checkpoint for damage and missing parts.
struct VerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Check a checkpoint for damage and missing parts.",
    discussion: """
      Checks the tensors of each network against its configuration, and the files of the \
      tokenizer and the scheduler for the required contents. Recomputes the checksums of a flat \
      file and the CRC-32 of every record of a PyTorch zip file, on all cores. safetensors, GGUF \
      and older PyTorch files have no checksums.

      Every problem is listed. The exit status is 0 if the checkpoint is sound or no problem was \
      found; 1 if it is not sound or its pickle is dangerous; 65 or 66 if it cannot be opened: \
      it is truncated, has another format or a damaged header, or a file is missing.

      EXAMPLE
        sdinspect verify sd15.sdflat
      """)

  @OptionGroup var input: InputOptions

  func run() throws {
    let checkpoint: ModelCheckpoint
    do {
      checkpoint = try input.open()
    } catch let error as FormatError {
      // A file that runs code when unpickled gets a verdict even if it cannot be read as a
      // checkpoint.
      guard let safety = error.safety, safety.verdict == .dangerous else { throw error }
      refuse(error, safety)
      throw Ended(.differs)
    }
    let bar = ProgressBar("verifying", isQuiet: input.json)
    defer { bar.finish() }
    let result = try Verification(of: checkpoint) { done, total in
      bar.update(
        Double(done) / Double(max(1, total)),
        "\(Format.bytes(done)) of \(Format.bytes(total))")
    }
    bar.finish()
    // Do not repeat messages of the check.
    let told = Set(result.problems + result.notes + result.unchecked)
    report(result, warnings: checkpoint.warnings.filter { !told.contains($0) })
    if !result.isSound { throw Ended(.differs) }
  }

  /// Reports why a dangerous file could not be opened, and what it would run.
  private func refuse(_ error: FormatError, _ safety: Safety) {
    var plain = error
    plain.safety = nil
    guard !input.json else {
      printJSON([
        "path": .string(input.path), "sound": false, "problems": json([plain.description]),
        "unchecked": [], "notes": [], "checked": [], "warnings": json(safety.sentences),
        "safety": safety.json,
      ])
      return
    }
    Console.print(Console.sanitized(plain.description))
    for sentence in safety.sentences { Console.print(Console.sanitized(sentence)) }
    Console.print("not sound: dangerous")
    if let hint = error.hint { Console.note("hint: " + Console.sanitized(hint.phrased)) }
  }

  private func report(_ result: Verification, warnings: [String]) {
    if input.json {
      printJSON([
        "path": .string(input.path),
        // Null if a network could not be checked.
        "sound": result.verdict.map { .bool($0) } ?? .null,
        "problems": json(result.problems), "unchecked": json(result.unchecked),
        "notes": json(result.notes), "checked": json(result.checked), "warnings": json(warnings),
        "safety": result.safety.json,
      ])
      return
    }
    for problem in result.problems { Console.print(Console.sanitized(problem)) }
    for reason in result.unchecked { Console.print("not checked: " + Console.sanitized(reason)) }
    for note in result.notes { Console.print("note: " + Console.sanitized(note)) }
    Console.print(Console.sanitized(verdict(result)))
    printWarnings(warnings)
  }

  private func verdict(_ result: Verification) -> String {
    let checked = result.checked.joined(separator: ", ")
    if !result.isSound {
      let count = result.problems.count
      let danger = result.safety.verdict == .dangerous ? "dangerous, " : ""
      return "not sound: \(danger)\(count.of("problem"))"
        + (checked.isEmpty ? "" : " (checked \(checked))")
    }
    if checked.isEmpty { return "readable, but nothing to check it against" }
    return (result.verdict == true ? "sound" : "readable") + ": \(checked)"
  }
}
