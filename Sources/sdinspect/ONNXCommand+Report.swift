import Checkpoint
import ModelFormats
import ONNXExport
import OrderedJSON
import Terminal

extension ONNXCommand {
  /// Prints what was exported.
  func printReport(
    _ report: ExportReport, _ adapters: [LoRA], dropped: [Conversion.Drop], notes: [String],
    warnings: [String], seconds: Double
  ) {
    guard !input.json else {
      printJSON([
        "networks": .array(report.networks.map(row)),
        "loras": .array(adapters.map(row)),
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
        network.name, Format.count(network.nodes), Format.count(network.weights),
        Format.bytes(network.bytesCopied), network.modelPath,
      ])
    }
    Console.print(table.text())
    Console.print(
      "wrote \(report.paths.count) files to \(Console.sanitized(output)) in \(Format.seconds(seconds))"
    )
    for line in dropped.lines { Console.print(Console.sanitized(line)) }
    for network in report.networks {
      for tensor in network.saturated {
        Console.note("note: \(tensor.count) values of \(tensor.name) became 65504")
      }
    }
    for adapter in adapters { note(adapter) }
    for note in notes { Console.note("note: " + Console.sanitized(note)) }
    printWarnings(warnings)
  }

  /// What a LoRA changed, and each of its tensors that changed nothing.
  private func note(_ adapter: LoRA) {
    let counts = adapter.updates.sorted { $0.key.rawValue < $1.key.rawValue }.map {
      "\($0.value.count) layers of the \($0.key.title)"
    }
    Console.note(
      "\(Console.sanitized(adapter.path)): changed " + counts.joined(separator: " and "))
    for tensor in adapter.unused {
      Console.note("note: \(Console.sanitized(tensor.name)) is unused: \(tensor.reason)")
    }
  }

  private func row(_ adapter: LoRA) -> JSON {
    var layers = JSONObject()
    for (component, updates) in adapter.updates.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
      layers[component.rawValue] = .integer(updates.count)
    }
    return [
      "file": .string(adapter.path), "scale": .number(adapter.scale), "layers": .object(layers),
      "unused": .array(
        adapter.unused.map { ["name": .string($0.name), "reason": .string($0.reason)] }),
    ]
  }

  private func row(_ network: ExportReport.Network) -> JSON {
    var operators = JSONObject()
    for (name, count) in network.operatorCounts.sorted(by: { $0.key < $1.key }) {
      operators[name] = .integer(count)
    }
    return [
      "name": .string(network.name), "model": .string(network.modelPath),
      "weight_files": .array(network.weightPaths.map { .string($0) }),
      "nodes": .integer(network.nodes), "operators": .object(operators),
      "weights": .integer(network.weights), "bytes_copied": .integer(network.bytesCopied),
      "dtype": .string(network.precision.rawValue),
      "saturated": .array(
        network.saturated.map { ["name": .string($0.name), "values": .integer($0.count)] }),
    ]
  }
}
