import ArgumentParser
import Checkpoint
import ModelFormats
import OrderedJSON
import Terminal

/// Compares two checkpoints.
struct DiffCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "diff",
    abstract: "Compare two checkpoints: tensors added, removed, reshaped, retyped, changed.",
    discussion: """
      Tensors are paired by component and diffusers name, so a .ckpt can be compared with a \
      repository. Values of different types are compared as numbers. Shapes that differ only in \
      dimensions of size 1 are the same. The exit status is 0 if all values and types are the \
      same, else 1.

      EXAMPLE
        sdinspect diff v1-5-pruned.ckpt stable-diffusion-v1-5 --component unet
      """)

  @Argument(help: "The old checkpoint (A): a file or directory.", completion: .file())
  var a: String

  @Argument(help: "The new checkpoint (B).", completion: .file())
  var b: String

  @OptionGroup var component: ComponentOption

  @Flag(help: "List all tensors, not just the first of each kind.")
  var all = false

  @Flag(help: "Print JSON instead of text.")
  var json = false

  func run() throws {
    let checkpoints = try [a, b].map { path throws(FormatError) in try ModelCheckpoint.open(path) }
    let sides = try checkpoints.map { try component.select(from: $0, partly: true) }
    // A name in neither checkpoint is an error.
    for name in component.list ?? []
    where !sides.joined().contains(where: { $0.name.rawValue == name }) {
      _ = try component.select(from: checkpoints[0])
    }
    let bar = ProgressBar("comparing", isQuiet: json)
    let difference: CheckpointDifference
    do {
      defer { bar.finish() }
      difference = try CheckpointDifference(sides[0], sides[1]) { share in
        bar.update(share, Format.decimals(100 * share, 0) + " %")
      }
    }
    let seconds = bar.elapsed
    // Unread values were not compared.
    let unread = checkpoints.flatMap(\.findings.unread).map(\.name)
    let isSame = difference.isSame && unread.isEmpty
    if json {
      printJSON(difference.json(checkpoints.flatMap(\.warnings), isSame: isSame, unread))
    } else {
      printText(difference, isSame: isSame, seconds)
      if !unread.isEmpty {
        Console.printSentence(
          "not compared: \(unread.count.of("value")) that cannot be read: "
            + Console.sanitized(unread.prefix(8).joined(separator: ", "))
            + (unread.count > 8 ? ", …" : ""))
      }
      printWarnings(checkpoints.flatMap(\.warnings))
    }
    if !isSame { throw Ended(.differs) }
  }

  private func printText(
    _ difference: CheckpointDifference, isSame: Bool, _ seconds: Double
  ) {
    let limit = all ? Int.max : 20
    for part in difference.parts {
      printEntries("only in A", part, part.removed, limit, .error)
      printEntries("only in B", part, part.added, limit, .good)
      printChanged(part, limit)
      let others = part.pairs.filter(\.isSameInOtherShape)
      if let first = others.first {
        Console.printSentence(
          "\(part.name): \(Format.count(others.count)) with the same values in another shape, as "
            + "\(Console.sanitized(Tensor.displayName(first.name))) \(first.left.shape) and "
            + "\(first.right.shape)")
        Console.print("")
      }
    }
    var table = Table([
      .init("component", .left, isName: true), .init("same", .right), .init("changed", .right),
      .init("retyped", .right, rank: 2), .init("reshaped", .right, rank: 3),
      .init("only in A", .right), .init("only in B", .right),
      .init("max abs", .right, rank: 1), .init("max rel", .right, rank: 4),
    ])
    for part in difference.parts {
      let changed = part.changed
      func count(_ value: Int) -> Table.Cell {
        .init(Format.count(value), value > 0 ? .warning : .plain)
      }
      let comparisons = changed.compactMap(\.comparison)
      table.add([
        .init(part.name.rawValue), .init(Format.count(part.pairs.count - changed.count)),
        count(changed.count), count(changed.count(where: \.isRetyped)),
        count(changed.count(where: \.isReshaped)), count(part.removed.count),
        count(part.added.count),
        .init(Format.significant(comparisons.map(\.maximumAbsolute).max() ?? 0)),
        .init(Format.significant(comparisons.map(\.maximumRelative).max() ?? 0)),
      ])
    }
    Console.print(table.text())
    let rate = Double(difference.bytesCompared) / max(seconds, 1e-6) / 1e9
    Console.printSentence(
      (isSame ? "same" : difference.isSame ? "same as far as compared" : "different")
        + ": \(Format.bytes(difference.bytesCompared)) "
        + "compared in \(Format.seconds(seconds)), \(Format.decimals(rate, 1)) GB/s")
  }

  private func printEntries(
    _ title: String, _ part: CheckpointDifference.Part, _ entries: [CheckpointDifference.Entry],
    _ limit: Int, _ style: Style
  ) {
    guard !entries.isEmpty else { return }
    var table = Table([
      .init("\(part.name), \(title)", .left, isName: true), .init("dtype", .left, rank: 1),
      .init("shape", .left, rank: 2),
    ])
    for entry in entries.prefix(limit) {
      table.add([
        .init(Tensor.displayName(entry.name), style), .init(entry.tensor.encoding),
        .init(entry.tensor.shape.description),
      ])
    }
    Console.print(table.text() + more(entries.count, limit) + "\n")
  }

  private func printChanged(_ part: CheckpointDifference.Part, _ limit: Int) {
    let changed = part.changed
    guard !changed.isEmpty else { return }
    var table = Table([
      .init("\(part.name), changed", .left, isName: true), .init("dtype", .left, rank: 2),
      .init("shape", .left, rank: 5), .init("differing", .right, rank: 1),
      .init("share", .right, rank: 6), .init("max abs", .right), .init("max rel", .right, rank: 3),
      .init("rms", .right, rank: 4),
    ])
    for pair in changed.prefix(limit) {
      let dtypes =
        pair.isRetyped
          || pair.left.encoding != pair.right.encoding
        ? "\(pair.left.encoding) → \(pair.right.encoding)" : pair.left.encoding
      let shapes =
        pair.left.shape == pair.right.shape
        ? pair.left.shape.description : "\(pair.left.shape) → \(pair.right.shape)"
      var cells: [Table.Cell] = [
        .init(Tensor.displayName(pair.name)), .init(dtypes), .init(shapes),
      ]
      if let comparison = pair.comparison, comparison.isCompared {
        cells += [
          .init(comparison.note ?? Format.count(comparison.differing)),
          .init(Format.share(comparison.differing, of: pair.left.elementCount)),
          .init(Format.significant(comparison.maximumAbsolute)),
          .init(Format.significant(comparison.maximumRelative)),
          .init(Format.significant(comparison.rootMeanSquare)),
        ]
      } else {
        cells += [.init(pair.isReshaped ? "reshaped" : "not compared"), "", "", "", ""]
      }
      table.add(cells)
    }
    Console.print(table.text() + more(changed.count, limit) + "\n")
  }

  private func more(_ count: Int, _ limit: Int) -> String {
    count > limit ? "\n… and \(Format.count(count - limit)) more (--all lists them)" : ""
  }
}

extension TensorComparison {
  /// The text in place of a count.
  fileprivate var note: String? {
    if isRounded { return differing == 0 ? "same values" : "rounded" }
    if differing == 0 { return isIdentical ? nil : "same values" }
    return nil
  }
}

extension CheckpointDifference {
  fileprivate func json(
    _ warnings: [String], isSame: Bool, _ unread: [String]
  ) -> JSONObject {
    [
      "same": .bool(isSame), "not_compared": .array(unread.map { .string($0) }),
      "added": .array(parts.flatMap(\.added).map(\.json)),
      "removed": .array(parts.flatMap(\.removed).map(\.json)),
      "changed": .array(parts.flatMap(\.changed).map(\.json)),
      "reshaped": .array(parts.flatMap(\.pairs).filter(\.isSameInOtherShape).map(\.json)),
      "components": .array(
        parts.map { part in
          [
            "name": .string(part.name.rawValue),
            "same": .integer(part.pairs.count - part.changed.count),
            "changed": .integer(part.changed.count), "added": .integer(part.added.count),
            "removed": .integer(part.removed.count),
          ]
        }),
      "bytes_compared": .integer(bytesCompared), "warnings": .array(warnings.map { .string($0) }),
    ]
  }

}

extension CheckpointDifference.Entry {
  fileprivate var json: JSON {
    [
      "name": .string(name), "component": .string(component.rawValue),
      "dtype": .string(tensor.dtype.rawValue), "encoding": .string(tensor.encoding),
      "shape": tensor.shape.json,
    ]
  }
}

extension CheckpointDifference.Pair {
  fileprivate var json: JSON {
    func side(_ tensor: Tensor) -> JSON {
      [
        "name": .string(tensor.name), "dtype": .string(tensor.dtype.rawValue),
        "encoding": .string(tensor.encoding), "shape": tensor.shape.json,
      ]
    }
    var object: JSONObject = [
      "name": .string(name), "component": .string(component.rawValue), "a": side(left),
      "b": side(right), "reshaped": .bool(isReshaped), "retyped": .bool(isRetyped),
    ]
    let comparison = comparison.flatMap { $0.isCompared ? $0 : nil }
    object["elements"] = .integer(left.elementCount)
    object["differing"] = comparison.map { .integer($0.differing) } ?? .null
    object["not_finite"] = comparison.map { .integer($0.unlike) } ?? .null
    object["max_absolute"] = comparison.map { .number($0.maximumAbsolute) } ?? .null
    object["max_relative"] = comparison.map { .number($0.maximumRelative) } ?? .null
    object["rms"] = comparison.map { .number($0.rootMeanSquare) } ?? .null
    object["rounded"] = comparison.map { .bool($0.isRounded) } ?? .null
    return .object(object)
  }
}
