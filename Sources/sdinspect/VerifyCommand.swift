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
      A flat file's checksums are all computed again; what does not match is named, and the exit \
      status is 1. Other formats have no checksums: they are opened, and every network's tensors \
      are checked against its configuration.

      EXAMPLE
        sdinspect verify sd15.sdflat
      """)

  @OptionGroup var input: InputOptions

  func run() throws {
    let checkpoint = try ModelCheckpoint.open(input.path)
    guard case .file(.sdflat) = checkpoint.layout else {
      try verifyManifests(checkpoint)
      return
    }
    let bar = ProgressBar("verifying")
    let result = try FlatFile.verify(input.path)
    bar.finish()
    report(
      isSound: result.isSound, problems: result.damages.map(\.description),
      checked: "\(result.checkedCount) parts, \(Format.bytes(result.byteCount))")
    if !result.isSound { throw Ended(.differs) }
  }

  /// Files without checksums: what the networks need is there, as far as they are known.
  private func verifyManifests(_ checkpoint: ModelCheckpoint) throws {
    let problems = checkpoint.components.flatMap { component in
      (component.manifest?.problems ?? []).map { "\(component.name): \($0)" }
    }
    let unknown = checkpoint.components.filter { $0.manifest == nil }
    let unchecked = unknown.map { component in
      "\(component.name): " + (component.graphFailure?.message ?? "the network is not known")
    }
    let isSound = checkpoint.components.allSatisfy { $0.manifest?.isComplete ?? true }
    let tensors = checkpoint.components.reduce(0) { $0 + $1.tensors.count }
    report(
      isSound: isSound, problems: problems, unchecked: unchecked, checked: "\(tensors) tensors")
    printWarnings(
      checkpoint.warnings.filter { warning in
        !problems.contains(warning) && !unchecked.contains(warning)
      })
    if !isSound { throw Ended(.differs) }
  }

  private func report(
    isSound: Bool, problems: [String], unchecked: [String] = [], checked: String
  ) {
    if input.json {
      printJSON([
        "path": .string(input.path),
        // Neither yes nor no where a network could not be checked.
        "sound": isSound && !unchecked.isEmpty ? .null : .bool(isSound),
        "problems": .array(problems.map { .string($0) }),
        "unchecked": .array(unchecked.map { .string($0) }),
      ])
      return
    }
    for problem in problems { Console.print(Console.sanitized(problem)) }
    for reason in unchecked { Console.print("not checked: " + Console.sanitized(reason)) }
    if !isSound {
      Console.print("not sound: \(checked)")
    } else {
      Console.print((unchecked.isEmpty ? "sound: " : "readable: ") + checked)
    }
  }
}
