import ModelFormats
import OrderedJSON

extension Conversion {
  /// The plan as lines of text.
  ///
  /// - Parameter size: formats a number of bytes.
  public func lines(_ size: (Int) -> String = { "\($0) bytes" }) -> [String] {
    var lines = ["\(source.path) (\(source.layout.name)) -> \(path) (\(layout))"]
    for part in parts {
      var counts: [String: Int] = [:]
      for step in part.tensors {
        let (from, to) = (step.tensor.encoding, step.encoding)
        counts[from == to ? to : "\(from) -> \(to)", default: 0] += 1
      }
      let types = counts.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }
      let place = part.output.isEmpty ? "" : " to \(part.output)"
      let renamed = part.tensors.count(where: \.isRenamed)
      lines.append(
        "\(part.component.name)\(place): \(part.tensors.count.of("tensor")), \(size(part.storedByteCount)) ("
          + types.joined(separator: ", ") + ")" + (renamed > 0 ? ", \(renamed) renamed" : ""))
    }
    lines += files.map { "\($0.path): \(size($0.byteCount))" }
    let tensors = parts.reduce(0) { $0 + $1.tensors.count }
    let bytes = storedByteCount + files.reduce(0) { $0 + $1.byteCount }
    lines.append("in all: \(tensors.of("tensor"))\(otherFiles), \(size(bytes))")
    lines += leftOutLines
    lines += notes.map { "note: \($0)" }
    return lines
  }

  /// The small files to write, as text to append to a tensor count; empty if there are none.
  public var otherFiles: String { files.isEmpty ? "" : " and \(files.count.of("file"))" }

  /// The target's name on the command line.
  private var layout: String {
    target == .safetensors && container == .pytorch ? container.rawValue : target.rawValue
  }

  /// Lines about what is not written: one per reason with a tensor count and the first names, then
  /// small files, then weights of the source that were not read.
  public var leftOutLines: [String] {
    var lines = drops.lines
    let dropped = droppedFiles
    if !dropped.isEmpty {
      let folders = dropped.count { $0.hasSuffix("/") }
      let small = dropped.count - folders
      let counts = [
        small > 0 ? small.of("small file") : nil, folders > 0 ? folders.of("folder") : nil,
      ]
      lines.append(
        "left out: \(counts.compactMap(\.self).joined(separator: " and ")): "
          + Leftover.shown(dropped))
    }
    let paths = unreadWeights.map(\.path)
    if !paths.isEmpty {
      lines.append(
        "not read: \(paths.count.of("file")) of weights next to these: "
          + Leftover.shown(paths))
    }
    return lines
  }

  /// Source files besides weights that are not written, and directories, which end in a slash.
  var droppedFiles: [String] {
    let written = Set(files.map(\.path))
    let unread = Set(source.unreadWeights.map(\.path))
    return (source.files.map(\.path) + source.otherFiles).filter {
      !written.contains($0) && !unread.contains($0) && isAskedFor($0)
    }
  }

  /// Other weights of the source that were not read.
  private var unreadWeights: [UnreadWeights] { source.unreadWeights.filter { isAskedFor($0.path) } }

  /// Whether a file belongs to the converted components.
  private func isAskedFor(_ path: String) -> Bool {
    options.components?.contains { path.hasPrefix("\($0)/") } ?? true
  }

  /// The plan as data.
  package var json: JSON {
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
      "dropped": drops.json,
      "dropped_files": .array(droppedFiles.map { .string($0) }),
      "unread_weights": .array(unreadWeights.map(\.json)),
      "notes": .array(notes.map { .string($0) }),
    ]
  }
}

extension [Conversion.Drop] {
  /// One line per reason with a tensor count and the first names, then one for plain values.
  package var lines: [String] {
    let values = compactMap { drop in drop.value.map { "\(drop.name) (\($0))" } }
    var reasons: [String] = []
    var names: [String: [String]] = [:]
    for drop in self where !drop.isValue {
      if names[drop.reason] == nil { reasons.append(drop.reason) }
      names[drop.reason, default: []].append(drop.name)
    }
    var lines = reasons.map { reason in
      let names = names[reason] ?? []
      return "left out: \(names.count) (\(reason)): \(Leftover.shown(names))"
    }
    if !values.isEmpty {
      lines.append(
        "left out: \(values.count.of("plain value, no tensor", "plain values, no tensors")): "
          + Leftover.shown(values, limit: 6))
    }
    return lines
  }

  /// Every tensor.
  package var json: JSON {
    .array(
      map {
        [
          "name": .string($0.name), "component": .string($0.component.rawValue),
          "reason": .string($0.reason),
        ]
      })
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
            "to": .string(step.encoding),
            "bytes": .integer(step.storedByteCount),
            "change": step.change.map { .string($0.rawValue) } ?? .null,
          ]
        }),
    ]
  }
}
