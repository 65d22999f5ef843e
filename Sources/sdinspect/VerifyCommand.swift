import ArgumentParser
import Checkpoint
import ModelFormats
import OrderedJSON
import Terminal

/// Checks that a checkpoint is whole.
struct VerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Check that a checkpoint is whole.",
    discussion: """
      Every network's tensors are checked against its configuration, a tokenizer's and a \
      scheduler's files for what they must say. A flat file's checksums and the CRC-32 of every \
      record of a PyTorch zip file are computed again, on all cores; safetensors, GGUF and older \
      PyTorch files have no checksums.

      What is wrong is named. The exit status is 0 where the checkpoint is sound or nothing wrong \
      was found, 1 where it is not sound, and 65 or 66 where it cannot be opened at all: it is cut \
      off or something else, its header is damaged, or a file is lacking.

      EXAMPLE
        sdinspect verify sd15.sdflat
      """)

  @OptionGroup var input: InputOptions

  func run() throws {
    let checkpoint = try input.open()
    let bar = ProgressBar("verifying", isQuiet: input.json)
    defer { bar.finish() }
    let result = try Verification(of: checkpoint) { done, total in
      bar.update(
        Double(done) / Double(max(1, total)),
        "\(Format.bytes(done)) of \(Format.bytes(total))")
    }
    bar.finish()
    // What the check tells itself is not told twice.
    let told = Set(result.problems + result.notes + result.unchecked)
    report(result, warnings: checkpoint.warnings.filter { !told.contains($0) })
    if !result.isSound { throw Ended(.differs) }
  }

  private func report(_ result: Verification, warnings: [String]) {
    if input.json {
      printJSON([
        "path": .string(input.path),
        // Neither yes nor no where a network could not be checked.
        "sound": result.verdict.map { .bool($0) } ?? .null,
        "problems": json(result.problems), "unchecked": json(result.unchecked),
        "notes": json(result.notes), "checked": json(result.checked), "warnings": json(warnings),
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
      return "not sound: \(count.of("problem"))"
        + (checked.isEmpty ? "" : " (checked \(checked))")
    }
    if checked.isEmpty { return "readable, but there was nothing to check it against" }
    return (result.verdict == true ? "sound" : "readable") + ": \(checked)"
  }
}
