import ArgumentParser
import Checkpoint
import ModelFormats
import OrderedJSON
import Terminal

/// Prints a summary of a checkpoint.
struct SummaryCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "summary",
    abstract: "Identify a checkpoint; count its parameters, tensors and bytes.",
    discussion: """
      Shows the kind of model, with the tensors that decided it. Parameters are the distinct \
      elements of learned tensors; buffers (position ids, noise schedules) are counted \
      separately. Only headers are read, so this is fast for any file size.

      EXAMPLE
        sdinspect summary stable-diffusion-v1-5
      """)

  @OptionGroup var input: InputOptions

  @Flag(help: "Show the parameters of each part of each network.")
  var terms = false

  func run() throws {
    let summary = Summary(try input.open())
    guard !input.json else {
      Console.print(summary.json.text())
      return
    }
    printRecognition(summary)
    Console.print(table(summary).text())
    printNotes(summary)
    if terms { printTerms(summary) }
    printWarnings(summary.warnings + told(summary))
  }

  private func table(_ summary: Summary) -> Table {
    var table = Table([
      .init("component", .left, isName: true), .init("architecture", .left, rank: 6),
      .init("tensors", .right, rank: 3), .init("parameters", .right),
      .init("buffers", .right, rank: 7), .init("types", .left, rank: 4),
      .init("bytes", .right, rank: 1), .init("as F32", .right, rank: 5),
      .init("as F16", .right, rank: 2),
    ])
    for component in summary.components {
      table.add(
        [
          component.name.rawValue, component.architecture ?? "?", Format.count(component.tensors),
          Format.count(component.parameters), Format.count(component.buffers),
          component.storedTypes.map { "\($0.count) \($0.name)" }.joined(separator: ", "),
          Format.bytes(component.bytes), Format.bytes(component.bytesAsF32),
          Format.bytes(component.bytesAsF16),
        ])
    }
    table.addTotal(
      [
        "total", "", Format.count(summary.tensors), Format.count(summary.parameters),
        Format.count(summary.buffers), "", Format.bytes(summary.bytes),
        Format.bytes(summary.bytesAsF32), Format.bytes(summary.bytesAsF16),
      ].map { .init($0) })
    return table
  }

  /// Messages about unread files that are not among the checkpoint's warnings.
  private func told(_ summary: Summary) -> [String] {
    summary.safety.sentences.filter { !summary.warnings.contains($0) }
      .filter { sentence in !summary.warnings.contains { $0.hasSuffix(sentence) } }
  }

  /// Prints the kind of model, and why.
  private func printRecognition(_ summary: Summary) {
    let verdict = summary.safety.verdict == .safe ? "" : ", \(summary.safety.verdict.rawValue)"
    Console.print("\(Console.sanitized(summary.path)) (\(summary.format)\(verdict))")
    Console.printSentence(Console.heading(summary.recognition.title))
    for reason in summary.recognition.reasons {
      Console.printSentence("  - " + Console.sanitized(reason))
    }
    Console.print("")
  }

  /// Prints other tensors, and problems.
  private func printNotes(_ summary: Summary) {
    var lines: [String] = []
    for average in summary.components where average.name.averaged != nil {
      lines.append(
        "\(average.name): averaged weights (EMA), \(Format.count(average.parameters, "parameter")), "
          + Format.bytes(average.bytes))
    }
    let inferred = summary.components.filter { $0.configurationOrigin == .inferred }
    if !inferred.isEmpty {
      lines.append(
        "configuration inferred from the tensors' shapes, with the usual heads, norm groups and "
          + "activation: " + inferred.map(\.name.rawValue).joined(separator: ", "))
    }
    for component in summary.components {
      for group in component.packed {
        lines.append(
          "\(component.name): \(Format.count(group.weights.count)) \(group.method.rawValue), "
            + (group.parameters.map { "\(Format.count($0, "parameter")) before packing" }
              ?? "parameters unknown: the file does not contain the shapes before packing"))
      }
    }
    for leftover in summary.leftovers {
      lines.append(
        "\(leftover.kind.rawValue): \(Format.count(leftover.names.count, "tensor")), "
          + Format.bytes(leftover.bytes)
          // Names of graph constants are not meaningful.
          + (leftover.kind == .graphConstants ? "" : ": \(leftover.shownNames)"))
    }
    lines += metadataLines(summary)
    if !summary.unreadWeights.isEmpty {
      lines.append(
        "other weights files, not read: "
          + summary.unreadWeights.map { weights in
            let names = summary.safety.names.filter { $0.file == weights.path }
            guard !names.isEmpty else { return weights.path }
            return weights.path + (names[0].danger == nil ? " (unknown)" : " (dangerous)")
          }.joined(separator: ", "))
    }
    if !lines.isEmpty { Console.print("") }
    for line in lines { Console.printSentence(Console.sanitized(line)) }
  }

  /// The file's metadata, with long values shortened; an ONNX model's operators on one line.
  private func metadataLines(_ summary: Summary) -> [String] {
    let prefix = "operator "
    let operators = summary.metadata.filter { $0.key.hasPrefix(prefix) }
    let shapes = summary.metadata.count { $0.key.hasPrefix(GGUF.originalShape) }
    let pairs = summary.metadata.filter {
      !$0.key.hasPrefix(prefix) && !$0.key.hasPrefix(GGUF.originalShape)
    }
    var lines = pairs.prefix(24).map { pair in
      let text = pair.value.count > 72 ? pair.value.prefix(72) + "…" : pair.value[...]
      return "\(pair.key): \(text)"
    }
    if pairs.count > 24 { lines.append("and \((pairs.count - 24).of("more pair")) of metadata") }
    if shapes > 0 {
      lines.append("\(GGUF.originalShape)*: the original shapes of \(shapes.of("tensor"))")
    }
    if !operators.isEmpty {
      lines.append(
        "operators: "
          + operators.map { "\($0.value) \($0.key.dropFirst(prefix.count))" }
          .joined(separator: ", "))
    }
    return lines
  }

  private func printTerms(_ summary: Summary) {
    for component in summary.components where !component.terms.isEmpty {
      var table = Table([
        (component.name.rawValue, .left), ("parameters", .right), ("share", .right),
        ("as F32", .right),
      ])
      for term in component.terms {
        table.add([
          term.name, Format.count(term.parameters),
          Format.share(term.parameters, of: component.parameters),
          Format.bytes(4 * term.parameters),
        ])
      }
      Console.print("\n" + table.text())
    }
  }
}
