import ModelFormats
import OrderedJSON

extension Conversion {
  /// The plan as lines of text.
  ///
  /// - Parameter size: bytes as text.
  public func lines(_ size: (Int) -> String = { "\($0) bytes" }) -> [String] {
    var lines = ["\(source.path) (\(source.layout.name)) -> \(path) (\(layout))"]
    for part in parts {
      var counts: [String: Int] = [:]
      for step in part.tensors {
        let key =
          step.tensor.encoding
          + (step.isQuantized
            ? " -> Q8_0"
            : step.isCast || step.tensor.isEightBit && step.dtype == .float32
              ? " -> \(step.dtype.rawValue)" : "")
        counts[key, default: 0] += 1
      }
      let types = counts.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }
      let place = part.output.isEmpty ? "" : " to \(part.output)"
      let renamed = part.tensors.count(where: \.isRenamed)
      lines.append(
        "\(part.component.name)\(place): \(part.tensors.count) tensors, \(size(part.storedByteCount)) ("
          + types.joined(separator: ", ") + ")" + (renamed > 0 ? ", \(renamed) renamed" : ""))
    }
    lines += files.map { "\($0.path): \(size($0.byteCount))" }
    let tensors = parts.reduce(0) { $0 + $1.tensors.count }
    let bytes = storedByteCount + files.reduce(0) { $0 + $1.byteCount }
    lines.append("in all: \(tensors) tensors and \(files.count) files, \(size(bytes))")
    var reasons: [String] = []
    for drop in drops where !reasons.contains(drop.reason) { reasons.append(drop.reason) }
    for reason in reasons {
      let names = drops.filter { $0.reason == reason }.map(\.name)
      lines.append("left out: \(names.count) (\(reason)): \(Leftover.shown(names))")
    }
    lines += notes.map { "note: \($0)" }
    return lines
  }

  /// The target as the command line names it.
  private var layout: String {
    target == .safetensors && container == .pytorch ? container.rawValue : target.rawValue
  }

  /// The plan as data.
  public var json: JSON {
    [
      "version": 1,
      "source": .string(source.path),
      "target": .string(path),
      "layout": .string(layout),
      "format": .string(container.rawValue),
      "bytes": .integer(storedByteCount),
      "components": .array(parts.map(\.json)),
      "files": .array(
        files.map { ["path": .string($0.path), "bytes": .integer($0.byteCount)] }),
      "dropped": .array(
        drops.map {
          [
            "name": .string($0.name), "component": .string($0.component.rawValue),
            "reason": .string($0.reason),
          ]
        }),
      "notes": .array(notes.map { .string($0) }),
    ]
  }
}

extension Conversion.Part {
  fileprivate var json: JSON {
    [
      "name": .string(component.name.rawValue),
      "file": output.isEmpty ? .null : .string(output),
      "bytes": .integer(storedByteCount),
      "tensors": .array(
        tensors.map { step in
          [
            "name": .string(step.tensor.name), "component": .string(step.component.rawValue),
            "source": step.source.map { .string($0) } ?? .null,
            "from": .string(step.tensor.encoding),
            "to": .string(step.isQuantized ? "Q8_0" : step.dtype.rawValue),
            "bytes": .integer(step.storedByteCount),
            "change": step.change.map { .string($0.rawValue) } ?? .null,
          ]
        }),
    ]
  }
}
