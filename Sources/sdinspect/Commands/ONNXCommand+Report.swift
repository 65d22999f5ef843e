import Checkpoint
import ModelFormats
import ModelGraph
import ONNXExport
import OrderedJSON
import Terminal

extension ONNXCommand {
  /// Prints the result of the export.
  func printReport(
    _ report: ExportReport, _ adapters: [LoRA], dropped: [Conversion.Drop], notes: [String],
    warnings: [String], seconds: Double
  ) {
    guard !input.json else {
      printJSON([
        "networks": .array(report.networks.map(row)),
        "loras": .array(adapters.map(\.json)),
        "files": .array(report.paths.map { .string($0) }), "dropped": dropped.json,
        "seconds": .number(seconds),
        "notes": json(notes), "warnings": json(warnings),
      ])
      return
    }
    var table = Table([
      ("network", .left), ("nodes", .right), ("weights", .right), ("copied", .right),
      ("model", .left),
    ])
    for network in report.networks {
      table.add([
        network.name.rawValue, Format.count(network.nodes), Format.count(network.weights),
        Format.bytes(network.bytesCopied), network.modelPath,
      ])
    }
    Console.print(table.text())
    Console.print(
      "wrote \(report.paths.count.of("file")) to \(Console.sanitized(output)) in \(Format.seconds(seconds))"
    )
    for line in dropped.lines { Console.print(Console.sanitized(line)) }
    for network in report.networks {
      for tensor in network.saturated {
        let largest = Cast.largest(of: network.precision == .f16 ? .float16 : .float32)
        Console.note("note: \(tensor.count.of("value")) of \(tensor.name) became \(largest)")
      }
    }
    for adapter in adapters { note(adapter) }
    for note in notes { Console.note("note: " + Console.sanitized(note)) }
    printWarnings(warnings)
  }

  /// Prints what a LoRA changed, and the number of unused tensors by reason.
  private func note(_ adapter: LoRA) {
    Console.note(
      "\(Console.sanitized(adapter.path)): changed \(Console.sanitized(adapter.changeSummary))")
    for embedding in adapter.embeddings {
      Console.note(
        "note: the textual inversion \(Console.sanitized(embedding.word)) in it is not exported")
    }
    for line in adapter.unusedSummary { Console.note("note: \(Console.sanitized(line))") }
  }

  private func row(_ network: ExportReport.Network) -> JSON {
    var operators = JSONObject()
    for (name, count) in network.operatorCounts.sorted(by: { $0.key < $1.key }) {
      operators[name] = .integer(count)
    }
    return [
      "name": .string(network.name.rawValue), "model": .string(network.modelPath),
      "weight_files": .array(network.weightPaths.map { .string($0) }),
      "nodes": .integer(network.nodes), "operators": .object(operators),
      "weights": .integer(network.weights), "bytes_copied": .integer(network.bytesCopied),
      "dtype": .string(network.precision.rawValue),
      "saturated": .array(
        network.saturated.map { ["name": .string($0.name), "values": .integer($0.count)] }),
    ]
  }
}
