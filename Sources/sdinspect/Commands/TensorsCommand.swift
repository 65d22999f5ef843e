import ArgumentParser
import Checkpoint
import ModelFormats
import OrderedJSON
import Terminal

/// Lists every tensor.
struct TensorsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tensors",
    abstract: "List all tensors: type, shape, parameters, bytes, file and offset.",
    discussion: """
      Names are those in the file. In a PyTorch file that is not a flat dictionary, a name is \
      the path to the tensor inside the object, joined by dots.

      EXAMPLE
        sdinspect tensors stable-diffusion-v1-5 --component vae --sha256
      """)

  @OptionGroup var input: InputOptions
  @OptionGroup var component: ComponentOption

  @Flag(help: "Add the SHA-256 of each tensor's contiguous little-endian values.")
  var sha256 = false

  func run() throws {
    let checkpoint = try input.open()
    let components = try component.select(from: checkpoint)
    let tensors = components.flatMap(\.tensors)
    let digests = sha256 ? try digests(of: tensors) : nil
    if input.json {
      printRows(components, digests, warnings: checkpoint.warnings)
    } else {
      printTable(components, digests)
      printWarnings(checkpoint.warnings)
    }
  }

  private func digests(of tensors: [Tensor]) throws -> [String] {
    let total = max(1, tensors.reduce(0) { $0 + $1.byteCount })
    let bar = ProgressBar("hashing", isQuiet: input.json)
    defer { bar.finish() }
    return try TensorDigest.sha256(of: tensors) { done in
      bar.update(
        Double(done) / Double(total),
        "\(Format.bytes(done)) of \(Format.bytes(total)), "
          + "\(Format.bytes(Int(Double(done) / max(bar.elapsed, 1e-3))))/s")
    }
  }

  /// Prints the same object as ``printJSON(_:)``, but row by row: a file may list tens of thousands
  /// of tensors, which together would need a hundred times the header's size.
  private func printRows(_ components: [Component], _ digests: [String]?, warnings: [String]) {
    var text = "{\n  \"version\": 1,\n  \"tensors\": ["
    var position = 0
    for component in components {
      for tensor in component.tensors {
        var row: JSONObject = [
          "name": .string(tensor.name),
          "component": .string(component.name.rawValue),
          "dtype": .string(tensor.dtype.rawValue),
          "encoding": .string(tensor.encoding),
          "shape": .array(tensor.shape.dimensions.map { .integer($0) }),
          "stored_shape": .array(
            (tensor.storedShape ?? tensor.shape).dimensions.map { .integer($0) }),
          "parameters": .integer(tensor.elementCount),
          "bytes": .integer(tensor.storedByteCount),
          "file": .string(tensor.file?.path ?? component.path),
          "offset": tensor.offset.map { .integer($0) } ?? .null,
        ]
        if let digests { row["sha256"] = .string(digests[position]) }
        text += (position == 0 ? "\n    " : ",\n    ") + JSON.object(row).text(depth: 2)
        position += 1
        if text.utf8.count > 1 << 16 {
          Console.write(text)
          text = ""
        }
      }
    }
    text += position == 0 ? "],\n" : "\n  ],\n"
    Console.print(text + "  \"warnings\": \(json(warnings).text(depth: 1))\n}")
  }

  private func printTable(_ components: [Component], _ digests: [String]?) {
    var columns: [Table.Column] = [
      .init("tensor", .left, isName: true), .init("dtype", .left, rank: 1),
      .init("shape", .left, rank: 2), .init("parameters", .right, rank: 3),
      .init("bytes", .right, rank: 4),
    ]
    // A narrow terminal has no room for names next to digests.
    let isBelow = Console.width.map { $0 < 140 } ?? false
    if digests != nil, !isBelow { columns.append(.init("sha256", .left)) }
    var position = 0
    for component in components {
      var table = Table(columns)
      for tensor in component.tensors {
        var cells = [
          tensor.displayName, tensor.encoding,
          tensor.shape.description + (tensor.storedShape.map { " (stored \($0))" } ?? ""),
          Format.count(tensor.elementCount),
          Format.count(tensor.storedByteCount),
        ]
        if let digests, !isBelow { cells.append(digests[position]) }
        table.add(cells)
        if let digests, isBelow { table.addNote("  sha256 \(digests[position])") }
        position += 1
      }
      Console.print(
        "\(Console.heading(component.name.rawValue)) (\(Console.sanitized(component.path)))\n"
          + "\(table.text())\n")
    }
  }
}
